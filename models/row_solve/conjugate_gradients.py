"""A few steps of conjugate gradients towards the solution of every row: what training needs of a half-step.

A row of the half-step is soon solved again with the other side moved, so an exact solution is wasted work: a
step costs n·d + d² multiplications, a Cholesky solution n·d² + d³/3. Few steps from the last iteration's
factors lower the objective about as far (Takács, Pilászy, Tikk: Applications of the Conjugate Gradient Method
for Implicit Feedback Collaborative Filtering, RecSys 2011).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from models.errors import TrainingError
from models.row_solve.definition import gram_matrix
from models.row_solve.sweep import equal_work

if TYPE_CHECKING:
    from models.row_solve.definition import RowProblem
    from models.row_solve.rows import Rows
    from models.types import Float32Array

_FASTMATH = {"reassoc", "contract", "nsz"}
"""Sums in any order; but infinity and NaN stay what they are, to be found at the end."""
_SOLVED = np.float32(1e-30)
"""Squared residual at which a row is left alone, before float32 knows no smaller squares."""


def descend(
    rows: Rows, design: Float32Array, problem: RowProblem, factors: Float32Array, steps: int = 3
) -> None:
    """Move every row of `factors` towards its solution, in place.

    Args:
        rows: the observed entries, ``(n_rows, n)``.
        design: the other side's factors Q, float32, shape ``(n, d)``.
        problem: g, w, t, ρ of all rows; A must be positive definite.
        factors: where to start, float32, shape ``(n_rows, d)``. An empty row becomes all zeros.
        steps: of conjugate gradients; d of them would solve a row but for rounding.

    Raises:
        TrainingError: a row's factors are not finite.
    """
    gram = problem.gram_weight * gram_matrix(design)
    with threadpool_limits(limits=1, user_api="blas"):
        _descend_blocks(
            equal_work(rows, design.shape[1]),
            rows.indptr,
            rows.indices,
            problem.weights,
            problem.targets,
            problem.ridge.astype(np.float32),
            np.ascontiguousarray(design),
            gram.astype(np.float32),
            factors,
            steps,
        )
    if not np.isfinite(factors).all():
        row = int(np.isfinite(factors).all(axis=1).argmin())
        raise TrainingError(
            f"row {row} of {len(rows)} has no finite solution; raise the regularization, or check the table "
            "for extreme values"
        )


def observed_scores(rows: Rows, design: Float32Array, factors: Float32Array) -> Float32Array:
    """p·qᵢ of every observed entry: float32, shape ``(n_entries,)``."""
    scores = np.empty(len(rows.indices), dtype=np.float32)
    _fill_scores(rows.indptr, rows.indices, np.ascontiguousarray(design), factors, scores)
    return scores


@numba.njit(cache=True, fastmath=_FASTMATH)
def _inner(left: Any, right: Any) -> Any:  # noqa: ANN401
    total = np.float32(0)
    for k in range(len(left)):
        total += left[k] * right[k]
    return total


@numba.njit(cache=True)
def _longest(indptr: Any) -> int:  # noqa: ANN401
    """The most entries of a row."""
    longest = 0
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    return longest


@numba.njit(cache=True, fastmath=_FASTMATH)
def _target(targets: Any, observed: Any, target: Any) -> None:  # noqa: ANN401
    """Fill `target` with b = Σ tᵢ qᵢ."""
    target[:] = 0
    for entry in range(len(targets)):
        for k in range(len(target)):
            target[k] += targets[entry] * observed[entry, k]


@numba.njit(cache=True, fastmath=_FASTMATH)
def _times(
    gram: Any,  # noqa: ANN401
    ridge: Any,  # noqa: ANN401
    weights: Any,  # noqa: ANN401
    observed: Any,  # noqa: ANN401
    vector: Any,  # noqa: ANN401
    product: Any,  # noqa: ANN401
) -> None:
    """Fill `product` with A·`vector`, A = g·QᵀQ + Σ wᵢ qᵢqᵢᵀ + ρ·I, without forming A."""
    np.dot(gram, vector, product)
    for k in range(len(vector)):
        product[k] += ridge * vector[k]
    for entry in range(len(weights)):
        factors = observed[entry]
        scale = weights[entry] * _inner(factors, vector)
        for k in range(len(vector)):
            product[k] += scale * factors[k]


@numba.njit(cache=True, parallel=True, fastmath=_FASTMATH)
def _descend_blocks(
    bounds: Any,  # noqa: ANN401
    indptr: Any,  # noqa: ANN401
    indices: Any,  # noqa: ANN401
    weights: Any,  # noqa: ANN401
    targets: Any,  # noqa: ANN401
    ridge: Any,  # noqa: ANN401
    design: Any,  # noqa: ANN401
    gram: Any,  # noqa: ANN401
    factors: Any,  # noqa: ANN401
    steps: int,
) -> None:
    n_factors = design.shape[1]
    for block in numba.prange(len(bounds) - 1):
        observed = np.empty(
            (_longest(indptr[bounds[block] : bounds[block + 1] + 1]), n_factors), dtype=np.float32
        )
        residual = np.empty(n_factors, dtype=np.float32)
        direction = np.empty(n_factors, dtype=np.float32)
        product = np.empty(n_factors, dtype=np.float32)
        for row in range(bounds[block], bounds[block + 1]):
            start = indptr[row]
            weight = weights[start : indptr[row + 1]]
            vector = factors[row]
            if len(weight) == 0:
                vector[:] = 0
                continue
            for entry in range(len(weight)):
                observed[entry] = design[indices[start + entry]]
            _target(targets[start : indptr[row + 1]], observed, residual)
            _times(gram, ridge[row], weight, observed, vector, product)
            for k in range(n_factors):
                residual[k] -= product[k]  # b − A p
                direction[k] = residual[k]
            size = _inner(residual, residual)
            for _ in range(steps):
                if size < _SOLVED:
                    break
                _times(gram, ridge[row], weight, observed, direction, product)
                length = size / _inner(direction, product)
                for k in range(n_factors):
                    vector[k] += length * direction[k]
                    residual[k] -= length * product[k]
                left = _inner(residual, residual)
                for k in range(n_factors):
                    direction[k] = residual[k] + left / size * direction[k]
                size = left


@numba.njit(cache=True, parallel=True, fastmath=_FASTMATH)
def _fill_scores(
    indptr: Any,  # noqa: ANN401
    indices: Any,  # noqa: ANN401
    design: Any,  # noqa: ANN401
    factors: Any,  # noqa: ANN401
    scores: Any,  # noqa: ANN401
) -> None:
    for row in numba.prange(len(indptr) - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            scores[entry] = _inner(design[indices[entry]], factors[row])
