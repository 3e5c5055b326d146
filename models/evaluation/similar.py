"""The eye test: what a model takes to be similar to well-known items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from models.evaluation.lists import best_items
from models.row_solve import Rows

if TYPE_CHECKING:
    from models.evaluation.ranker import Ranker
    from models.types import Float32Array, PointerArray, RowArray

_BLOCK = 64


@runtime_checkable
class HasItemVectors(Protocol):
    """A ranker whose items can be compared by the cosine of vectors."""

    def item_vectors(self) -> Float32Array:
        """What items are compared by: float32, shape ``(n_items, d)``."""
        ...


def well_known(popularity: PointerArray, count: int) -> RowArray:
    """Items to look at: the most popular one of each of `count` equal slices of the upper tenth.

    Spread over the upper tenth (or the first `count` items, if those are more), because the very top is much
    alike for every model.
    """
    order = np.argsort(-popularity, kind="stable")
    reach = min(len(order), max(count, len(order) // 10))
    return order[np.linspace(0, reach, count, endpoint=False).astype(np.int64)][:reach].astype(np.int32)


def similar_items(ranker: Ranker, items: RowArray, k: int) -> RowArray:
    """The k items most similar to each: int32, shape ``(len(items), k)``.

    By the cosine of the item vectors where the ranker has them, as the service does; otherwise what would be
    recommended to somebody who has that one item, which for item-to-item models is the same thing. Where
    there are fewer, -1 fills up: nothing is like an item without a vector.
    """
    lists = [_similar(ranker, items[start : start + _BLOCK], k) for start in range(0, len(items), _BLOCK)]
    return np.concatenate(lists)


def _similar(ranker: Ranker, items: RowArray, k: int) -> RowArray:
    themselves = Rows(np.arange(len(items) + 1, dtype=np.int64), items, np.ones(len(items), dtype=np.float32))
    if not isinstance(ranker, HasItemVectors):
        return best_items(ranker.score_histories(themselves), themselves, k)
    vectors = ranker.item_vectors()
    norms = np.linalg.norm(vectors, axis=1)
    scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > np.finfo(np.float32).tiny)
    scores = (vectors[items] * scale[items, np.newaxis]) @ vectors.T * scale
    scores[:, scale == 0] = -np.inf
    scores[scale[items] == 0] = -np.inf
    return best_items(np.ascontiguousarray(scores, dtype=np.float32), themselves, k)
