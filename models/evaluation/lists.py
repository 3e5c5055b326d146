"""Top-k lists of many people at once, and which of their hidden items are in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from models.row_solve import Rows
    from models.types import BoolArray, Float32Array, RowArray

NOBODY = -1
"""Fills up the lists of those for whom fewer than k items are left."""
_CHUNK = 64


def best_items(scores: Float32Array, known: Rows, k: int) -> RowArray:
    """The k items of the largest scores, best first, equal scores in the order of items.

    Args:
        scores: shape ``(n, n_items)``; overwritten. NaN and −∞ are never listed.
        known: items that are not to be listed, ``n`` rows.
        k: length of the lists.

    Returns:
        int32, shape ``(n, k)``; `NOBODY` where no item is left.
    """
    best = np.full((len(scores), k), NOBODY, dtype=np.int32)
    _fill_best(scores, known.indptr, known.indices, best)
    return best


def found(lists: RowArray, hidden: Rows) -> BoolArray:
    """Whether each listed item is among the hidden ones of its row: bool, shape of `lists`."""
    hits = np.zeros(lists.shape, dtype=np.bool_)
    _fill_hits(lists, hidden.indptr, hidden.indices, hits)
    return hits


@numba.njit(cache=True, parallel=True)
def _fill_best(scores: Any, indptr: Any, indices: Any, best: Any) -> None:  # noqa: ANN401
    n_items, k = scores.shape[1], best.shape[1]
    for row in numba.prange(len(scores)):
        for entry in range(indptr[row], indptr[row + 1]):
            scores[row, indices[entry]] = -np.inf
        # A sorted list and the score to beat. After the first items hardly any gets in, so whole chunks are
        # passed over by a count, which the compiler vectorizes.
        top = np.full(k, -np.inf, dtype=scores.dtype)
        threshold = top[k - 1]
        for start in range(0, n_items, _CHUNK):
            chunk = scores[row, start : start + _CHUNK]
            better = 0
            for place in range(len(chunk)):
                better += chunk[place] > threshold
            if better == 0:
                continue
            for offset in range(len(chunk)):
                score = chunk[offset]
                if score > threshold:
                    place = k - 1
                    while place > 0 and score > top[place - 1]:
                        top[place] = top[place - 1]
                        best[row, place] = best[row, place - 1]
                        place -= 1
                    top[place] = score
                    best[row, place] = start + offset
                    threshold = top[k - 1]


@numba.njit(cache=True, parallel=True)
def _fill_hits(lists: Any, indptr: Any, indices: Any, hits: Any) -> None:  # noqa: ANN401
    for row in numba.prange(len(lists)):
        hidden = indices[indptr[row] : indptr[row + 1]]
        for place in range(lists.shape[1]):
            position = np.searchsorted(hidden, lists[row, place])
            hits[row, place] = position < len(hidden) and hidden[position] == lists[row, place]
