"""The row problem, stated once and solved for one row in readable NumPy.

With the other side ``Q`` (n × d) held fixed, every family's row ``p`` is the solution of

    A p = b,    A = g·QᵀQ + Σᵢ wᵢ qᵢqᵢᵀ + ρ·I,    b = Σᵢ tᵢ qᵢ        (i over the row's observed entries)

Training's user sweep, its item sweep and the fold-in of somebody new are this same problem on different
rows. `models.row_solve.sweep` is the compiled version, and `models.row_solve.short_rows` a quicker way where
there are few entries; property tests pin them to this one.

References:
    Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, eq. 4.
    Zhou, Wilkinson, Schreiber, Pan: Large-Scale Parallel Collaborative Filtering for the Netflix Prize,
    AAIM 2008, sec. 3.1 (frequency-scaled ridge).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from scipy.linalg.lapack import dposv, dpotrs

from models.errors import FoldrecError

if TYPE_CHECKING:
    from models.types import Float32Array, Float64Array, FloatArray


class RowProblem(NamedTuple):
    """g, w, t and ρ of one or many rows, always together.

    The classic bug of this field is a ridge, weight or offset that training applied and serving forgot.

    Attributes:
        gram_weight: g, the weight of the unobserved entries' Gram matrix.
        weights: w, float32, shape ``(n_entries,)``.
        targets: t, float32, shape ``(n_entries,)``.
        ridge: ρ, float64, shape ``(n_rows,)``.
    """

    gram_weight: float
    weights: Float32Array
    targets: Float32Array
    ridge: Float64Array


class SingularRowError(FoldrecError):
    """The row's matrix A is not positive definite to working precision."""


class SolvedRow(Protocol):
    """A row's p, and its A to be divided by."""

    @property
    def vector(self) -> Float64Array:
        """p, float64, shape ``(d,)``."""
        ...

    def inverse_times(self, right: Float64Array) -> Float64Array:
        """A⁻¹ x for a vector ``(d,)`` or the columns of ``(d, m)``."""
        ...

    def responses(self, asked: Float64Array, observed: Float64Array) -> Float64Array:
        """xᵀA⁻¹qᵢ for the rows x of `asked` ``(m, d)`` and the row's own entries ``(n, d)``: ``(m, n)``."""
        ...


class RowSolution(NamedTuple):
    """A solved row and the Cholesky factor it came from.

    Attributes:
        vector: p, float64, shape ``(d,)``.
        cholesky: lower triangle L with L Lᵀ = A, float64, shape ``(d, d)``; the upper triangle is not read.
    """

    vector: Float64Array
    cholesky: Float64Array

    def inverse_times(self, right: Float64Array) -> Float64Array:
        """A⁻¹ x for a vector ``(d,)`` or the columns of ``(d, m)``."""
        solution, _ = dpotrs(self.cholesky, right, lower=1)
        return np.asarray(solution)

    def responses(self, asked: Float64Array, observed: Float64Array) -> Float64Array:
        """xᵀA⁻¹qᵢ for the rows x of `asked` ``(m, d)`` and the row's own entries ``(n, d)``: ``(m, n)``."""
        responses: Float64Array = self.inverse_times(asked.T).T @ observed.T
        return responses


def gram_matrix(factors: FloatArray, block: int = 1_024) -> Float64Array:
    """QᵀQ in float64, shape ``(d, d)``, by blocks of rows of Q ``(n, d)`` that stay in the cache."""
    total = np.zeros((factors.shape[1], factors.shape[1]))
    wide = np.empty((min(block, len(factors)), factors.shape[1]))
    for start in range(0, len(factors), block):
        part = wide[: len(factors) - start]
        np.copyto(part, factors[start : start + block])
        total += part.T @ part
    return total


def solve_row(observed: FloatArray, unobserved: Float64Array | None, problem: RowProblem) -> RowSolution:
    """Solve one row.

    Args:
        observed: the factors qᵢ of the row's observed entries, shape ``(n, d)``.
        unobserved: g·QᵀQ, float64, shape ``(d, d)``; None where g is 0.
        problem: w, t, ρ of exactly one row; its g is in `unobserved`.

    Raises:
        SingularRowError: A is not positive definite.
    """
    rows = observed.astype(np.float64, copy=False)
    matrix = (rows.T * problem.weights) @ rows
    if unobserved is not None:
        matrix += unobserved
    matrix.reshape(-1)[:: len(matrix) + 1] += problem.ridge[0]
    # A is symmetric: transposed, it has the layout that LAPACK overwrites instead of copying.
    cholesky, vector, info = dposv(matrix.T, problem.targets @ rows, lower=1, overwrite_a=1, overwrite_b=1)
    if info != 0:
        raise SingularRowError("the row's matrix is not positive definite")
    return RowSolution(vector, cholesky)
