"""Vectors at length 1, which cosines are inner products of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from app.snapshot import Snapshot
    from models.types import Float64Array, FloatArray, RowArray


class ItemDirections:
    """The items' factors at length 1, biases left out."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._factors = snapshot.manifest.row_rule.without_bias(snapshot.artifact.item_factors)

    def of(self, items: RowArray) -> Float64Array:
        """Directions, or zeros for items that have none: float64, shape ``(len(items), d)``."""
        return normalized(self._factors[items])


def normalized(vectors: FloatArray) -> Float64Array:
    """Vectors ``(…, d)`` at length 1, or zeros where they have no direction: float64."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    directions: Float64Array = np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
    return directions
