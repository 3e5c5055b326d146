"""Several interactions of one user with one item, made one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.types import Float32Array, PointerArray, RowArray

MergePolicy: TypeAlias = Literal["sum", "max", "last"]

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Entries:
    """Interactions as parallel arrays.

    Attributes:
        users: int32, shape ``(n,)``.
        items: int32, shape ``(n,)``.
        values: float32, shape ``(n,)``.
        timestamps: int64 seconds since the epoch, shape ``(n,)``, or None.
    """

    users: RowArray
    items: RowArray
    values: Float32Array
    timestamps: PointerArray | None


def has_duplicates(entries: Entries, n_items: int) -> bool:
    """Whether any user has any item twice; takes a fraction of the room and time of merging."""
    keys = _keys(entries, n_items)
    keys.sort()
    return bool((keys[1:] == keys[:-1]).any())


def find_repeats(entries: Entries, n_items: int) -> PointerArray:
    """The interactions that repeat an earlier one.

    Returns:
        int64, shape ``(n_repeats, 2)``: the row that repeats and the first one of the same user and item, in
        file order.
    """
    order, starts = _groups(entries, n_items)
    first_rows = np.empty(len(order), dtype=np.int64)
    first_rows[order] = np.repeat(np.minimum.reduceat(order, starts), _sizes(order, starts))
    repeats = np.flatnonzero(first_rows != np.arange(len(order)))
    return np.column_stack([repeats, first_rows[repeats]])


def merge_duplicates(entries: Entries, n_items: int, policy: MergePolicy) -> Entries:
    """One entry for each user and item, in the order of their first.

    Args:
        entries: the interactions in file order.
        n_items: how many items there are.
        policy: the merged value: the sum, the largest, or that of the last interaction (the one of the latest
            timestamp, of those the last in the file; without timestamps the last in the file). The merged
            timestamp is the latest under every policy.
    """
    order, starts = _groups(entries, n_items)
    first_rows = np.minimum.reduceat(order, starts)
    is_first = np.zeros(len(order), dtype=bool)
    is_first[first_rows] = True

    def in_file_order(merged: NDArray[Scalar]) -> NDArray[Scalar]:
        by_row = np.empty(len(order), dtype=merged.dtype)
        by_row[first_rows] = merged
        return by_row[is_first]

    latest = None
    last_candidates = order
    if entries.timestamps is not None:
        timestamps = entries.timestamps[order]
        latest = np.maximum.reduceat(timestamps, starts)
        if policy == "last":
            is_latest = timestamps == np.repeat(latest, _sizes(order, starts))
            last_candidates = np.where(is_latest, order, -1)
        del timestamps
        latest = in_file_order(latest)
    if policy == "last":
        values = entries.values[np.maximum.reduceat(last_candidates, starts)]
    else:
        reduce = np.add if policy == "sum" else np.maximum
        with np.errstate(over="ignore"):  # the caller looks for overflow
            values = reduce.reduceat(entries.values[order], starts, dtype=np.float64).astype(np.float32)
    return Entries(entries.users[is_first], entries.items[is_first], in_file_order(values), latest)


def _groups(entries: Entries, n_items: int) -> tuple[PointerArray, PointerArray]:
    """Rows ordered so that those of one user and item stand together, and where each such group starts."""
    keys = _keys(entries, n_items)
    order = np.argsort(keys)
    keys.sort()
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    return order, starts


def _sizes(order: PointerArray, starts: PointerArray) -> PointerArray:
    return np.diff(starts, append=len(order))


def _keys(entries: Entries, n_items: int) -> PointerArray:
    keys: PointerArray = entries.users.astype(np.int64)
    keys *= n_items
    keys += entries.items
    return keys
