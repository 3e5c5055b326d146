"""Maximal marginal relevance: what is relevant and unlike what is chosen already.

Carbonell and Goldstein choose, one after another,

    argmax_j  λ·relevance(j) − (1 − λ)·max_{s chosen} similarity(j, s)

Here the diversity δ is 1 − λ, similarity is the cosine, and relevances are brought to [0, 1] over the pool,
so that δ means the same whatever unit scores have.

References:
    Carbonell, Goldstein: The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries, SIGIR 1998.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.types import Float64Array, FloatArray, PointerArray


def maximal_marginal_relevance(
    relevances: FloatArray, directions: Float64Array, k: int, diversity: float
) -> PointerArray:
    """Choose k of a pool.

    Args:
        relevances: the larger the better, shape ``(n,)``.
        directions: vectors of length 1, or zeros, which are like nothing; float64, shape ``(n, d)``.
        k: how many; fewer are chosen only if there are fewer.
        diversity: δ in [0, 1]; 0 is the order of relevance.

    Returns:
        Positions in the pool, in the order chosen: int64. The first of equals is the first in the pool.
    """
    spread = float(np.ptp(relevances)) if len(relevances) else 0.0
    lowest = float(relevances.min(initial=np.inf))
    gains = (1 - diversity) * (relevances.astype(np.float64) - lowest) / (spread or 1.0)
    nearest = np.zeros(len(relevances))
    chosen = np.empty(min(k, len(relevances)), dtype=np.int64)
    for place in range(len(chosen)):
        best = int((gains - diversity * nearest).argmax())
        chosen[place] = best
        gains[best] = -np.inf
        cosines = directions @ directions[best]
        nearest = cosines if place == 0 else np.maximum(nearest, cosines)
    return chosen
