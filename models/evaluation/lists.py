"""Top-k lists of many people at once, and which of their hidden items are in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from models.types import NOBODY

if TYPE_CHECKING:
    from models.row_solve import Rows
    from models.types import BoolArray, Float32Array, RowArray

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
    for row in numba.prange(len(scores)):
        for entry in range(indptr[row], indptr[row + 1]):
            scores[row, indices[entry]] = -np.inf
        top = np.full(best.shape[1], -np.inf, dtype=scores.dtype)
        insert_best(scores[row], 0, best[row], top)


@numba.njit(cache=True, nogil=True)
def insert_best(scores: Any, first: Any, best: Any, top: Any) -> None:  # noqa: ANN401
    """Let the items `first`, `first` + 1, … into a sorted list where their scores beat the list's.

    Args:
        scores: of these items; NaN and −∞ do not get in.
        first: number of the first of them.
        best: the list's items, int32, shape ``(k,)``; changed in place.
        top: their scores, best first, −∞ where there is no item yet; likewise.
    """
    last = len(top) - 1
    threshold = top[last]
    # After the first items hardly any gets in, so whole chunks are passed over by a count, which the compiler
    # vectorizes.
    for start in range(0, len(scores), _CHUNK):
        chunk = scores[start : start + _CHUNK]
        better = 0
        for place in range(len(chunk)):
            better += chunk[place] > threshold
        if better == 0:
            continue
        for offset in range(len(chunk)):
            score = chunk[offset]
            if score > threshold:
                place = last
                while place > 0 and score > top[place - 1]:
                    top[place] = top[place - 1]
                    best[place] = best[place - 1]
                    place -= 1
                top[place] = score
                best[place] = first + start + offset
                threshold = top[last]


@numba.njit(cache=True, parallel=True)
def _fill_hits(lists: Any, indptr: Any, indices: Any, hits: Any) -> None:  # noqa: ANN401
    for row in numba.prange(len(lists)):
        hidden = indices[indptr[row] : indptr[row + 1]]
        for place in range(lists.shape[1]):
            position = np.searchsorted(hidden, lists[row, place])
            hits[row, place] = position < len(hidden) and hidden[position] == lists[row, place]
