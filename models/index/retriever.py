"""Top-k retrieval with exclusions: the graph where it is good and cheaper, else the exact scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.index.hnsw import HnswIndex

if TYPE_CHECKING:
    from pathlib import Path

    from models.index.base import Graph
    from models.index.certificate import RecallCertificate
    from models.index.exact import ExactIndex
    from models.types import BoolArray, Float32Array, RowArray


class Retriever:
    """Answers top-k queries; which index answers was decided by measurement.

    Always the k rows that were asked for where k are left, always with exact scores: only which rows they are
    is approximate. Many threads may ask at once.

    Args:
        exact: the exact index over the same vectors.
        graph: the graph, or None where the exact scan answers everything.
        max_fetch: where k and the exclusions together are more than this, the exact scan answers.
    """

    def __init__(self, exact: ExactIndex, graph: Graph | None, *, max_fetch: int) -> None:
        self.exact = exact
        self._graph = graph
        self._max_fetch = 0 if graph is None else min(max_fetch, len(graph))

    def search(
        self, vector: Float32Array, k: int, excluded: RowArray, eligible: BoolArray | None = None
    ) -> tuple[RowArray, Float32Array]:
        """The best rows and their scores: see `models.index.base.Index`."""
        graph = self._graph
        enough = k + len(excluded)
        if graph is None or enough > self._max_fetch or eligible is not None:
            return self.exact.search(vector, k, excluded, eligible)
        # Of what is excluded, seldom more than half is among the best: a walk half as long finds k.
        fetch = min(enough, max(graph.ef, k + len(excluded) // 2))
        rows = _without(graph.candidates(vector, fetch), excluded)
        if len(rows) < k and fetch < enough:
            rows = _without(graph.candidates(vector, enough), excluded)
        if len(rows) < k:
            return self.exact.search(vector, k, excluded)
        return self.exact.rank(vector, rows[:k])


def open_retriever(exact: ExactIndex, path: Path | None, certificate: RecallCertificate) -> Retriever:
    """The retriever that a certificate was issued for; `path` is its graph's file, verified, or None.

    Raises:
        ArtifactError: the graph does not fit the vectors.
    """
    graph = None
    if path is not None and certificate.chosen is not None:
        graph = HnswIndex.open(
            path,
            certificate.chosen,
            dimensions=exact.vectors.shape[1],
            n_vectors=exact.n_eligible,
        )
    return Retriever(exact, graph, max_fetch=certificate.k + certificate.max_over_fetch)


def _without(rows: RowArray, excluded: RowArray) -> RowArray:
    """Rows that are not in `excluded`, which ascends; much quicker than `numpy.isin` at these lengths."""
    if not len(excluded):
        return rows
    nearest = excluded.take(excluded.searchsorted(rows), mode="clip")
    left: RowArray = rows[nearest != rows]
    return left
