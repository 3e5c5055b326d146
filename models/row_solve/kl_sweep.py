"""The row problem of Kullback–Leibler factorization for many rows, compiled, on all cores.

The equations are those of `models.row_solve.kl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from models.errors import TrainingError
from models.row_solve.kl import BARRIER_SHRINKS, MOST_STEPS, TO_THE_BOUNDARY, TOLERANCE, inverse_sums
from models.row_solve.sweep import cholesky_solve, equal_work

if TYPE_CHECKING:
    from models.row_solve.rows import Rows
    from models.types import Float64Array, FloatArray


def kl_sweep(rows: Rows, factors: FloatArray) -> Float64Array:
    """Solve every row against non-negative factors ``(n, d)``: float64, shape ``(n_rows, d)``.

    A row without positive entries is all zeros.

    Raises:
        TrainingError: the values are so extreme that a row has no solution in float64.
    """
    solution = np.zeros((len(rows), factors.shape[1]))
    inverse = inverse_sums(factors)
    with threadpool_limits(limits=1, user_api="blas"):
        _solve_blocks(
            equal_work(rows, factors.shape[1]),
            rows.indptr,
            rows.indices,
            rows.values.astype(np.float64),
            factors * inverse,
            solution,
        )
    solution *= inverse
    if not np.isfinite(solution).all():
        row = int(np.isfinite(solution).all(axis=1).argmin())
        raise TrainingError(f"row {row} of {len(rows)} has no solution; check the table for extreme values")
    return solution


@numba.njit(cache=True)
def _stride(positive: Any, step: Any) -> float:  # noqa: ANN401
    """The share of the step that keeps every coordinate positive, at most 1."""
    steepest = TO_THE_BOUNDARY
    for k in range(len(step)):
        steepest = max(steepest, -step[k] / positive[k])
    return TO_THE_BOUNDARY / steepest


@numba.njit(cache=True)
def _minimize(g: Any, x: Any, u: Any) -> None:  # noqa: ANN401
    """Put the minimizer for entries ``g`` (n × d), with values x that sum to 1, into u."""
    size = len(u)
    u[:] = 1 / size
    z = np.ones(size)
    for _ in range(MOST_STEPS):
        explained = np.dot(g, u)
        gradient = 1 - np.dot(x / explained, g)
        gap = np.dot(u, z)
        if max(gap, np.abs(gradient - z).max()) < TOLERANCE:
            break
        barrier = BARRIER_SHRINKS * gap / size
        weighted = np.empty_like(g)
        for entry in range(len(x)):
            weighted[entry] = (x[entry] / explained[entry] ** 2) * g[entry]
        hessian = np.dot(g.T, weighted)
        for k in range(size):
            hessian[k, k] += z[k] / u[k]
        step_u = barrier / u - gradient
        cholesky_solve(hessian, step_u)
        step_z = (barrier - z * step_u) / u - z
        u += _stride(u, step_u) * step_u
        z += _stride(z, step_z) * step_z


@numba.njit(cache=True, parallel=True)
def _solve_blocks(
    bounds: Any,  # noqa: ANN401
    indptr: Any,  # noqa: ANN401
    indices: Any,  # noqa: ANN401
    values: Any,  # noqa: ANN401
    scaled: Any,  # noqa: ANN401
    solution: Any,  # noqa: ANN401
) -> None:
    """Put u = s∘p of every row into `solution`."""
    for block in numba.prange(len(bounds) - 1):
        for row in range(bounds[block], bounds[block + 1]):
            entries = np.empty(indptr[row + 1] - indptr[row], dtype=np.int64)
            told = 0
            for entry in range(indptr[row], indptr[row + 1]):
                if values[entry] > 0 and scaled[indices[entry]].any():
                    entries[told] = entry
                    told += 1
            if told == 0:
                continue
            g = np.empty((told, scaled.shape[1]))
            x = np.empty(told)
            for position in range(told):
                g[position] = scaled[indices[entries[position]]]
                x[position] = values[entries[position]]
            u = np.empty(scaled.shape[1])
            _minimize(g, x / x.sum(), u)
            solution[row] = u * np.dot(x / np.dot(g, u), g)
