"""The rows of largest norm, and when no other row can be among a query's best.

By Cauchy and Schwarz q·x ≤ |q||x|. So where the k-th best score among the rows of largest norm is above |q|
times the largest norm of the others, the best of these rows are the best of all. The norms of trained items
differ so widely that a few per cent of a large catalogue settle nearly every query, exactly. Where they do
not, as for long lists, only others whose norm is large enough for that k-th score are scored besides.

References:
    Teflioudi, Gemulla, Mykytiuk: LEMP: Fast Retrieval of Large Entries in a Matrix Product, SIGMOD 2015,
    sec. 4.1 (length-based pruning).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.index.base import Eligible
from models.index.exact import ROUNDING, ExactIndex, norm, row_norms

if TYPE_CHECKING:
    from models.types import Float32Array, RowArray

_SPARE: Final = 0.8
"""Share of the norm that nearly all sampled queries need; the rest is for queries unlike them."""
_UNSETTLED: Final = 0.01
"""Share of the sampled queries that may need more than the head."""
_LARGEST_SHARE: Final = 0.5
"""Of all rows. A larger head is not worth its memory, which is that of its vectors."""
_BESIDES: Final = 1 / 8
"""Of all rows, scored one by one besides the head. More of them take longer than a scan."""
_GAP: Final = 1e-9
"""Between the norms of the head's last row and of the next, as a share: another machine rounds otherwise."""


class Head:
    """The rows whose norm is at least `shortest`.

    Args:
        vectors: all rows, float32, shape ``(n, d)``; those of the head are copied.
        shortest: the norm.

    Attributes:
        shortest_norm: as given.
        rows: of the head, int32, ascending.
        exact: the exact index over their vectors.
    """

    def __init__(self, vectors: Float32Array, shortest: float) -> None:
        self.shortest_norm = shortest
        norms = row_norms(vectors)
        inside = norms >= shortest
        self.rows: RowArray = np.flatnonzero(inside).astype(np.int32)
        self.exact = ExactIndex(vectors[self.rows])
        self._all = ExactIndex(vectors)
        others = np.flatnonzero(~inside).astype(np.int32)
        self._others = others[np.argsort(norms[others])]
        self._reach = norms[self._others] * (1 + ROUNDING) + ROUNDING * norms.max(initial=0)
        self._least = float(self._reach.max(initial=0))

    def settles(self, vector: Float32Array, kth: float) -> bool:
        """Whether no row outside the head scores as much as the k-th best found so far."""
        return kth > self._least * norm(vector)

    def search(
        self, vector: Float32Array, k: int, excluded: RowArray, eligible: Eligible | None
    ) -> tuple[RowArray, Float32Array] | None:
        """What `ExactIndex.search` returns, from the head and few others; None where too many matter."""
        return self.best(self.exact.vectors @ vector, vector, k, excluded, eligible)

    def best(
        self,
        scores: Float32Array,
        vector: Float32Array,
        k: int,
        excluded: RowArray,
        eligible: Eligible | None = None,
    ) -> tuple[RowArray, Float32Array] | None:
        """The same where the scores of the head's rows are known; they are overwritten."""
        places = self.rows.searchsorted(excluded)
        here = self.rows.take(places, mode="clip") == excluded
        among = None if eligible is None else Eligible.where(eligible.mask.take(self.rows))
        rows, found = self.exact.best(scores, vector, k, places[here], among)
        if not 0 < len(rows) == k:
            return None
        rows = self.rows.take(rows)
        if self.settles(vector, float(found[-1])):
            return rows, found
        return self._with_others(rows, found, vector, excluded, eligible)

    def _with_others(
        self,
        rows: RowArray,
        scores: Float32Array,
        vector: Float32Array,
        excluded: RowArray,
        eligible: Eligible | None,
    ) -> tuple[RowArray, Float32Array] | None:
        """The same from these best of the head, and from all others that may be as good as their last."""
        length, k = norm(vector), len(rows)
        first = int(self._reach.searchsorted(float(scores[-1]) / length)) if length else 0
        if len(self._others) - first > _BESIDES * len(self._all):
            return None
        others = np.sort(self._others[first:])
        if eligible is not None:
            others = others[eligible.mask.take(others)]
        others = np.setdiff1d(others, excluded, assume_unique=True)
        others, their_scores = self._all.search_among(vector, k, others)
        rows, scores = np.concatenate([rows, others]), np.concatenate([scores, their_scores])
        order = np.lexsort((rows, -scores))[:k]
        return rows.take(order), scores.take(order)


def shortest_norm(vectors: Float32Array, queries: Float32Array, kth_scores: Float32Array) -> float | None:
    """The norm from which rows are to be in the head, so that it settles nearly all of some sampled queries.

    Args:
        vectors: all rows, float32, shape ``(n, d)``.
        queries: float32, shape ``(m, d)``.
        kth_scores: the score of the last that each shall find, float32, shape ``(m,)``; −∞ for none.

    Returns:
        The norm, between those of two rows; None where a head would have too many rows.
    """
    lengths = row_norms(queries)
    asked = lengths > 0
    if not asked.any():
        return None
    needed = _SPARE * float(np.quantile(kth_scores[asked] / lengths[asked], _UNSETTLED, method="lower"))
    norms = np.sort(row_norms(vectors))
    place = int(norms.searchsorted(needed))
    while 0 < place < len(norms) and norms[place] - norms[place - 1] <= _GAP * norms[place]:
        place -= 1
    if place < (1 - _LARGEST_SHARE) * len(norms) or place == len(norms):
        return None
    return float(norms[place - 1] + norms[place]) / 2
