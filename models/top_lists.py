"""Top-k lists of very many users: a matrix product by tiles that stay in the CPU's cache, on all cores.

Items come in the order of their norms, the largest first. Once the last item selected for a user scores more
than the user's norm times that of the next item, no item to come can score as much (Cauchy and Schwarz), and
the user is done. Of a large catalogue hardly anybody needs more than a few per cent: see `models.index.head`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from models.artifact.arrays import StoredLists
from models.evaluation.lists import insert_best
from models.index.exact import ROUNDING, ExactIndex, row_norms
from models.row_solve import Rows
from models.types import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models.index.base import Eligible
    from models.row_rules import RowRule
    from models.types import Float32Array, RowArray

_TILE_USERS: Final = 256
_TILE_ITEMS: Final = 1024
"""Scores of a tile take 1 MiB, which a core's second cache holds."""
_SPARE: Final = 8
"""Further items that are selected: a product rounds differently from tile to tile, so it only selects."""
_DOUBT: Final = 2 * ROUNDING
"""By this share of abs(x)·abs(q) the last one selected must score below the k-th, lest others beat that."""
_BLOCK_ENTRIES: Final = 1 << 18
"""Entries of lists that are made before any is handed out."""
_LEAST_BLOCK_USERS: Final = 1 << 10


@dataclass(frozen=True, slots=True)
class TopLists:
    """The lists of some users.

    Attributes:
        users: rows of the users, int32, shape ``(n,)``.
        items: rows of the items, best first, int32, shape ``(n, k)``; `NOBODY` where none is left.
        scores: float32, shape ``(n, k)``; −∞ where no item is left.
    """

    users: RowArray
    items: RowArray
    scores: Float32Array


