"""How good a model is on entries it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models.row_solve import Rows
    from models.types import Float32Array, Float64Array, FloatArray, RowArray

_BLOCK = 1024


def predict_entries(
    user_factors: FloatArray, item_factors: FloatArray, rows: Rows, *, biased: bool
) -> Float32Array:
    """p_u·q_i (+ b_u + b_i where `biased`) of every entry of `rows`: float32, shape ``(n_entries,)``."""
    users, items = rows.row_numbers, rows.indices
    width = user_factors.shape[1] - biased
    predicted = np.empty(len(items), dtype=np.float32)
    for start in range(0, len(items), 65_536):
        block = slice(start, start + 65_536)
        p, q = user_factors[users[block]], item_factors[items[block]]
        predicted[block] = np.einsum("nd,nd->n", p[:, :width], q[:, :width])
        if biased:
            predicted[block] += p[:, -1] + q[:, -1]
    return predicted


def root_mean_squared_error(predicted: FloatArray, actual: FloatArray) -> float:
    """√(mean (r̂ − r)²) of two arrays of shape ``(n,)``."""
    return float(np.sqrt(np.mean((predicted - actual) ** 2, dtype=np.float64)))


def ranking_metrics(
    score: Callable[[RowArray], FloatArray], seen: Rows, held_out: Rows, k: int
) -> dict[str, float]:
    """Means of `ranking_metrics_by_user`; NaN where nobody is judged."""
    by_user = ranking_metrics_by_user(score, seen, held_out, k)
    return {name: float(values.mean()) if len(values) else float("nan") for name, values in by_user.items()}


def ranking_metrics_by_user(
    score: Callable[[RowArray], FloatArray], seen: Rows, held_out: Rows, k: int
) -> dict[str, Float64Array]:
    """nDCG@k and recall@k with binary relevance, of each user who has both seen and held-out items.

    DCG@k = Σᵣ rel(r) / log₂(r + 1) over ranks r = 1..k, divided by the DCG of the ideal list;
    recall@k = hits / min(k, number of held-out items), so that 1 can be reached.

    Args:
        score: scores of all items for some users, shape ``(len(users), n_items)``.
        seen: the users' training entries, never recommended.
        held_out: the entries to find.
        k: length of the lists.

    Returns:
        By name of the metric: float64, shape ``(n_judged,)``.
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    gains, recalls = [np.empty(0)], [np.empty(0)]
    for users in _blocks(np.flatnonzero((seen.lengths > 0) & (held_out.lengths > 0)).astype(np.int32)):
        scores = np.array(score(users), dtype=np.float64)
        relevant = np.zeros(scores.shape, dtype=bool)
        for position, user in enumerate(users):
            scores[position, seen.row(user)[0]] = -np.inf
            relevant[position, held_out.row(user)[0]] = True
        best = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        hits = np.take_along_axis(relevant, np.take_along_axis(best, order, axis=1), axis=1)
        reachable = np.minimum(held_out.lengths[users], k)
        gains.append(hits @ discounts[: hits.shape[1]] / ideal[reachable])
        recalls.append(hits.sum(axis=1) / reachable)
    return {f"ndcg@{k}": np.concatenate(gains), f"recall@{k}": np.concatenate(recalls)}


def _blocks(users: RowArray) -> Iterator[RowArray]:
    for start in range(0, len(users), _BLOCK):
        yield users[start : start + _BLOCK]
