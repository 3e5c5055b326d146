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


def unobserved_objective(table, user_factors, item_factors, alpha, ridge_of_row):
    """α₀ Σ s² over every cell plus Σ abs(c)·(x − s)² over the observed (non-zero) ones, plus the ridges."""
    scores = user_factors @ item_factors.T
    observed = np.abs(table) * ((table > 0) - scores) ** 2
    user_ridge, item_ridge = ridge_of_row
    penalty = user_ridge @ (user_factors**2).sum(axis=1) + item_ridge @ (item_factors**2).sum(axis=1)
    return alpha * (scores**2).sum() + observed.sum() + penalty


def explicit_objective(table, mean, user_factors, item_factors, ridge_of_row):
    """The loss of biased explicit ALS over the observed (non-NaN) cells; the last coordinate is the bias."""
    p, b_u = user_factors[:, :-1], user_factors[:, -1]
    q, b_i = item_factors[:, :-1], item_factors[:, -1]
    predicted = mean + b_u[:, None] + b_i[None, :] + p @ q.T
    error = np.nansum((table - predicted) ** 2)
    user_ridge, item_ridge = ridge_of_row
    return error + user_ridge @ (user_factors**2).sum(axis=1) + item_ridge @ (item_factors**2).sum(axis=1)


def biased_row(design, targets, ridge, groups=None, group_ridge=1.0):
    """The s and b of argmin Σᵢ (tᵢ − xᵢ·s − b_g(i))² + ρ|s|² + κ Σ_g b_g², by dense least squares.

    Args:
        design: x of each entry, shape ``(n, d)``.
        targets: t of each entry, shape ``(n,)``.
        ridge: ρ.
        groups: which further bias each entry shares, shape ``(n,)``, from 0; None for no such biases.
        group_ridge: κ.

    Returns:
        s, shape ``(d,)``, and b, shape ``(n_groups,)``.
    """
    n_groups = 0 if groups is None else max(groups) + 1
    shared = np.zeros((len(targets), n_groups))
    if groups is not None:
        shared[np.arange(len(targets)), groups] = 1
    left = np.hstack([np.asarray(design, dtype=np.float64), shared])
    penalty = np.sqrt(np.concatenate([np.full(design.shape[1], ridge), np.full(n_groups, group_ridge)]))
    right = np.concatenate([targets, np.zeros(left.shape[1])])
    solution = np.linalg.lstsq(np.vstack([left, np.diag(penalty)]), right, rcond=None)[0]
    return solution[: design.shape[1]], solution[design.shape[1] :]


def svdpp_epoch(rows, mean, learning_rates, ridges, parameters):
    """One pass of stochastic gradient descent for SVD++ over `rows`, every y_j moved at every single entry.

    Args:
        rows: by user, the list of ``(item, value)`` in the order of their steps.
        mean: μ.
        learning_rates: of the biases and of the factors.
        ridges: λ and λ_z.
        parameters: b_u, b_i, p, q, y, changed in place.

    Returns:
        The sum of squared errors, each taken before its step.
    """
    (bias_rate, rate), (ridge, implicit_ridge) = learning_rates, ridges
    b_u, b_i, p, q, y = parameters
    total = 0.0
    for u, entries in enumerate(rows):
        rated = [item for item, _ in entries]
        root = len(rated) ** -0.5
        for i, value in entries:
            z = root * y[rated].sum(axis=0)
            error = value - (mean + b_u[u] + b_i[i] + q[i] @ (p[u] + z))
            total += error**2
            b_u[u] += bias_rate * (error - ridge * b_u[u])
            b_i[i] += bias_rate * (error - ridge * b_i[i])
            p_u, q_i = p[u].copy(), q[i].copy()
            p[u] += rate * (error * q_i - ridge * p_u)
            q[i] += rate * (error * (p_u + z) - ridge * q_i)
            for j in rated:
                y[j] += rate * root * (error * q_i - implicit_ridge * z)
    return total


def top_k(scores, k, excluded=()):
    """Positions of the k best scores, best first, ties by position."""
    order = sorted(range(len(scores)), key=lambda j: (-scores[j], j))
    return [j for j in order if j not in set(excluded)][:k]


def ndcg(ranked, relevant, k):
    """nDCG@k with binary relevance, by its definition."""
    gain = sum(1 / np.log2(rank + 1) for rank, item in enumerate(ranked[:k], start=1) if item in relevant)
    ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return gain / ideal
