"""The row problem for all rows at once, compiled, on all cores.

The equation is stated in `models.row_solve.definition`. Rows are dealt to threads in blocks of about equal
work (n·d² + d³/3 multiplications a row); BLAS is held to one thread meanwhile, because d × d products on
many threads at once spend their time waiting for each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from models.errors import TrainingError
from models.row_solve.definition import gram_matrix

if TYPE_CHECKING:
    from models.row_solve.definition import RowProblem
    from models.row_solve.rows import Rows
    from models.types import FloatArray, PointerArray

_BLOCKS_PER_THREAD = 16


def sweep(rows: Rows, design: FloatArray, problem: RowProblem) -> FloatArray:
    """Solve every row.

    Args:
        rows: the observed entries, ``(n_rows, n)``.
        design: the other side's factors Q, shape ``(n, d)``. Its dtype is the precision of the work:
            float32 while training, float64 for the closing sweep that fold-in must reproduce.
        problem: g, w, t, ρ of all rows.

    Returns:
        The rows' factors, shape ``(n_rows, d)``, dtype of `design`. An empty row is all zeros.

    Raises:
        TrainingError: a row's matrix is not positive definite.
    """
    n_factors = design.shape[1]
    gram = np.zeros((n_factors, n_factors))
    if problem.gram_weight:
        gram += problem.gram_weight * gram_matrix(design)
    solution = np.zeros((len(rows), n_factors), dtype=design.dtype)
    with threadpool_limits(limits=1, user_api="blas"):
        failed = _solve_blocks(
            equal_work(rows, n_factors),
            rows.indptr,
            rows.indices,
            problem.weights.astype(design.dtype, copy=False),
            problem.targets.astype(design.dtype, copy=False),
            problem.ridge.astype(design.dtype, copy=False),
            np.ascontiguousarray(design),
            gram.astype(design.dtype),
            solution,
        )
    if failed.any() or not np.isfinite(solution).all():  # fast maths need not notice a NaN
        row = int(failed.max()) - 1 if failed.any() else int(np.isfinite(solution).all(axis=1).argmin())
        raise TrainingError(
            f"row {row} of {len(rows)} has no unique solution (its matrix is not positive definite); "
            "raise the regularization, or check the table for extreme values"
        )
    return solution


def equal_work(rows: Rows, n_factors: int) -> PointerArray:
    """Row numbers at which blocks of about equal work begin and end, shape ``(n_blocks + 1,)``."""
    work = np.cumsum(rows.lengths * n_factors + n_factors**2 // 3 + 1)
    n_blocks = max(1, min(len(rows), numba.get_num_threads() * _BLOCKS_PER_THREAD))
    ends = np.searchsorted(work, np.linspace(0, work[-1] if len(work) else 0, n_blocks + 1)[1:-1])
    return np.concatenate([[0], ends, [len(rows)]]).astype(np.int64)


@numba.njit(cache=True, fastmath=True)
def cholesky_solve(matrix: Any, right: Any) -> bool:  # noqa: ANN401
    """Overwrite `matrix` with its lower Cholesky factor, `right` with the solution; False if not definite."""
    size = len(right)
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if j < i:
                matrix[i, j] = total / matrix[j, j]
        if not total > 0:
            return False
        matrix[i, i] = np.sqrt(total)
        known = right[i]
        for k in range(i):
            known -= matrix[i, k] * right[k]
        right[i] = known / matrix[i, i]
    for i in range(size - 1, -1, -1):
        right[i] /= matrix[i, i]
        for k in range(i):
            right[k] -= right[i] * matrix[i, k]
    return True


@numba.njit(cache=True, parallel=True, fastmath=True)
def _solve_blocks(
    bounds: Any,  # noqa: ANN401
    indptr: Any,  # noqa: ANN401
    indices: Any,  # noqa: ANN401
    weights: Any,  # noqa: ANN401
    targets: Any,  # noqa: ANN401
    ridge: Any,  # noqa: ANN401
    design: Any,  # noqa: ANN401
    gram: Any,  # noqa: ANN401
    solution: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Fill `solution`; return, per block, 1 + the number of a row that has none, or 0."""
    n_factors = design.shape[1]
    failed = np.zeros(len(bounds) - 1, dtype=np.int64)
    for block in numba.prange(len(bounds) - 1):
        longest = 0
        for row in range(bounds[block], bounds[block + 1]):
            longest = max(longest, indptr[row + 1] - indptr[row])
        observed = np.empty((longest, n_factors), dtype=design.dtype)
        weighted = np.empty((longest, n_factors), dtype=design.dtype)
        matrix = np.empty((n_factors, n_factors), dtype=design.dtype)
        for row in range(bounds[block], bounds[block + 1]):
            start = indptr[row]
            length = indptr[row + 1] - start
            if length == 0:
                continue
            right = solution[row]
            for entry in range(length):
                factors = design[indices[start + entry]]
                weight = weights[start + entry]
                target = targets[start + entry]
                for k in range(n_factors):
                    observed[entry, k] = factors[k]
                    weighted[entry, k] = weight * factors[k]
                    right[k] += target * factors[k]
            np.dot(observed[:length].T, weighted[:length], matrix)
            matrix += gram
            for i in range(n_factors):
                matrix[i, i] += ridge[row]
            if not cholesky_solve(matrix, right):
                failed[block] = row + 1
    return failed
