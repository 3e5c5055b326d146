"""The row problem of a row with few entries, solved in the space of these.

Where QᵀQ is diagonal, or does not count, A is a diagonal matrix and a term for each entry,

    A = D + QᵤᵀWQᵤ,    D = g·diag(QᵀQ) + ρ·I        (Qᵤ: the n entries' rows of Q, W = diag(w))

and by the identity of Woodbury

    p = D⁻¹Qᵤᵀ a,    (W⁻¹ + K) a = W⁻¹ t,    K = Qᵤ D⁻¹ Qᵤᵀ

which takes n²d + n³/3 multiplications instead of nd² + d³/3. `models.principal_axes` makes QᵀQ diagonal.

References:
    Woodbury: Inverting Modified Matrices, Memorandum Rept. 42, Princeton 1950.
    Pilászy, Zibriczky, Tikk: Fast ALS-based Matrix Factorization for Explicit and Implicit Feedback Datasets,
    RecSys 2010, sec. 3 (the same identity, an entry at a time).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.linalg.lapack import dposv, dpotrs

from models.row_solve.definition import SingularRowError

if TYPE_CHECKING:
    from models.row_solve.definition import RowProblem
    from models.types import Float64Array, FloatArray

_LEAST_ROOT: Final = 1e-15
"""Stands for √w of an entry without weight, whose W⁻¹ does not exist; it counts 10⁻³⁰ then."""
_LARGEST: Final = 1e15
"""Element of √W K √W from which on the 1 that is added to it is lost."""


class ShortRowSolution(NamedTuple):
    """A solved row, and what it takes to divide by its A.

    Attributes:
        vector: p, float64, shape ``(d,)``.
        roots: √w, float64, shape ``(n,)``.
        scaled: √W Qᵤ D^-½, float64, shape ``(n, d)``.
        scale: the diagonal of D^-½, float64, shape ``(d,)``.
        cholesky: lower triangle L with L Lᵀ = I + √W K √W, float64, shape ``(n, n)``.
    """

    vector: Float64Array
    roots: Float64Array
    scaled: Float64Array
    scale: Float64Array
    cholesky: Float64Array

    def inverse_times(self, right: Float64Array) -> Float64Array:
        """A⁻¹ x for a vector ``(d,)`` or the columns of ``(d, m)``."""
        scale = self.scale if right.ndim == 1 else self.scale[:, np.newaxis]
        scaled = scale * right
        entries, _ = dpotrs(self.cholesky, self.scaled @ scaled, lower=1)
        return np.asarray(scale * (scaled - self.scaled.T @ entries))

    def responses(self, asked: Float64Array, observed: Float64Array) -> Float64Array:  # noqa: ARG002
        """xᵀA⁻¹qᵢ for the rows x of `asked` ``(m, d)`` and the row's own entries: shape ``(m, n)``.

        A⁻¹Qᵤᵀ is D^-½(√W Qᵤ D^-½)ᵀ(I + √W K √W)⁻¹W^-½, without the difference that A⁻¹ has.
        """
        responses, _ = dpotrs(self.cholesky, self.scaled @ (asked * self.scale).T, lower=1)
        return np.asarray(responses.T / self.roots)


def solve_short_row(observed: FloatArray, diagonal: Float64Array, problem: RowProblem) -> ShortRowSolution:
    """Solve one row.

    Args:
        observed: the factors qᵢ of the row's observed entries, shape ``(n, d)``.
        diagonal: of QᵀQ, float64, shape ``(d,)``, or ``(1,)`` for d equal ones.
        problem: g, w, t, ρ of exactly one row; no weight is negative.

    Raises:
        SingularRowError: A is not positive definite.
    """
    base = np.full(observed.shape[1], problem.ridge[0])
    base += problem.gram_weight * diagonal
    if not base.min() > 0:
        raise SingularRowError("the row's matrix is not positive definite")
    scale = 1 / np.sqrt(base)
    roots = np.maximum(np.sqrt(problem.weights, dtype=np.float64), _LEAST_ROOT)
    scaled = (observed * scale) * roots[:, np.newaxis]
    matrix = scaled @ scaled.T
    if not matrix.diagonal().max() < _LARGEST:
        raise SingularRowError("the row's matrix is not positive definite to working precision")
    matrix.reshape(-1)[:: len(matrix) + 1] += 1
    # The matrix is symmetric: transposed, it has the layout that LAPACK overwrites instead of copying.
    cholesky, entries, info = dposv(matrix.T, problem.targets / roots, lower=1, overwrite_a=1, overwrite_b=1)
    if info != 0:
        raise SingularRowError("the row's matrix is not positive definite")
    return ShortRowSolution(scale * (entries @ scaled), roots, scaled, scale, cholesky)
