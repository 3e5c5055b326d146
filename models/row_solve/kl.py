"""The row problem of Kullback–Leibler factorization, stated once and solved for one row in readable NumPy.

With non-negative ``Q`` (n × d) held fixed and sₖ = Σⱼ qⱼₖ, a row ``p`` minimizes over p ≥ 0

    Σₖ sₖpₖ − Σᵢ xᵢ log(p·qᵢ)        (i over the row's observed entries, xᵢ > 0)

In u = s∘p, with gᵢ = qᵢ/s, the expectation–maximization step of PLSA is

    uₖ ← Σᵢ xᵢγᵢₖ,    γᵢₖ = uₖgᵢₖ / (u·gᵢ)

γᵢₖ is the share of entry i that factor k explains. At the minimum u is a fixed point, so every score is a sum
over the entries: p·qⱼ = Σᵢ (Σₖ xᵢγᵢₖqⱼₖ/sₖ). The step alone takes hundreds of rounds; Newton's method on the
problem with a vanishing barrier, −ε Σ log uₖ, takes about a dozen. One step of the former ends it, so the
parts sum to the score whatever rounding left. `models.row_solve.kl_sweep` is the compiled version for many
rows.

References:
    Lee, Seung: Algorithms for Non-negative Matrix Factorization, NIPS 2000.
    Hofmann: Unsupervised Learning by Probabilistic Latent Semantic Analysis, Machine Learning 42, 2001
    (the step, and folding in by it).
    Wright: Primal-Dual Interior-Point Methods, SIAM 1997, ch. 1 (the method).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.row_solve.definition import SingularRowError

if TYPE_CHECKING:
    from models.types import Float64Array, FloatArray

MOST_STEPS: Final = 100
TOLERANCE: Final = 1e-10
"""On the gradient and on the gap Σ uₖzₖ, for values that sum to 1."""
BARRIER_SHRINKS: Final = 0.1
"""What is left of the barrier after a step."""
TO_THE_BOUNDARY: Final = 0.99
"""The largest share of the way to u = 0 that a step goes."""


def inverse_sums(factors: FloatArray) -> Float64Array:
    """1/sₖ of factors ``(n, d)``, and 0 for a factor that is 0 everywhere: float64, shape ``(d,)``."""
    sums = factors.sum(axis=0, dtype=np.float64)
    inverse: Float64Array = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    return inverse


def solve_kl_row(observed: FloatArray, values: FloatArray, inverse: Float64Array) -> Float64Array:
    """Solve one row.

    Args:
        observed: the factors qᵢ of the row's entries, non-negative, shape ``(n, d)``.
        values: xᵢ, shape ``(n,)``. Entries that are not positive, or whose factors are 0, have no part in it.
        inverse: 1/sₖ; see `inverse_sums`.

    Returns:
        xᵢγᵢₖ/sₖ, float64, shape ``(n, d)``: each entry's part of p, which is their sum.

    Raises:
        SingularRowError: the values are so extreme that the row has no solution in float64.
    """
    parts = np.zeros(observed.shape)
    scaled = observed * inverse
    told = (values > 0) & scaled.any(axis=1)
    amounts, g = values[told].astype(np.float64), scaled[told]
    total = amounts.sum()
    if not told.any():
        return parts
    u = _minimum(g, amounts / total)
    parts[told] = (amounts / (g @ u))[:, np.newaxis] * g * (u * inverse)
    if not np.isfinite(parts).all():
        raise SingularRowError("the row's solution is not finite")
    return parts


def _minimum(g: Float64Array, x: Float64Array) -> Float64Array:
    """u, shape ``(d,)``, for entries ``g`` (n × d) with values x that sum to 1."""
    size = g.shape[1]
    u, z = np.full(size, 1 / size), np.ones(size)
    for _ in range(MOST_STEPS):
        explained = g @ u
        gradient = 1 - (x / explained) @ g
        gap = u @ z
        if max(gap, np.abs(gradient - z).max()) < TOLERANCE:
            break
        barrier = BARRIER_SHRINKS * gap / size
        hessian = (g.T * (x / explained**2)) @ g
        hessian.flat[:: size + 1] += z / u
        step_u = np.linalg.solve(hessian, barrier / u - gradient)
        step_z = (barrier - z * step_u) / u - z
        u = u + _stride(u, step_u) * step_u
        z = z + _stride(z, step_z) * step_z
    return u


def _stride(positive: Float64Array, step: Float64Array) -> float:
    """The share of the step that keeps every coordinate positive, at most 1."""
    return min(1.0, TO_THE_BOUNDARY / max(float((-step / positive).max()), TO_THE_BOUNDARY))
