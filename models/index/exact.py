"""Exact search: every score is computed. Graphs are measured against it and fall to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from models.index.base import Eligible
    from models.index.head import Head
    from models.types import Float32Array, Float64Array, RowArray

SMALLEST_NORM = float(np.finfo(np.float32).tiny)
"""Shorter vectors count as zero: the inverse of their norm is no float32."""
_NOTHING = np.empty(0, dtype=np.int32)
ROUNDING = 4e-6
"""How far apart two float32 evaluations of x·q may be, as a share of abs(x)·abs(q)."""
_MOST_TIES = 4096
"""Beyond this many ties at the k-th place the first evaluation breaks them, so that memory stays bounded."""
_BLOCK_SCORES = 1 << 24
"""Scores that `ExactIndex.search_many` holds at once: 64 MiB."""
_GATHERED_BYTES = 1 << 18
"""Vectors that `ExactIndex.search_among` copies at once: they stay in the CPU's cache."""


class ExactIndex:
    """Scans all vectors for the largest inner products.

    A matrix product rounds differently from row to row and from shape to shape, so it only selects; the
    scores returned are dot products of one row each. The same row has the same score, to the bit, whatever k,
    the exclusions, and the index that found it.

    Args:
        vectors: float32, shape ``(n, d)``; may be memory-mapped, is never copied.
        scale: float32, shape ``(n,)``, multiplied to the scores; a vector of scale 0 is never returned. With
            1/|v| and queries of length 1, scores are cosines.
        head: the rows that are scanned first, and alone where that settles a query; not with a scale.
    """

    def __init__(
        self, vectors: Float32Array, scale: Float32Array | None = None, head: Head | None = None
    ) -> None:
        self.vectors: Float32Array = vectors.view(
            np.ndarray
        )  # indexing a numpy.memmap costs microseconds more
        self.scale = scale
        self.head = head
        self._never = _NOTHING if scale is None else np.flatnonzero(scale == 0).astype(np.int32)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def n_eligible(self) -> int:
        """Number of rows that can be returned."""
        return len(self) - len(self._never)

    def scores(self, vector: Float32Array, rows: RowArray) -> Float32Array:
        """Scores of some rows: float32, shape of `rows`."""
        scores: Float32Array = np.vecdot(self.vectors.take(rows, axis=0), vector)
        if self.scale is not None:
            scores *= self.scale.take(rows)
        return scores

    def rank(self, vector: Float32Array, rows: RowArray) -> tuple[RowArray, Float32Array]:
        """Rows and their scores, best first, equal scores in the order of rows."""
        scores = self.scores(vector, rows)
        order = np.lexsort((rows, -scores))
        return rows.take(order), scores.take(order)

    def search(
        self,
        vector: Float32Array,
        k: int,
        excluded: RowArray = _NOTHING,
        eligible: Eligible | None = None,
    ) -> tuple[RowArray, Float32Array]:
        """The best rows and their scores: see `models.index.base.Index`."""
        found = self.head.search(vector, k, excluded, eligible) if self.head is not None else None
        return self.scan(vector, k, excluded, eligible) if found is None else found

    def scan(
        self,
        vector: Float32Array,
        k: int,
        excluded: RowArray = _NOTHING,
        eligible: Eligible | None = None,
    ) -> tuple[RowArray, Float32Array]:
        """What `search` returns, by computing every score."""
        scores: Float32Array = self.vectors @ vector
        if self.scale is not None:
            scores *= self.scale
        return self.best(scores, vector, k, excluded, eligible)

    def search_among(
        self, vector: Float32Array, k: int, rows: RowArray, excluded: RowArray = _NOTHING
    ) -> tuple[RowArray, Float32Array]:
        """What `search` returns where only some rows are eligible, by computing no other scores.

        Args:
            vector: float32, shape ``(d,)``.
            k: how many.
            rows: the eligible rows, int32, ascending.
            excluded: those of them not to return, int32.
        """
        scores = np.empty(len(rows), dtype=np.float32)
        step = max(1, _GATHERED_BYTES // max(1, self.vectors.shape[1] * self.vectors.itemsize))
        for start in range(0, len(rows), step):
            scores[start : start + step] = self.scores(vector, rows[start : start + step])
        scores[rows.searchsorted(excluded)] = -np.inf
        if self.scale is not None:
            scores[self.scale.take(rows) == 0] = -np.inf
        if 0 < k < len(rows):
            kth = np.partition(scores, len(rows) - k)[len(rows) - k]
            best = np.flatnonzero(scores >= kth)
        else:
            best = np.arange(len(rows))
        best = best[scores[best] > -np.inf]
        order = best[np.lexsort((best, -scores[best]))[:k]]
        return rows.take(order), scores.take(order)

    def search_many(
        self, vectors: Float32Array, k: int, excluded: Iterable[RowArray]
    ) -> Iterator[tuple[RowArray, Float32Array]]:
        """What `search` returns for each query, by blocks of one matrix product and in bounded memory.

        Args:
            vectors: float32, shape ``(queries, d)``.
            k: how many for each query.
            excluded: rows not to return, one array for each query.
        """
        each = iter(excluded)
        scanned = self if self.head is None else self.head.exact
        step = max(1, _BLOCK_SCORES // max(1, len(scanned)))
        for start in range(0, len(vectors), step):
            block = vectors[start : start + step]
            scores: Float32Array = block @ scanned.vectors.T
            if self.scale is not None:
                scores *= self.scale
            for vector, of_its_rows in zip(block, scores, strict=True):
                without = next(each)
                if self.head is None:
                    yield self.best(of_its_rows, vector, k, without)
                else:
                    found = self.head.best(of_its_rows, vector, k, without)
                    yield self.scan(vector, k, without) if found is None else found

    def best(
        self,
        scores: Float32Array,
        vector: Float32Array,
        k: int,
        excluded: RowArray,
        eligible: Eligible | None = None,
    ) -> tuple[RowArray, Float32Array]:
        """The best rows by `scores`, which is overwritten, and by dot products of their own."""
        scores[self._never] = -np.inf
        scores[excluded] = -np.inf
        if eligible is not None:
            np.copyto(scores, -np.inf, where=~eligible.mask)
        rows = self._contenders(scores, vector, k)
        rows, best = self.rank(vector, rows)
        return rows[:k], best[:k]

    def _contenders(self, scores: Float32Array, vector: Float32Array, k: int) -> RowArray:
        """Rows whose score may be among the k best, given that `scores` are rounded."""
        if k <= 0 or not len(scores):
            return _NOTHING
        place = max(len(scores) - k, 0)
        kth = np.partition(scores, place)[place]
        if kth == -np.inf:
            return np.flatnonzero(scores > -np.inf).astype(np.int32)
        rows = np.flatnonzero(scores >= kth - self._rounding(scores, kth, vector)).astype(np.int32)
        if len(rows) > k + _MOST_TIES:
            rows = rows[np.lexsort((rows, -scores[rows]))[:k]]
        return rows

    def _rounding(self, scores: Float32Array, kth: np.float32, vector: Float32Array) -> float:
        """How far the score of a row like the k-th may be from that row's own dot product."""
        row = int((scores == kth).argmax())
        return (
            ROUNDING
            * norm(self.vectors[row])
            * norm(vector)
            * (1.0 if self.scale is None else abs(float(self.scale[row])))
        )


def inverse_norms(vectors: Float32Array) -> Float32Array:
    """1/|v| of each row, 0 where the row is zero: float32, shape ``(n,)``."""
    norms = row_norms(vectors)
    inverse: Float64Array = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > SMALLEST_NORM)
    return inverse.astype(np.float32)


def norm(vector: Float32Array) -> float:
    """|v| by way of float64: squares of float32 are 0 or infinite below 1e-23 and above 1e19."""
    wide = vector.astype(np.float64)
    return math.sqrt(wide.dot(wide))  # half the time of @


def row_norms(vectors: Float32Array) -> Float64Array:
    """|v| of each row: float64, shape ``(n,)``."""
    norms: Float64Array = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    return norms
