"""Splits of a dataset into what a model may see and what it is judged by.

A split is a boolean mask over the dataset's entries: True for what is held out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.dataset import Dataset
    from models.types import BoolArray, PointerArray


def latest_split(dataset: Dataset, share: float) -> BoolArray:
    """Hold out each user's latest entries: bool, shape ``(n_entries,)``.

    Every user keeps a past and gets a future, so almost all of them are judged. Other users' futures stay in
    the training set: the split measures what a model knows of people, not what it foresees of trends.

    Args:
        dataset: a dataset with timestamps.
        share: of each user's entries, in (0, 1), rounded down; entries of one second are told apart by item.

    Raises:
        DataError: there are no timestamps.
    """
    if dataset.timestamps is None:
        raise DataError(
            "a holdout by time needs timestamps; name their --time-column, or use --holdout random"
        )
    rows = dataset.histories
    return _last_of_each(np.lexsort((dataset.timestamps, rows.row_numbers)), rows.lengths, share)


def random_split(dataset: Dataset, share: float, rng: np.random.Generator) -> BoolArray:
    """Hold out a random share of each user's entries, rounded down: bool, shape ``(n_entries,)``."""
    rows = dataset.histories
    return _last_of_each(np.lexsort((rng.random(len(rows.indices)), rows.row_numbers)), rows.lengths, share)


def random_folds(dataset: Dataset, n_folds: int, rng: np.random.Generator) -> Iterator[BoolArray]:
    """Yield `n_folds` disjoint random test sets that cover all entries: bool, shape ``(n_entries,)`` each."""
    fold = rng.permutation(len(dataset.histories.indices)) % n_folds
    for number in range(n_folds):
        yield fold == number


def _last_of_each(order: PointerArray, lengths: PointerArray, share: float) -> BoolArray:
    """Mark the last `share` of every user's entries, taken in `order` (sorted by user, then as wished)."""
    position = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = lengths - np.floor(lengths * share).astype(np.int64)
    held_out = np.empty(len(order), dtype=bool)
    held_out[order] = position >= np.repeat(kept, lengths)
    return held_out
