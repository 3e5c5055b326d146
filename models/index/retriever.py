"""Top-k retrieval with exclusions: the graph where it is good and cheaper, else the exact scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.index.hnsw import HnswIndex

if TYPE_CHECKING:
    from pathlib import Path

    from models.index.certificate import RecallCertificate
    from models.index.exact import ExactIndex
    from models.types import Float32Array, RowArray


class Retriever:
    """Answers top-k queries; which index answers was decided by measurement.

    Args:
        exact: the exact index over the same vectors.
        graph: the graph, or None where the exact scan answers everything.
        max_over_fetch: with more exclusions than this the exact scan answers.
    """

    def __init__(self, exact: ExactIndex, graph: HnswIndex | None, *, max_over_fetch: int) -> None:
        self.exact = exact
        self._graph = graph
        self._max_over_fetch = max_over_fetch

    def search(self, vector: Float32Array, k: int, excluded: RowArray) -> tuple[RowArray, Float32Array]:
        """The best rows that are not excluded and their exact scores, best first.

        Exactly k come back where k are eligible.

        Args:
            vector: float32, shape ``(d,)``; of length 1 where scores are cosines.
            k: how many.
            excluded: rows not to return, int32, ascending.
        """
        graph = self._graph
        n_excluded = len(excluded)
        wanted = k + n_excluded
        if graph is None or n_excluded > self._max_over_fetch or wanted > len(graph):
            return self.exact.search(vector, k, excluded)
        rows = graph.candidates(vector, wanted)
        if rows is None:
            return self.exact.search(vector, k, excluded)
        if n_excluded:
            nearest = excluded.searchsorted(rows)
            nearest[nearest == n_excluded] = 0
            rows = rows[excluded[nearest] != rows]
        rows = rows[:k]
        scores = self.exact.scores(vector, rows)
        order = (-scores).argsort(kind="stable")
        return rows[order], scores[order]


def open_retriever(exact: ExactIndex, path: Path | None, certificate: RecallCertificate) -> Retriever:
    """The retriever that a certificate was issued for; `path` is its graph's file, verified, or None.

    Raises:
        ArtifactError: the graph does not fit the vectors.
    """
    graph = None
    if path is not None and certificate.chosen is not None:
        n_vectors, dimensions = exact.vectors.shape
        graph = HnswIndex.open(path, certificate.chosen, dimensions=dimensions, n_vectors=n_vectors)
    return Retriever(exact, graph, max_over_fetch=certificate.max_over_fetch)
