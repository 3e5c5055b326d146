"""Splits of a dataset into what a model may see and what it is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.dataset import Dataset
    from models.types import BoolArray


def temporal_split(dataset: Dataset, holdout: float) -> BoolArray:
    """Mark the latest share of all interactions, as if the model had been trained at that moment.

    Args:
        dataset: a dataset with timestamps.
        holdout: the share to hold out, in (0, 1).

    Returns:
        bool, shape ``(n_entries,)``: True for held-out entries. Entries of the same second stay together, so
        the share is met only as nearly as ties allow.

    Raises:
        DataError: there are no timestamps, or all of them are the same.
    """
    if dataset.timestamps is None:
        raise DataError("a holdout by time needs timestamps; name their column with --time-column")
    moment = np.quantile(dataset.timestamps, 1 - holdout, method="nearest")
    held_out: BoolArray = dataset.timestamps >= moment
    if held_out.all():
        raise DataError("a holdout by time needs timestamps that differ; hold out at random instead")
    return held_out


def random_folds(dataset: Dataset, n_folds: int, rng: np.random.Generator) -> Iterator[BoolArray]:
    """Yield `n_folds` disjoint random test sets that cover all entries: bool, shape ``(n_entries,)`` each."""
    fold = rng.permutation(len(dataset.histories.indices)) % n_folds
    for number in range(n_folds):
        yield fold == number
