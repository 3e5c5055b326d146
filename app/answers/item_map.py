"""The map: where items stand in two dimensions."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from models.item_map import ITEM_MAP, item_map

if TYPE_CHECKING:
    from app.answers.catalogue import Catalogue
    from app.answers.options import Body
    from app.snapshot import Snapshot
    from models.types import FloatArray

MOST_ITEMS: Final = 50_000
"""Items of one answer: some 4 MB of JSON, and as many as a page can draw in each frame."""


class ItemMap:
    """Positions of the items, the most popular first."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue) -> None:
        self._snapshot = snapshot
        self._artifact = snapshot.artifact
        self._catalogue = catalogue

    def positions(self) -> Body:
        """The most popular items: ids, titles, positions and how often each occurs, as columns."""
        rows = self._snapshot.by_popularity[:MOST_ITEMS]
        named = [self._catalogue.named(row) for row in rows.tolist()]
        places = self._places[rows].astype(np.float64).round(4)
        return {
            "model_version": self._catalogue.version,
            "left_out": len(self._artifact.items) - len(rows),
            "item_ids": [each["item_id"] for each in named],
            "titles": [each.get("title") for each in named],
            "x": places[:, 0].tolist(),
            "y": places[:, 1].tolist(),
            "interactions": self._artifact.popularity[rows].tolist(),
        }

    @cached_property
    def _places(self) -> FloatArray:
        """Positions, shape ``(n_items, 2)``: as stored, or computed for an artifact older than maps."""
        stored = self._artifact.item_arrays.get(ITEM_MAP)
        if stored is not None and stored.shape[1:] == (2,):
            return stored
        factors = self._snapshot.manifest.row_rule.without_bias(self._artifact.item_factors)
        return item_map(factors, self._artifact.popularity)
