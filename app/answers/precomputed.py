"""Lists that were made at training: looked up, where the question asks nothing that they do not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.types import NOBODY

if TYPE_CHECKING:
    from app.answers.catalogue import Catalogue
    from app.answers.options import Options
    from models.artifact import StoredLists
    from models.types import Float32Array, RowArray


class PrecomputedLists:
    """Everybody's best items, what they have had left out."""

    def __init__(self, lists: StoredLists, catalogue: Catalogue) -> None:
        self._items = lists.items
        self._scores = lists.scores
        self._k = lists.k
        self._catalogue = catalogue

    def best(self, user: int, options: Options) -> tuple[RowArray, Float32Array] | None:
        """The rows that the exact search would find, and their scores; None where it has to search.

        A list that is not full names all items that are left, so it answers any k.
        """
        if (
            not options.exclude_seen
            or options.filter is not None
            or options.page is not None
            or options.diversity
            or options.needs_row
        ):
            return None
        k = options.k
        if not options.exclude and k <= self._k:
            rows = self._items[user, :k]
            if rows[-1] != NOBODY:
                return rows, self._scores[user, :k]
        return self._cut(user, k, options)

    def _cut(self, user: int, k: int, options: Options) -> tuple[RowArray, Float32Array] | None:
        """The same where not all of the stored list counts."""
        rows, scores = self._items[user], self._scores[user]
        if rows[0] == NOBODY:
            return None
        kept = rows != NOBODY
        is_full = bool(kept[-1])
        if options.exclude:
            excluded = self._catalogue.excluded(rows[:0], options.exclude)
            kept &= ~np.isin(rows, excluded)
        rows, scores = rows[kept], scores[kept]
        if is_full and len(rows) < k:
            return None
        return rows[:k], scores[:k]
