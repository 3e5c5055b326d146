"""Items in two dimensions: where they stand along the two axes on which they differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.types import Float32Array, Float64Array, FloatArray, PointerArray

ITEM_MAP: Final = "map"
"""The name of the positions among an artifact's item arrays."""
_BLOCK: Final = 65_536
"""Rows taken at a time, so that a million items need no wide copy of their factors."""


def item_map(factors: FloatArray, weights: PointerArray) -> Float32Array:
    """Project the items' directions on their first two principal axes.

    With u the factors at length 1 and w the weights, scaled to sum to 1, the axes are the eigenvectors of
    Σ w (u - ū)(u - ū)ᵀ with the two largest eigenvalues (Pearson 1901, "On lines and planes of closest fit").
    Directions, as similar items are found by cosine; weighted, as what few people had is mostly noise. The
    largest coordinate of an axis is positive, so that training again does not turn the map over.

    Args:
        factors: without bias, shape ``(n_items, d)``.
        weights: interactions of each item, shape ``(n_items,)``.

    Returns:
        Positions, float32, shape ``(n_items, 2)``; the second column is zero where d is 1. An item without
        direction stands where the zero vector does.
    """
    width = factors.shape[1]
    shares = weights / max(weights.sum(), 1)
    mean, second = np.zeros(width), np.zeros((width, width))
    for rows, directions in _directions(factors):
        mean += shares[rows] @ directions
        second += directions.T @ (directions * shares[rows, np.newaxis])
    _, axes = np.linalg.eigh(second - np.outer(mean, mean))  # eigenvalues ascending
    axes = axes[:, : -min(width, 2) - 1 : -1]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    positions = np.zeros((len(factors), 2), dtype=np.float32)
    for rows, directions in _directions(factors):
        positions[rows, : axes.shape[1]] = (directions - mean) @ axes
    return positions


def _directions(factors: FloatArray) -> Iterator[tuple[slice, Float64Array]]:
    """The factors at length 1, or zero, block by block."""
    for start in range(0, len(factors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        wide = factors[rows].astype(np.float64)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
        yield rows, np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)
