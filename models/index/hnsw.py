"""Approximate search in a graph: Hierarchical Navigable Small World, by hnswlib.

Three spaces, by how a vector x and a query q become what hnswlib compares:

- ``inner_product``: as they are; distance 1 − q·x. Fast, but not a metric: where norms vary much, parts of
  the true top-k cannot be reached.
- ``augmented_l2``: [x, √(M² − |x|²)] and [q, 0], M the largest norm; then |q̃ − x̃|² = |q|² + M² − 2 q·x, so
  the nearest have the largest inner product.
- ``cosine``: x/|x| and q/|q|; zero vectors are left out.

References:
    Malkov, Yashunin: Efficient and Robust Approximate Nearest Neighbor Search Using Hierarchical Navigable
    Small World Graphs, IEEE TPAMI 2018.
    Bachrach et al.: Speeding Up the Xbox Recommender System Using a Euclidean Transformation for
    Inner-Product Spaces, RecSys 2014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hnswlib
import numpy as np

from models.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

    from models.index.certificate import GraphSetting, Space
    from models.types import Float32Array, RowArray

_HNSWLIB_SPACE = {"inner_product": "ip", "augmented_l2": "l2", "cosine": "ip"}


class HnswIndex:
    """A graph over item vectors that answers with row numbers, most promising first."""

    def __init__(self, graph: hnswlib.Index, space: Space, n_vectors: int) -> None:
        self._graph = graph
        self._space = space
        self._n_vectors = n_vectors

    @classmethod
    def build(cls, vectors: Float32Array, setting: GraphSetting, *, seed: int, threads: int) -> HnswIndex:
        """Build a graph.

        Args:
            vectors: float32, shape ``(n, d)``.
            setting: space, m, ef_construction and ef.
            seed: of the nodes' levels. With one thread the graph is a function of it.
            threads: how many insert at once.
        """
        points, rows = _points(vectors, setting.space)
        graph = hnswlib.Index(space=_HNSWLIB_SPACE[setting.space], dim=points.shape[1])
        graph.init_index(
            max_elements=max(len(points), 1),
            ef_construction=setting.ef_construction,
            M=setting.m,
            random_seed=seed,
        )
        graph.add_items(points, rows, num_threads=threads)
        index = cls(graph, setting.space, len(rows))
        index.set_ef(setting.ef)
        return index

    @classmethod
    def open(cls, path: Path, setting: GraphSetting, *, dimensions: int, n_vectors: int) -> HnswIndex:
        """Open a saved graph. The file must be trusted, for a damaged one ends the process: verify its hash.

        Raises:
            ArtifactError: it holds another number of vectors than the model.
        """
        width = dimensions + (setting.space == "augmented_l2")
        graph = hnswlib.Index(space=_HNSWLIB_SPACE[setting.space], dim=width)
        try:
            graph.load_index(str(path))
        except RuntimeError as error:
            raise ArtifactError(f"{path}: not a graph ({error}); publish the artifact again") from error
        found = graph.get_current_count()
        if found > n_vectors:
            raise ArtifactError(
                f"{path}: a graph of {found} vectors, but the model has {n_vectors}; publish it again"
            )
        index = cls(graph, setting.space, found)
        index.set_ef(setting.ef)
        return index

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

    def set_ef(self, ef: int) -> None:
        """Set how many candidates a walk keeps; it keeps k where that is more."""
        self._graph.set_ef(ef)

    def __len__(self) -> int:
        return self._n_vectors

    def candidates(self, vector: Float32Array, k: int) -> RowArray | None:
        """About the k best rows, best first; None where the walk does not find that many.

        Args:
            vector: float32, shape ``(d,)``; for ``cosine`` of length 1.
            k: how many.
        """
        if self._space == "augmented_l2":
            vector = np.append(vector, np.float32(0))
        try:
            labels, _ = self._graph.knn_query(vector, k, num_threads=1)
        except RuntimeError:  # hnswlib cannot return fewer than k
            return None
        rows: RowArray = labels[0].astype(np.int32)
        return rows


def _points(vectors: Float32Array, space: Space) -> tuple[Float32Array, RowArray]:
    """What goes into the graph, and the row numbers it stands for."""
    rows = np.arange(len(vectors), dtype=np.int32)
    if space == "inner_product":
        return np.ascontiguousarray(vectors), rows
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if space == "cosine":
        rows = rows[norms > 0]
        return (vectors[rows] / norms[rows, np.newaxis]).astype(np.float32), rows
    missing = np.sqrt(np.maximum(norms.max(initial=0) ** 2 - norms**2, 0))
    return np.column_stack([vectors, missing]).astype(np.float32), rows
