"""Approximate search in a graph: Hierarchical Navigable Small World, by hnswlib.

Three spaces, by how a vector x and a query q become what hnswlib compares:

- ``inner_product``: as they are; distance 1 − q·x. Fast, but not a metric: where norms vary much, parts of
  the true top-k cannot be reached.
- ``augmented_l2``: [x, √(M² − |x|²)] and [q, 0], M the largest norm; then |q̃ − x̃|² = |q|² + M² − 2 q·x, so
  the nearest have the largest inner product. Only links are made by these distances: once the graph stands,
  the added coordinate is taken off, and a walk among the same links compares q·x, which costs less.
- ``cosine``: x/|x|, zero vectors left out; distance 1 − q·x/|x|.

Where norms vary, the order of insertion decides more than any parameter (measured by `python -m
benchmarks.retrieval --orders`). Under the inner product everyone's nearest neighbours are the few of largest
norm; inserted early, they fill their lists with whatever comes first, so they go in last. Augmented vectors
of small norm crowd around one pole, in which a walk is caught that starts there, so they go in last. Under
the cosine a drawn order is good whatever the vectors; orders that follow a property of theirs are not.

References:
    Malkov, Yashunin: Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable
    Small World Graphs, IEEE TPAMI 2018.
    Bachrach et al.: Speeding Up the Xbox Recommender System Using a Euclidean Transformation for
    Inner-Product Spaces, RecSys 2014.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import hnswlib
import numpy as np

from models.index.exact import SMALLEST_NORM, row_norms
from models.index.hnsw_file import among_inner_products, open_graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.index.certificate import GraphSetting, Space
    from models.types import Float32Array, Float64Array, PointerArray, RowArray

_SLICES = 50
_SMALLEST_SLICE = 1_000
_LARGEST_EXPONENT = 50
"""But for cosines a graph holds items times a power of two, so that the largest norm is about 2 to this.
hnswlib compares 1 − x·y, which float32 rounds to 1 for short vectors; multiples have the same order."""
_NOTHING = np.empty(0, dtype=np.int32)


class HnswIndex:
    """A graph over item vectors that proposes row numbers, most promising first.

    Many threads may ask at once; nothing may change the graph meanwhile.
    """

    in_order = True

    def __init__(self, graph: hnswlib.Index, setting: GraphSetting) -> None:
        self._graph = graph
        self._n_vectors = int(graph.element_count)
        self.set_ef(setting.ef)

    @classmethod
    def build(
        cls,
        vectors: Float32Array,
        setting: GraphSetting,
        *,
        rows: RowArray | None = None,
        seed: int,
        threads: int,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> HnswIndex:
        """Build a graph.

        Args:
            vectors: float32, shape ``(n, d)``.
            setting: space, m, ef_construction and ef.
            rows: what is proposed for each vector, int32, shape ``(n,)``; None: 0, 1, 2 and so on.
            seed: of the nodes' levels and of a drawn order. With one thread the graph is a function of it.
            threads: how many insert at once.
            progress: told how many vectors are inserted, of how many.
        """
        norms = row_norms(vectors)
        order = _insertion_order(norms, setting.space, np.random.default_rng(seed))
        graph = _empty_graph(vectors.shape[1], setting.space)
        graph.init_index(
            max_elements=max(len(order), 1),
            ef_construction=setting.ef_construction,
            M=setting.m,
            random_seed=seed,
        )
        largest = float(norms.max(initial=0))
        step = max(_SMALLEST_SLICE, len(order) // _SLICES)
        for start in range(0, len(order), step):
            chosen = order[start : start + step]
            points = _points(vectors[chosen], norms[chosen], largest, setting.space)
            graph.add_items(points, chosen if rows is None else rows[chosen], num_threads=threads)
            progress(start + len(chosen), len(order))
        return cls(among_inner_products(graph) if setting.space == "augmented_l2" else graph, setting)

    @classmethod
    def open(cls, path: Path, setting: GraphSetting, *, dimensions: int, n_vectors: int) -> HnswIndex:
        """Open a saved graph. The file must be trusted, for a damaged one ends the process: verify its hash.

        Args:
            path: the file.
            setting: what it was built with.
            dimensions: length of a vector.
            n_vectors: how many vectors the graph must hold.

        Raises:
            ArtifactError: it is not a whole graph, or holds other vectors than the model: another number, or
                of another length.
        """
        return cls(open_graph(path, dimensions=dimensions, n_vectors=n_vectors), setting)

    def save(self, path: Path) -> None:
        """Write the graph to a file.

        Raises:
            OSError: not all of it could be written; hnswlib itself says nothing of a full disk.
        """
        self._graph.save_index(str(path))
        expected, written = self._graph.index_file_size(), path.stat().st_size
        if written != expected:
            raise OSError(
                f"{path}: only {written:,} of {expected:,} bytes could be written; is the disk full?"
            )

    @property
    def ef(self) -> int:
        """How many candidates a walk keeps; it keeps as many as are asked for where that is more."""
        return self._ef

    def set_ef(self, ef: int) -> None:
        """Set how many candidates a walk keeps. Not while others ask."""
        self._ef = ef
        self._graph.set_ef(ef)

    def use(self, setting: GraphSetting) -> None:
        """Walk as far as the setting says. Not while others ask."""
        self.set_ef(setting.ef)

    def __len__(self) -> int:
        return self._n_vectors

    def candidates(self, vector: Float32Array, k: int) -> RowArray:
        """About the k best rows: see `models.index.base.Graph`."""
        try:
            labels, _ = self._graph.knn_query(vector, k, 1)
        except RuntimeError:  # hnswlib cannot return fewer than k
            return _NOTHING
        rows: RowArray = labels[0].astype(np.int32)
        return rows


def _empty_graph(dimensions: int, space: Space) -> hnswlib.Index:
    if space == "augmented_l2":
        return hnswlib.Index(space="l2", dim=dimensions + 1)
    return hnswlib.Index(space="ip", dim=dimensions)


def _insertion_order(norms: Float64Array, space: Space, rng: np.random.Generator) -> PointerArray:
    """Rows of what goes into the graph, first to last: int64."""
    if space == "cosine":
        return rng.permutation(np.flatnonzero(norms > SMALLEST_NORM))
    return np.argsort(norms if space == "inner_product" else -norms, kind="stable")


def _points(vectors: Float32Array, norms: Float64Array, largest: float, space: Space) -> Float32Array:
    """What goes into the graph for these vectors."""
    if space == "cosine":
        return (vectors / norms[:, np.newaxis]).astype(np.float32)
    exponent = _LARGEST_EXPONENT - math.frexp(largest)[1]
    scaled: Float32Array = np.ldexp(vectors, exponent)
    if space == "inner_product":
        return scaled
    missing = np.sqrt(np.maximum(largest**2 - norms**2, 0))
    return np.column_stack([scaled, np.ldexp(missing, exponent)]).astype(np.float32)
