"""Slow, dense, obvious oracles. Nothing here imports anything of ours."""

from __future__ import annotations

import numpy as np


def confidence_weighted_row(factors, confidence, preference, ridge):
    """argmin_p Σ_j c_j (x_j − q_j·p)² + ρ|p|² over *all* items j, by dense least squares.

    Args:
        factors: Q, shape ``(n, d)``.
        confidence: c_j of every item, shape ``(n,)``; the unobserved have 1 (implicit) or 0 (explicit).
        preference: x_j of every item, shape ``(n,)``.
        ridge: ρ.
    """
    root = np.sqrt(np.asarray(confidence, dtype=np.float64))[:, None]
    design = np.vstack([root * factors, np.sqrt(ridge) * np.eye(factors.shape[1])])
    target = np.concatenate([root[:, 0] * preference, np.zeros(factors.shape[1])])
    return np.linalg.lstsq(design, target, rcond=None)[0]


def implicit_objective(table, user_factors, item_factors, regularization):
    """The loss that implicit ALS minimizes, summed over every cell of a dense table of confidences."""
    confidence = np.where(table == 0, 1.0, np.abs(table))
    preference = (table > 0).astype(float)
    error = confidence * (preference - user_factors @ item_factors.T) ** 2
    return error.sum() + regularization * ((user_factors**2).sum() + (item_factors**2).sum())


def explicit_objective(table, mean, user_factors, item_factors, ridge_of_row):
    """The loss of biased explicit ALS over the observed (non-NaN) cells; the last coordinate is the bias."""
    p, b_u = user_factors[:, :-1], user_factors[:, -1]
    q, b_i = item_factors[:, :-1], item_factors[:, -1]
    predicted = mean + b_u[:, None] + b_i[None, :] + p @ q.T
    error = np.nansum((table - predicted) ** 2)
    user_ridge, item_ridge = ridge_of_row
    return error + user_ridge @ (user_factors**2).sum(axis=1) + item_ridge @ (item_factors**2).sum(axis=1)


def top_k(scores, k, excluded=()):
    """Positions of the k best scores, best first, ties by position."""
    order = sorted(range(len(scores)), key=lambda j: (-scores[j], j))
    return [j for j in order if j not in set(excluded)][:k]


def ndcg(ranked, relevant, k):
    """nDCG@k with binary relevance, by its definition."""
    gain = sum(1 / np.log2(rank + 1) for rank, item in enumerate(ranked[:k], start=1) if item in relevant)
    ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return gain / ideal
