"""The users and items of one model, as requests name them and as answers list them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import orjson

from models.errors import UnknownItemError, UnknownUserError
from models.index.base import Eligible
from models.item_filter import FilterMasks, ItemFilter, parse_filter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.answers.options import Body, Options
    from app.snapshot import Snapshot
    from models.types import FloatArray, RowArray


class Catalogue:
    """External ids to rows and back; exclusions and filters to rows."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.version = snapshot.version
        self._artifact = snapshot.artifact
        self.users = snapshot.artifact.users
        self.items = snapshot.artifact.items
        self._filters = FilterMasks(snapshot.artifact.item_fields)

    def user_row(self, user_id: str) -> int:
        """The row of a user; raises UnknownUserError."""
        row = self.users.get(user_id)
        if row is None:
            raise self.unknown_user(user_id)
        return row

    def item_row(self, item_id: str) -> int:
        """The row of an item; raises UnknownItemError."""
        row = self.items.get(item_id)
        if row is None:
            raise self.unknown_item(item_id)
        return row

    def unknown_user(self, user_id: str) -> UnknownUserError:
        """The refusal of a user who is not there."""
        return UnknownUserError(
            f"user {user_id!r} is not among the {len(self.users)} users of model {self.version}; "
            "POST /fold-in takes the history of anybody"
        )

    def unknown_item(self, item_id: str) -> UnknownItemError:
        """The refusal of an item that is not there."""
        return UnknownItemError(
            f"item {item_id!r} is not among the {len(self.items)} items of model {self.version}; "
            "ids are compared exactly, and an item is in a model trained on interactions with it"
        )

    def excluded(self, seen: RowArray, exclude: Sequence[str]) -> RowArray:
        """Rows never to return, ascending and distinct. An excluded id that is unknown excludes nothing."""
        if not exclude:
            return seen
        return np.union1d(seen, self.items.to_internal(exclude, missing="drop")).astype(np.int32)

    def eligible(self, options: Options) -> Eligible | None:
        """What the filter lets through; None: everything.

        Raises:
            RequestError: the filter does not suit the metadata.
        """
        if options.filter is None or isinstance(options.filter, Eligible):
            return options.filter
        if isinstance(options.filter, ItemFilter):
            return self._filters.eligible(options.filter)
        return self._filters.eligible(parse_filter(options.filter, self._filters.fields))

    def resolved(self, options: Options) -> Options:
        """The options with the ids to exclude and the filter looked up, once for many lists."""
        known = tuple(item_id for item_id in set(options.exclude) if item_id in self.items)
        return replace(options, exclude=known, filter=self.eligible(options))

    def named(self, row: int) -> Body:
        """The id of an item, and its title where the metadata have one."""
        named = {"item_id": self.items.external(row)}
        metadata = self._artifact.metadata(row)
        if metadata is not None:
            title = orjson.loads(metadata).get("title")
            if isinstance(title, str):
                named["title"] = title
        return named

    def listed(self, rows: RowArray, scores: FloatArray, first: int = 1) -> list[Body]:
        """The items of a list in the given order; `first` is the rank of the first."""
        listed = zip(self.items.to_external(rows), scores.tolist(), strict=True)
        return [
            {"item_id": item_id, "score": score, "rank": rank}
            for rank, (item_id, score) in enumerate(listed, first)
        ]
