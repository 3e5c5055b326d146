"""What is known of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from app.answers.catalogue import Catalogue
    from app.answers.options import Body
    from app.snapshot import Snapshot


class Items:
    """Metadata and how often an item occurs."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue) -> None:
        self._artifact = snapshot.artifact
        self._catalogue = catalogue

    def item(self, item_id: str) -> Body:
        """What is known of an item.

        Raises:
            UnknownItemError: there is no such item.
        """
        row = self._catalogue.item_row(item_id)
        metadata = self._artifact.metadata(row)
        return {
            "model_version": self._catalogue.version,
            "item_id": item_id,
            "interactions": int(self._artifact.popularity[row]),
            "metadata": None if metadata is None else orjson.loads(metadata),
        }
