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
    order = np.lexsort((dataset.timestamps, rows.row_numbers))
    return _last_of_each(order, rows.lengths, _share_of_each(rows.lengths, share))


def random_split(dataset: Dataset, share: float, rng: np.random.Generator) -> BoolArray:
    """Hold out a random share of each user's entries, rounded down: bool, shape ``(n_entries,)``."""
    rows = dataset.histories
    order = np.lexsort((rng.random(len(rows.indices)), rows.row_numbers))
    return _last_of_each(order, rows.lengths, _share_of_each(rows.lengths, share))


def random_folds(dataset: Dataset, n_folds: int, rng: np.random.Generator) -> Iterator[BoolArray]:
    """Yield `n_folds` disjoint random test sets that cover all entries: bool, shape ``(n_entries,)`` each."""
    fold = rng.permutation(len(dataset.histories.indices)) % n_folds
    for number in range(n_folds):
        yield fold == number


def leave_latest_out(dataset: Dataset, count: int) -> BoolArray:
    """Hold out the latest `count` entries of each user who has more: bool, shape ``(n_entries,)``.

    Raises:
        DataError: there are no timestamps.
    """
    if dataset.timestamps is None:
        raise DataError(
            "leaving the latest entries out needs timestamps; name their --time-column, or leave random "
            "ones out with --leave-by random"
        )
    rows = dataset.histories
    return _last_n_of_each(np.lexsort((dataset.timestamps, rows.row_numbers)), rows.lengths, count)


def leave_random_out(dataset: Dataset, count: int, rng: np.random.Generator) -> BoolArray:
    """Hold out `count` random entries of each user who has more: bool, shape ``(n_entries,)``."""
    rows = dataset.histories
    order = np.lexsort((rng.random(len(rows.indices)), rows.row_numbers))
    return _last_n_of_each(order, rows.lengths, count)


def after_cut(dataset: Dataset, share: float) -> tuple[BoolArray, int]:
    """Hold out everything that happened at or after one moment, the same for everybody.

    Args:
        dataset: a dataset with timestamps.
        share: of all entries, in (0, 1), that is to be held out. Entries of one second stay together, so a
            little less may be.

    Returns:
        What is held out, bool, shape ``(n_entries,)``, and the moment, seconds since the epoch.

    Raises:
        DataError: there are no timestamps, or one second holds the whole end of the table.
    """
    times = dataset.timestamps
    if times is None:
        raise DataError(
            "a split at one moment needs timestamps; name their --time-column, or choose another --split"
        )
    ordered = np.sort(times)
    n_before = len(times) - int(np.floor(len(times) * share))
    cut = int(ordered[min(n_before, len(times) - 1)])
    if n_before > 0 and ordered[n_before - 1] == cut:  # ties would be torn apart: cut after them
        later = int(np.searchsorted(ordered, cut, side="right"))
        if later == len(times):
            raise DataError(
                f"the latest entries all have the time {cut}, so none can be held out; use a larger "
                "--test-share, or choose another --split"
            )
        cut = int(ordered[later])
    return times >= cut, cut


def random_users(dataset: Dataset, share: float, rng: np.random.Generator) -> BoolArray:
    """A random share of the users, rounded down: bool, shape ``(n_users,)``."""
    n_users = len(dataset.users)
    chosen = np.zeros(n_users, dtype=bool)
    chosen[rng.permutation(n_users)[: int(n_users * share)]] = True
    return chosen


def random_items(dataset: Dataset, share: float, rng: np.random.Generator) -> BoolArray:
    """A random share of the items that have entries, rounded down: bool, shape ``(n_items,)``."""
    seen = np.flatnonzero(dataset.popularity())
    chosen = np.zeros(len(dataset.items), dtype=bool)
    chosen[rng.permutation(seen)[: int(len(seen) * share)]] = True
    return chosen


def _last_n_of_each(order: PointerArray, lengths: PointerArray, count: int) -> BoolArray:
    """Mark the last `count` entries, taken in `order`, of every user who has more than that."""
    return _last_of_each(order, lengths, np.where(lengths > count, count, 0))


def _last_of_each(order: PointerArray, lengths: PointerArray, counts: PointerArray) -> BoolArray:
    """Mark the last `counts` of every user's entries, taken in `order` (sorted by user, then as wished)."""
    position = np.arange(len(order)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    held_out = np.empty(len(order), dtype=bool)
    held_out[order] = position >= np.repeat(lengths - counts, lengths)
    return held_out


def _share_of_each(lengths: PointerArray, share: float) -> PointerArray:
    counts: PointerArray = np.floor(lengths * share).astype(np.int64)
    return counts