class TopListMaker:
    """Makes top-k lists by exact inner products, equal scores in the order of items.

    Memory does not grow with the number of users: a block of them is in work at a time. A user whose factors
    are zero, such as one with dislikes only, has an empty list unless items have biases to be ranked by: any
    order of the items would be a guess.

    Args:
        rule: the convention by which factors become scores.
        user_factors: float32, shape ``(n_users, D)``; may be memory-mapped.
        item_factors: float32, shape ``(n_items, D)``; likewise.
        eligible: the only items to list; None: all.
    """

    def __init__(
        self,
        rule: RowRule,
        user_factors: Float32Array,
        item_factors: Float32Array,
        eligible: Eligible | None = None,
    ) -> None:
        self._rule = rule
        self._users = user_factors
        self._eligible = eligible
        self._items: Float32Array = (
            item_factors.view(np.ndarray) if eligible is None else item_factors[eligible.rows]
        )
        self._has_biases = rule.biased and bool(self._items[:, -1].any())
        self._exact = ExactIndex(self._items)
        norms = row_norms(self._items)
        self._by_norm: RowArray = np.argsort(-norms, kind="stable").astype(np.int32)
        self._places = np.empty_like(self._by_norm)
        self._places[self._by_norm] = np.arange(len(norms), dtype=np.int32)
        self._norms = norms[self._by_norm]
        self._longest = float(norms.max(initial=0))

    def lists(self, users: RowArray, k: int, seen: Rows | None = None) -> Iterator[TopLists]:
        """The lists of some users, block by block.

        Args:
            users: int32, shape ``(n,)``.
            k: how many items.
            seen: the histories of all users, whose items are not listed; None: all items are.
        """
        cores = len(os.sched_getaffinity(0))
        # Each thread multiplies by itself: threads of the BLAS would wait for one another at every tile.
        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(cores) as threads:
            step = max(_LEAST_BLOCK_USERS, _BLOCK_ENTRIES // k)
            for start in range(0, len(users), step):
                block = users[start : start + step]
                parts = [block[at : at + _TILE_USERS] for at in range(0, len(block), _TILE_USERS)]
                made = list(threads.map(lambda part: self._lists(part, k, seen), parts))
                items, scores = (np.concatenate(arrays) for arrays in zip(*made, strict=True))
                yield TopLists(block, items, scores)

    def _lists(self, users: RowArray, k: int, seen: Rows | None) -> tuple[RowArray, Float32Array]:
        """Items and scores of a few users, each of shape ``(len(users), k)``."""
        vectors = self._users[users]
        queries = self._rule.query(vectors)
        known = self._known(users, seen)
        best = self._selected(queries, k + _SPARE, known)
        if not self._has_biases:
            best[~self._rule.without_bias(vectors).any(axis=1)] = NOBODY
        if not len(self._items):
            return best[:, :k], np.full((len(users), k), -np.inf, dtype=np.float32)
        scores: Float32Array = np.vecdot(self._items[best], queries[:, np.newaxis, :])
        scores[best == NOBODY] = -np.inf
        order = np.lexsort((best, -scores), axis=-1)
        best, scores = np.take_along_axis(best, order, axis=1), np.take_along_axis(scores, order, axis=1)
        doubt = _DOUBT * self._longest * np.linalg.norm(queries, axis=1)
        doubtful = (best[:, -1] != NOBODY) & (scores[:, -1] + doubt >= scores[:, k - 1])
        best, scores = best[:, :k], scores[:, :k]
        for row in np.flatnonzero(doubtful).tolist():
            best[row], scores[row] = self._exact.search(queries[row], k, known.row(row)[0])
        shifts = np.array([self._rule.shift(vector) for vector in vectors], dtype=np.float32)
        return self._catalogue_rows(best), scores + shifts[:, np.newaxis]

    def _selected(self, queries: Float32Array, count: int, known: Rows) -> RowArray:
        """The items that score best, nearly in order: shape ``(len(queries), count)``."""
        best = np.full((len(queries), count), NOBODY, dtype=np.int32)
        top = np.full(best.shape, -np.inf, dtype=np.float32)
        known = self._by_place(known)
        lengths = row_norms(queries)
        left = np.flatnonzero(lengths).astype(np.int32)
        scores = np.empty(len(queries) * _TILE_ITEMS, dtype=np.float32)
        for first in range(0, len(self._items), _TILE_ITEMS):
            reach = lengths[left] * (self._norms[first] + _DOUBT * self._longest)
            left = left[top[left, -1] <= reach]
            if not len(left):
                break
            items = self._items[self._by_norm[first : first + _TILE_ITEMS]]
            tile = scores[: len(left) * len(items)].reshape(len(left), len(items))
            np.matmul(queries[left], items.T, out=tile)
            _merge(tile, first, left, known.indptr, known.indices, best, top)
        found = best != NOBODY
        best[found] = self._by_norm[best[found]]
        return best

    def _by_place(self, known: Rows) -> Rows:
        """The same with the places of items by norm for their rows, ascending."""
        places = self._places[known.indices]
        return replace(known, indices=places[np.lexsort((places, known.row_numbers))])

    def _known(self, users: RowArray, seen: Rows | None) -> Rows:
        """What is not to be listed, in rows of the eligible items."""
        if seen is None:
            return Rows(np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
        known = seen.select(users)
        if self._eligible is None:
            return known
        known = known.kept(self._eligible.mask[known.indices])
        return replace(known, indices=np.searchsorted(self._eligible.rows, known.indices).astype(np.int32))

    def _catalogue_rows(self, items: RowArray) -> RowArray:
        """Rows of the catalogue from rows of the eligible items."""
        if self._eligible is None:
            return items
        return np.where(items == NOBODY, NOBODY, self._eligible.rows[items])


def stored_lists(
    maker: TopListMaker, seen: Rows, k: int, progress: Callable[[int, int], None] = lambda _done, _of: None
) -> StoredLists:
    """Everybody's lists for an artifact, what they have had left out.

    Args:
        maker: of the model.
        seen: the histories of all users.
        k: length of the lists.
        progress: told how many users are done, of how many.
    """
    n_users = len(seen)
    items = np.empty((n_users, k), dtype=np.int32)
    scores = np.empty((n_users, k), dtype=np.float32)
    for block in maker.lists(np.arange(n_users, dtype=np.int32), k, seen):
        items[block.users] = block.items
        scores[block.users] = np.where(block.items == NOBODY, 0, block.scores)
        progress(int(block.users[-1]) + 1, n_users)
    return StoredLists(items, scores)


@numba.njit(cache=True, nogil=True)
def _merge(
    tile: Any,  # noqa: ANN401
    first: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    indptr: Any,  # noqa: ANN401
    indices: Any,  # noqa: ANN401
    best: Any,  # noqa: ANN401
    top: Any,  # noqa: ANN401
) -> None:
    """Let the items of a tile, whose rows are these of the lists, into them, but for the known ones."""
    for number, row in enumerate(rows):
        known = indices[indptr[row] : indptr[row + 1]]
        for entry in range(np.searchsorted(known, first), np.searchsorted(known, first + tile.shape[1])):
            tile[number, known[entry] - first] = -np.inf
        insert_best(tile[number], first, best[row], top[row])
