"""Who has an item in their history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from app.answers.ordering import add_to

if TYPE_CHECKING:
    from app.answers.catalogue import Catalogue
    from app.answers.options import Body
    from app.snapshot import Snapshot
    from models.row_solve import Rows
    from models.types import PointerArray

_BLOCK: Final = 1 << 20
"""Entries looked at in one piece: between two pieces other threads get to run."""


class ItemUsers:
    """The users of items, by a scan of all histories: they are stored by user."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue) -> None:
        self._histories = snapshot.artifact.histories
        self._catalogue = catalogue

    def listed(self, item_id: str, k: int) -> Body:
        """The users who have an item: the largest value first, of equal values the most recent.

        Raises:
            UnknownItemError: there is no such item.
        """
        histories = self._histories
        found = entries_of(histories, self._catalogue.item_row(item_id))
        total = len(found)
        times = np.zeros(total, dtype=np.int64) if histories.times is None else histories.times[found]
        found = found[np.lexsort((-times, -histories.values[found]))[:k]]
        rows = np.searchsorted(histories.indptr, found, side="right") - 1
        external = self._catalogue.users.external
        users: list[Body] = [
            {"user_id": external(row), "value": value, "rank": rank}
            for rank, (row, value) in enumerate(
                zip(rows.tolist(), histories.values[found].tolist(), strict=True), start=1
            )
        ]
        if histories.times is not None:
            add_to(users, "timestamp", histories.times[found])
        return {
            "model_version": self._catalogue.version,
            "item_id": item_id,
            "total": total,
            "k": k,
            "shortfall": k - len(users),
            "users": users,
        }


def entries_of(histories: Rows, item: int) -> PointerArray:
    """Positions of an item's entries in `histories`, ascending: int64, shape ``(n_entries_of_item,)``."""
    indices = histories.indices
    found = [
        start + np.flatnonzero(indices[start : start + _BLOCK] == item)
        for start in range(0, len(indices), _BLOCK)
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])
