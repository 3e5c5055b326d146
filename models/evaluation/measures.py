"""The metrics, each as a ratio of two sums over users, so that all share one bootstrap.

    metric = finish(Σ_u numerator_u / Σ_u denominator_u)

A mean over users has denominator 1; the RMSE has a user's squared errors over their number and `finish` is
the square root. `docs/evaluation.md` has every definition as a formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from models.types import NOBODY

if TYPE_CHECKING:
    from models.types import BoolArray, Float32Array, Float64Array, FloatArray, PointerArray, RowArray

Parts: TypeAlias = "tuple[Float64Array, Float64Array]"
"""Numerator and denominator of each user, float64, shape ``(n_users,)``."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric.

    Attributes:
        name: in results; those of lists are named `name@k`.
        better: which way is better; None where it describes, rather than judges.
        finish: what becomes of the ratio: itself, its root, or its excess over 1.
        of_lists: whether it judges top-k lists, rather than predicted values.
    """

    name: str
    better: Literal["higher", "lower"] | None
    finish: Literal["ratio", "root", "excess"] = "ratio"
    of_lists: bool = True

    def label(self, k: int) -> str:
        """Its name in results."""
        return f"{self.name}@{k}" if self.of_lists else self.name

    def value(self, numerator: FloatArray, denominator: FloatArray) -> Float64Array:
        """The metric of some sums, of any shape; NaN where nothing was judged."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio: Float64Array = np.true_divide(numerator, denominator)
        if self.finish == "root":
            return np.sqrt(ratio)
        return ratio - 1 if self.finish == "excess" else ratio


MEASURES: Final = {
    measure.name: measure
    for measure in (
        Measure("ndcg", "higher"),
        Measure("recall", "higher"),
        Measure("uncapped_recall", "higher"),
        Measure("precision", "higher"),
        Measure("map", "higher"),
        Measure("mrr", "higher"),
        Measure("hit_rate", "higher"),
        Measure("novelty", None),
        Measure("popularity_lift", None, "excess"),
        Measure("rmse", "lower", "root", of_lists=False),
        Measure("mae", "lower", of_lists=False),
    )
}
SYSTEM_MEASURES: Final = {
    measure.name: measure for measure in (Measure("coverage", None), Measure("gini", None))
}
"""Of all lists together; they have no value for one user, hence no interval."""


def accuracy(hits: BoolArray, n_hidden: PointerArray) -> dict[str, Float64Array]:
    """Accuracy of lists, each float64, shape ``(n,)``; relevance is binary.

    Args:
        hits: whether the item at each rank was hidden, shape ``(n, k)``.
        n_hidden: hidden items of each person, at least 1, shape ``(n,)``.
    """
    n_hits = hits.sum(axis=1).astype(np.float64)
    k = hits.shape[1]
    reachable = np.minimum(n_hidden, k)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    ranks = np.arange(1, k + 1)
    precisions_at_hits = np.where(hits, np.cumsum(hits, axis=1) / ranks, 0.0).sum(axis=1)
    anything = n_hits > 0
    return {
        "ndcg": hits @ discounts / ideal[reachable],
        "recall": n_hits / reachable,
        "uncapped_recall": n_hits / n_hidden,
        "precision": n_hits / k,
        "map": precisions_at_hits / reachable,
        "mrr": np.where(anything, 1 / (1 + hits.argmax(axis=1)), 0.0),
        "hit_rate": anything.astype(np.float64),
    }


def mean_listed(lists: RowArray, of_item: FloatArray | PointerArray) -> Float64Array:
    """Mean over each list of a property of items, ``(n_items,)``: shape ``(n,)``; 0 of an empty list."""
    listed = lists != NOBODY
    total = np.where(listed, of_item[lists], 0.0).sum(axis=1, dtype=np.float64)
    mean: Float64Array = total / np.maximum(listed.sum(axis=1), 1)
    return mean


def self_information(popularity: PointerArray, n_users: int) -> Float64Array:
    """How surprising an item is, in bits: −log₂(its users / all users), shape ``(n_items,)``.

    An item without any user counts as one of a single user.
    """
    information: Float64Array = -np.log2(np.maximum(popularity, 1) / max(n_users, 1))
    return information


def errors(predicted: Float32Array, actual: Float32Array, users: RowArray, n_users: int) -> dict[str, Parts]:
    """Squared and absolute errors by user: the parts of RMSE and MAE."""
    difference = predicted.astype(np.float64) - actual
    n_entries = np.bincount(users, minlength=n_users).astype(np.float64)
    squared, absolute = (
        np.bincount(users, weights=error, minlength=n_users).astype(np.float64)
        for error in (difference**2, np.abs(difference))
    )
    return {"rmse": (squared, n_entries), "mae": (absolute, n_entries)}


def coverage(listed: PointerArray) -> float:
    """Share of the items that are in any list, given how often each was listed, ``(n_items,)``."""
    return float((listed > 0).mean())


def gini(listed: PointerArray) -> float:
    """Gini coefficient of how often each item was listed: 0 all alike, near 1 a few items take it all."""
    ordered = np.sort(listed).astype(np.float64)
    n, total = len(ordered), ordered.sum()
    if total == 0:
        return float("nan")
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total))


def popularity_groups(popularity: PointerArray, n_groups: int) -> RowArray:
    """Group items by popularity so that each group holds about the same number of interactions.

    Returns:
        The group of each item, int32, shape ``(n_items,)``: 0 the most popular items, which are few.
    """
    order = np.argsort(-popularity, kind="stable")
    ordered = popularity[order]
    before = np.cumsum(ordered) - ordered
    groups = np.empty(len(popularity), dtype=np.int32)
    groups[order] = np.minimum(before * n_groups // max(int(popularity.sum()), 1), n_groups - 1)
    return groups
