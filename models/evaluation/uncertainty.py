"""How certain metrics and their differences are: a paired bootstrap over users.

Users are drawn with replacement, as many as there are; all metrics of all models are computed on the same
draws, so differences of models are paired (Efron and Tibshirani 1993). Intervals are percentiles of draws.
Where one model is judged by itself, by however many users, its standard error is enough: `normal_interval`.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.evaluation.measures import Parts
    from models.types import Float64Array

_BATCH = 16


def resampled_sums(columns: Float64Array, n_resamples: int, rng: np.random.Generator) -> Float64Array:
    """Sums over users drawn with replacement.

    Args:
        columns: values of users, shape ``(n_users, n_columns)``.
        n_resamples: how often to draw.
        rng: draws them.

    Returns:
        float64, shape ``(n_resamples, n_columns)``.
    """
    n_users = len(columns)
    sums = np.empty((n_resamples, columns.shape[1]))
    for start in range(0, n_resamples, _BATCH):
        batch = range(start, min(start + _BATCH, n_resamples))
        drawn = np.stack([np.bincount(rng.integers(n_users, size=n_users), minlength=n_users) for _ in batch])
        sums[batch.start : batch.stop] = drawn.astype(np.float64) @ columns
    return sums


def resampled_parts(
    parts: Sequence[Mapping[str, Parts]], n_resamples: int, rng: np.random.Generator
) -> list[dict[str, tuple[Float64Array, Float64Array]]]:
    """Sums of numerators and denominators, ``(n_resamples,)`` each, of every metric of every model.

    Args:
        parts: by model, the parts of its metrics, all of the same users.
        n_resamples: how often to draw.
        rng: draws the users.
    """
    arrays = {id(array): array for model in parts for pair in model.values() for array in pair}
    columns = np.stack(list(arrays.values()), axis=1)
    sums = resampled_sums(columns[columns.any(axis=1)], n_resamples, rng)
    position = {key: number for number, key in enumerate(arrays)}
    return [
        {
            name: (sums[:, position[id(above)]], sums[:, position[id(below)]])
            for name, (above, below) in model.items()
        }
        for model in parts
    ]


def interval(draws: Float64Array, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of some draws."""
    tail = (1 - level) / 2
    judged = draws[np.isfinite(draws)]  # a draw may miss the few people that a metric is of
    if not len(judged):
        return np.nan, np.nan
    low, high = np.quantile(judged, [tail, 1 - tail])
    return float(low), float(high)


def normal_interval(
    numerator: Float64Array, denominator: Float64Array, level: float = 0.95
) -> tuple[float, float] | None:
    """The interval of a ratio of two sums over users that its standard error gives; for any number of users.

    R ± z·√(n/(n−1) · Σ_u (a_u − R b_u)²) / Σ_u b_u with R = Σ_u a_u / Σ_u b_u, which of a mean (b = 1) is
    R ± z·s/√n (Cochran 1977, *Sampling Techniques*, chapter 6).

    Args:
        numerator: a, by user, shape ``(n_users,)``.
        denominator: b, likewise.
        level: share of such intervals that hold the truth.

    Returns:
        Low and high; None of fewer than two users.
    """
    n_users, total = len(numerator), denominator.sum()
    if n_users < 2:
        return None
    ratio = numerator.sum() / total
    residuals = numerator - ratio * denominator
    error = np.sqrt(n_users / (n_users - 1) * (residuals @ residuals)) / total
    z = NormalDist().inv_cdf((1 + level) / 2)
    return float(ratio - z * error), float(ratio + z * error)


def p_value(differences: Float64Array) -> float:
    """Two-sided p of "the two models do not differ", from bootstrap draws of their difference.

    Twice the share of draws on the rarer side of 0, counting one draw more, so that p is never 0.
    """
    judged = differences[np.isfinite(differences)]
    rarer = min(int((judged <= 0).sum()), int((judged >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (len(judged) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for being several (Holm 1979)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, number in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = largest
    return adjusted
