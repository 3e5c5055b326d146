"""A dataset: interactions by internal row numbers, ready to be factorized."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from pydantic import JsonValue

from models.errors import DataError
from models.ids import IdMap
from models.row_solve import Rows
from models.row_solve.rows import pointers

if TYPE_CHECKING:
    from models.interactions import Interactions
    from models.types import BoolArray, PointerArray

Metadata: TypeAlias = Mapping[str, Mapping[str, JsonValue]]
"""JSON objects by id."""

_BLOCK: Final = 1 << 22
"""Entries counted at once."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Who did what, by row numbers.

    Attributes:
        users: ids of the histories' rows.
        items: ids of the histories' columns.
        histories: the users' entries, with their times where the table has them.
        has_values: whether the values were given, rather than 1 for every interaction.
        metadata: JSON objects by item id, or None where no items table was given.
        user_metadata: the same by user id.
    """

    users: IdMap
    items: IdMap
    histories: Rows
    has_values: bool
    metadata: Metadata | None = None
    user_metadata: Metadata | None = None

    @property
    def timestamps(self) -> PointerArray | None:
        """Seconds since the epoch, int64, shape ``(n_entries,)``; None where the table has none."""
        return self.histories.times

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_users, n_items)``."""
        return len(self.users), len(self.items)

    def popularity(self) -> PointerArray:
        """Number of interactions of each item: int64, shape ``(n_items,)``."""
        counts = np.zeros(len(self.items), dtype=np.int64)
        items = self.histories.indices
        for start in range(0, len(items), _BLOCK):  # bincount copies what it counts, as int64
            counts += np.bincount(items[start : start + _BLOCK], minlength=len(counts))
        return counts

    def with_entries(self, kept: BoolArray) -> Dataset:
        """The same users and items with only the kept entries, bool, shape ``(n_entries,)``."""
        return replace(self, histories=self.histories.kept(kept))

    def sha256(self) -> str:
        """A digest of the content: ids, entries and timestamps, whatever order the table had."""
        digest = hashlib.sha256()
        for ids in (self.users, self.items):
            for external in ids:
                name = external.encode()
                digest.update(b"%d:%b" % (len(name), name))
        arrays = [self.histories.indptr, self.histories.indices, self.histories.values]
        for array in [*arrays, *([] if self.timestamps is None else [self.timestamps])]:
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def build_dataset(
    interactions: Interactions,
    *,
    min_user_interactions: int = 1,
    min_item_interactions: int = 1,
    metadata: Metadata | None = None,
    user_metadata: Metadata | None = None,
    with_unseen_items: bool = False,
) -> Dataset:
    """Number the users and items and sort the entries by user, then item.

    The thresholds are applied in turn until both hold: dropping an item can bring a user under its own
    threshold (the k-core of the table).

    Args:
        interactions: the table.
        min_user_interactions: users with fewer are dropped.
        min_item_interactions: items with fewer are dropped.
        metadata: JSON objects by item id.
        user_metadata: JSON objects by user id.
        with_unseen_items: whether items with metadata but without interactions, or too few, are numbered too.

    Raises:
        DataError: the thresholds leave nothing.
    """
    users, items = interactions.users, interactions.items
    kept = np.ones(len(users), dtype=bool)
    n_before = -1
    while n_before != (n_before := int(kept.sum())):
        for codes, n_codes, least in (
            (users, len(interactions.user_ids), min_user_interactions),
            (items, len(interactions.item_ids), min_item_interactions),
        ):
            kept &= np.bincount(codes[kept], minlength=n_codes)[codes] >= least
    if not kept.any():
        raise DataError(
            f"no interaction of {len(users)} is left after --min-user-interactions {min_user_interactions} "
            f"and --min-item-interactions {min_item_interactions}; lower them"
        )
    unseen = metadata if with_unseen_items and metadata is not None else ()
    user_map, user_rows = _number(interactions.user_ids, users[kept])
    item_map, item_rows = _number(interactions.item_ids, items[kept], unseen)
    order = np.argsort(user_rows.astype(np.int64) * len(item_map) + item_rows)
    return Dataset(
        user_map,
        item_map,
        Rows(
            pointers(np.bincount(user_rows, minlength=len(user_map))),
            item_rows[order],
            interactions.values[kept][order],
            None if interactions.timestamps is None else interactions.timestamps[kept][order],
        ),
        interactions.has_values,
        metadata,
        user_metadata,
    )


def _number(ids: list[str], codes: np.ndarray, further: Iterable[str] = ()) -> tuple[IdMap, np.ndarray]:
    """Number the ids whose codes occur and `further` ones.

    Returns:
        The map and each code's row, int32, shape of `codes`.
    """
    present = np.unique(codes)
    names = [ids[code] for code in present]
    id_map = IdMap.build(dict.fromkeys([*names, *further]))
    row_of_code = np.zeros(len(ids), dtype=np.int32)
    row_of_code[present] = id_map.to_internal(names, missing="raise")
    return id_map, row_of_code[codes]
