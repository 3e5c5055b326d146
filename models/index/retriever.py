"""Top-k retrieval with exclusions: the graph where it is good and cheaper, else the exact scan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.errors import ArtifactError
from models.index.certificate import GraphSetting, ScannSetting
from models.index.exact import ExactIndex
from models.index.head import Head
from models.index.hnsw import HnswIndex
from models.index.scann import ScannIndex

if TYPE_CHECKING:
    from models.index.base import Eligible, Graph
    from models.index.certificate import Method, RecallCertificate
    from models.types import Float32Array, RowArray


_MARGIN: Final = 2.0
"""Standard deviations by which more candidates are fetched than should hold enough eligible ones."""
_WALKS: Final = 2
"""Walks before the search among eligible rows becomes exact."""


@dataclass(frozen=True, slots=True)
class FilteredCosts:
    """What the ways of searching among eligible rows cost, where the exact scan of all rows costs 1.

    Attributes:
        head: what the search among the rows of largest norm costs.
        most_gathered: scoring so many eligible rows one by one costs as much as the scan.
        shortest_walk: what the graph costs where its `ef` candidates do.
        longest_walk: candidates for which the graph costs as much as the scan.
    """

    head: float = 1.0
    most_gathered: int = 0
    shortest_walk: float = 1.0
    longest_walk: int = 0

    def exact(self, n_eligible: int) -> float:
        """The cheaper of the exact ways."""
        return n_eligible / self.most_gathered if n_eligible < self.most_gathered else 1.0

    def reach(self, ef: int, n_eligible: int) -> float:
        """Candidates up to which the graph is cheaper than the cheaper of the exact ways."""
        spare = self.exact(n_eligible) - self.shortest_walk
        if spare <= 0:
            return 0.0
        return ef + max(0, self.longest_walk - ef) * spare / (1 - self.shortest_walk)


class Retriever:
    """Answers top-k queries; which index answers was decided by measurement.

    Always the k rows that were asked for where k are left, always with exact scores: only which rows they are
    is approximate. Many threads may ask at once.

    Args:
        exact: the exact index over the same vectors.
        graph: the graph, or None where the exact scan answers everything.
        max_fetch: where k and the exclusions together are more than this, the exact scan answers.
        costs: decide how to search among eligible rows.
    """

    def __init__(
        self,
        exact: ExactIndex,
        graph: Graph | None,
        *,
        max_fetch: int,
        costs: FilteredCosts = FilteredCosts(),
    ) -> None:
        self.exact = exact
        self._costs = costs
        self._graph = graph
        self._max_fetch = 0 if graph is None else min(max_fetch, len(graph))

    @property
    def method(self) -> Method:
        """What answers a plain query."""
        if self._graph is None:
            return "exact"
        return "scann" if isinstance(self._graph, ScannIndex) else "hnsw"

    def without_graph(self) -> Retriever:
        """The same, answering exactly."""
        return Retriever(self.exact, None, max_fetch=0, costs=self._costs)

    def search(
        self, vector: Float32Array, k: int, excluded: RowArray, eligible: Eligible | None = None
    ) -> tuple[RowArray, Float32Array]:
        """The best rows and their scores: see `models.index.base.Index`."""
        if eligible is not None:
            return self._search_eligible(vector, k, excluded, eligible)
        graph = self._graph
        enough = k + len(excluded)
        if graph is None or enough > self._max_fetch:
            return self.exact.search(vector, k, excluded)
        # Of what is excluded, seldom more than half is among the best: a walk half as long finds k.
        fetch = min(enough, max(graph.ef, k + len(excluded) // 2))
        rows = _without(graph.candidates(vector, fetch), excluded)
        if len(rows) < k and fetch < enough:
            rows = _without(graph.candidates(vector, enough), excluded)
        if len(rows) < k:
            return self.exact.search(vector, k, excluded)
        rows, scores = self._best(graph, vector, rows, k)
        if not self._settled(vector, scores):
            return self.exact.search(vector, k, excluded)
        return rows, scores

    def _best(
        self, graph: Graph, vector: Float32Array, rows: RowArray, k: int
    ) -> tuple[RowArray, Float32Array]:
        """The k best of the candidates, at least as many."""
        if graph.in_order:
            return self.exact.rank(vector, rows[:k])
        rows, scores = self.exact.rank(vector, rows)
        return rows[:k], scores[:k]

    def _settled(self, vector: Float32Array, scores: Float32Array) -> bool:
        """Whether no row that the graph lacks is better than the last of these scores."""
        head = self.exact.head
        return head is None or (len(scores) > 0 and head.settles(vector, float(scores[-1])))

    def _search_eligible(
        self, vector: Float32Array, k: int, excluded: RowArray, eligible: Eligible
    ) -> tuple[RowArray, Float32Array]:
        """The cheapest way: a longer walk, the head, the eligible rows one by one, or the scan of all."""
        excluded = excluded[eligible.mask.take(excluded)]
        n_eligible = len(eligible.rows)
        if self._graph is not None:
            reach = min(len(self._graph), self._costs.reach(self._graph.ef, n_eligible))
            fetch = _fetch(k + len(excluded) // 2, n_eligible / len(eligible.mask))
            for _ in range(_WALKS):
                if fetch > reach:
                    break
                walked = max(int(fetch), self._graph.ef)
                rows = self._graph.candidates(vector, walked)
                rows = _without(rows[eligible.mask.take(rows)], excluded)
                if len(rows) >= k:
                    rows, scores = self._best(self._graph, vector, rows, k)
                    if self._settled(vector, scores):
                        return rows, scores
                    break
                # Near this query eligible rows are rarer than elsewhere.
                fetch = _fetch(k, len(rows) / walked)
        if self.exact.head is not None and self._costs.head < self._costs.exact(n_eligible):
            found = self.exact.head.search(vector, k, excluded, eligible)
            if found is not None:
                return found
        if n_eligible < self._costs.most_gathered:
            return self.exact.search_among(vector, k, eligible.rows, excluded)
        return self.exact.scan(vector, k, excluded, eligible)


def open_retriever(exact: ExactIndex, path: Path | None, certificate: RecallCertificate) -> Retriever:
    """The retriever that a certificate was issued for; `path` is its index's file, verified, or None.

    Raises:
        ArtifactError: the index does not fit the vectors, or what it needs is not installed.
    """
    n_vectors = exact.n_eligible
    if certificate.head is not None:
        head = Head(exact.vectors, certificate.head.shortest_norm)
        n_vectors = certificate.head.rows
        if len(head.rows) != n_vectors:
            raise ArtifactError(
                f"{len(head.rows)} items are as long as {certificate.head.shortest_norm:g}, but the manifest "
                f"says {n_vectors}; publish the artifact again"
            )
        exact = ExactIndex(exact.vectors, head=head)
    graph: Graph | None = None
    match path, certificate.chosen:
        case Path(), GraphSetting() as setting:
            graph = HnswIndex.open(path, setting, dimensions=exact.vectors.shape[1], n_vectors=n_vectors)
        case Path(), ScannSetting() as setting:
            graph = ScannIndex.open(path, exact, setting)
    return certified_retriever(exact, graph, certificate)


def certified_retriever(exact: ExactIndex, graph: Graph | None, certificate: RecallCertificate) -> Retriever:
    """The retriever that a certificate was issued for; the graph is searched as the certificate says."""
    scan = certificate.scan_microseconds
    shortest_walk = 1.0
    if graph is not None and certificate.microseconds < scan:
        shortest_walk = certificate.microseconds / scan
    return Retriever(
        exact,
        graph,
        max_fetch=certificate.k + certificate.max_over_fetch,
        costs=FilteredCosts(
            head=certificate.exact_microseconds / scan if scan else 1.0,
            most_gathered=certificate.most_gathered,
            shortest_walk=shortest_walk,
            # With so many exclusions a walk for k and half of them costs as much as the scan.
            longest_walk=certificate.k + certificate.max_over_fetch // 2,
        ),
    )


def _fetch(enough: int, share: float) -> float:
    """Candidates among which there likely are enough, if each has this chance to be one."""
    return math.ceil((enough + _MARGIN * math.sqrt(enough)) / share) if share else math.inf


def _without(rows: RowArray, excluded: RowArray) -> RowArray:
    """Rows that are not in `excluded`, which ascends; much quicker than `numpy.isin` at these lengths."""
    if not len(excluded):
        return rows
    nearest = excluded.take(excluded.searchsorted(rows), mode="clip")
    left: RowArray = rows[nearest != rows]
    return left
