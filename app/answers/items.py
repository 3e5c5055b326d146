"""What is known of items."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from models.title_search import TitleSearch

if TYPE_CHECKING:
    from app.answers.catalogue import Catalogue
    from app.answers.options import Body
    from app.snapshot import Snapshot


class Items:
    """Metadata and how often an item occurs."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue) -> None:
        self._artifact = snapshot.artifact
        self._catalogue = catalogue
        self._titles: TitleSearch | None = None
        self._preparing = threading.Lock()

    def search(self, query: str, k: int) -> Body:
        """The items whose titles are most like a query, the more popular first where they are as like it.

        The first search prepares for all others: about a second for 100,000 titles.
        """
        with self._preparing:
            if self._titles is None:
                self._titles = self._prepared()
        rows, likenesses = self._titles.search(query, k)
        found = zip(rows.tolist(), likenesses.tolist(), strict=True)
        items = [
            {**self._described(row), "score": likeness, "rank": rank}
            for rank, (row, likeness) in enumerate(found, start=1)
        ]
        return {
            "model_version": self._catalogue.version,
            "query": query,
            "k": k,
            "shortfall": k - len(items),
            "items": items,
        }

    def _prepared(self) -> TitleSearch:
        n_items = len(self._catalogue.items)
        titles = [
            _title(self._metadata(row)) or self._catalogue.items.external(row) for row in range(n_items)
        ]
        return TitleSearch(titles, self._artifact.popularity.astype(np.int64))

    def _metadata(self, row: int) -> dict[str, Any] | None:
        metadata = self._artifact.metadata(row)
        return None if metadata is None else orjson.loads(metadata)

    def _described(self, row: int) -> Body:
        return {
            "item_id": self._catalogue.items.external(row),
            "interactions": int(self._artifact.popularity[row]),
            "metadata": self._metadata(row),
        }

    def item(self, item_id: str) -> Body:
        """What is known of an item.

        Raises:
            UnknownItemError: there is no such item.
        """
        row = self._catalogue.item_row(item_id)
        return {"model_version": self._catalogue.version, **self._described(row)}


def _title(metadata: dict[str, Any] | None) -> str:
    """What people call the item: its `title`, or else its `name`; empty where it has none."""
    texts = ((metadata or {}).get(member) for member in ("title", "name"))
    return next((text for text in texts if isinstance(text, str)), "")
