"""Exact search: every score is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.types import BoolArray, Float32Array, Float64Array, RowArray

_NOTHING = np.empty(0, dtype=np.int32)


class ExactIndex:
    """Scans all vectors for the largest inner products.

    Args:
        vectors: float32, shape ``(n, d)``; may be memory-mapped, is never copied.
        scale: float32, shape ``(n,)``, multiplied to the scores; a vector of scale 0 is never returned. With
            1/|v| and queries of length 1, scores are cosines.
    """

    def __init__(self, vectors: Float32Array, scale: Float32Array | None = None) -> None:
        self.vectors = vectors
        self.scale = scale
        self._never = _NOTHING if scale is None else np.flatnonzero(scale == 0).astype(np.int32)

    def __len__(self) -> int:
        return len(self.vectors)

    def scores(self, vector: Float32Array, rows: RowArray) -> Float32Array:
        """Scores of some rows: float32, shape of `rows`."""
        scores: Float32Array = self.vectors[rows] @ vector
        if self.scale is not None:
            scores *= self.scale[rows]
        return scores

    def search(
        self,
        vector: Float32Array,
        k: int,
        excluded: RowArray = _NOTHING,
        eligible: BoolArray | None = None,
    ) -> tuple[RowArray, Float32Array]:
        """The best rows and their scores, best first, equal scores in the order of rows.

        Args:
            vector: float32, shape ``(d,)``.
            k: how many; fewer come back only if fewer are left.
            excluded: rows not to return, int32.
            eligible: the only rows to return, bool, shape ``(n,)``; None: all.
        """
        scores: Float32Array = self.vectors @ vector
        if self.scale is not None:
            scores *= self.scale
            scores[self._never] = -np.inf
        scores[excluded] = -np.inf
        if eligible is not None:
            scores[~eligible] = -np.inf
        rows = _largest(scores, k)
        best: Float32Array = scores[rows]
        return rows, best


def inverse_norms(vectors: Float32Array) -> Float32Array:
    """1/|v| of each row, 0 where the row is zero: float32, shape ``(n,)``."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    inverse: Float64Array = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return inverse.astype(np.float32)


def _largest(scores: Float32Array, k: int) -> RowArray:
    """Positions of the k largest finite scores, largest first, ties by position."""
    k = min(k, len(scores))
    if k == 0:
        return _NOTHING
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > threshold)
    level = np.flatnonzero((scores == threshold) & (threshold > -np.inf))[: k - len(above)]
    rows = np.concatenate([above, level])
    return rows[np.lexsort((rows, -scores[rows]))].astype(np.int32)
