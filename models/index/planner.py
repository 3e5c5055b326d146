"""Which index answers: measured on real queries, not assumed.

Graphs are built in each space and searched with rising effort, until recall against the exact scan reaches
the target both for plain queries and for queries as served. The cheapest setting is kept. Where none gets
there, or the exact scan is cheaper, the exact scan answers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from models.index.certificate import GraphSetting, Measurement, RecallCertificate
from models.index.hnsw import HnswIndex
from models.index.retriever import Retriever

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from models.index.certificate import Space
    from models.index.exact import ExactIndex
    from models.types import Float32Array, RowArray

K = 10
_FAST_SCAN = 100.0
"""Microseconds. A scan as fast as this is not worth approximating: the request around it costs more."""
_DENSITIES = ((16, 200), (32, 400))
"""(m, ef_construction): the second is built only in the better space of the first."""
_EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
_FINEST_STEP = 4
_TIMED = 200
_TIE = 1e-5
"""Scores this close, relative to the size of query and items, are the same score in float32."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Real queries with what their users have seen.

    Attributes:
        vectors: float32, shape ``(n, d)``.
        seen: row numbers that each query excludes as served, int32, ascending.
    """

    vectors: Float32Array
    seen: Sequence[RowArray]

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[tuple[Float32Array, RowArray]]:
        return zip(self.vectors, self.seen, strict=True)

    def unfiltered(self) -> Queries:
        """The same vectors with nothing excluded."""
        return Queries(self.vectors, [np.empty(0, dtype=np.int32)] * len(self))


def plan_retrieval(
    exact: ExactIndex,
    queries: Queries,
    spaces: Sequence[Space],
    *,
    target: float,
    seed: int,
    threads: int,
    announce: Callable[[str], None] = lambda _what: None,
) -> tuple[RecallCertificate, HnswIndex | None]:
    """Choose how to search and certify it.

    Args:
        exact: the exact index over the item vectors.
        queries: a sample of real queries.
        spaces: in which graphs may be built.
        target: recall@10 that a graph must reach.
        seed: of the graphs.
        threads: that build a graph.
        announce: told what is being measured.

    Returns:
        The certificate, and the graph where one was chosen.
    """
    scan = Retriever(exact, None, max_over_fetch=0)
    exact_microseconds = _microseconds(scan, queries)

    def certify(
        reason: str, measured: Measurement | None, tried: Sequence[Measurement], max_over_fetch: int = 0
    ) -> RecallCertificate:
        return RecallCertificate(
            method="exact" if measured is None else "hnsw",
            reason=reason,
            k=K,
            target=target,
            sample_size=len(queries),
            recall=1.0 if measured is None else measured.recall,
            recall_as_served=1.0 if measured is None else measured.recall_as_served,
            microseconds=exact_microseconds if measured is None else measured.microseconds,
            exact_microseconds=exact_microseconds,
            chosen=None if measured is None else measured.setting,
            max_over_fetch=max_over_fetch,
            tried=tuple(tried),
        )

    if len(queries) == 0 or exact_microseconds <= _FAST_SCAN:
        return certify("a scan this fast is not worth approximating", None, ()), None

    judge = _Judge(exact, queries, target)
    best: tuple[Measurement, HnswIndex] | None = None
    for m, ef_construction in _DENSITIES:
        for space in spaces if best is None else (best[0].setting.space,):
            announce(f"{space} graph, m {m}")
            setting = GraphSetting(space=space, m=m, ef_construction=ef_construction, ef=_EFFORTS[0])
            graph = HnswIndex.build(exact.vectors, setting, seed=seed, threads=threads)
            measured = judge.cheapest_passing(graph, setting)
            if measured is not None and (best is None or measured.microseconds < best[0].microseconds):
                best = measured, graph
    if best is None:
        return certify(f"no graph reaches recall {target}", None, judge.tried), None
    measured, graph = best
    if measured.microseconds >= exact_microseconds:
        return certify("the scan is cheaper than any graph that is good enough", None, judge.tried), None
    graph.set_ef(measured.setting.ef)
    crossover = _crossover(exact, graph, queries)
    return certify("the cheapest that reaches the target", measured, judge.tried, crossover), graph


class _Judge:
    """Measures settings against what the exact scan answers."""

    def __init__(self, exact: ExactIndex, queries: Queries, target: float) -> None:
        self.tried: list[Measurement] = []
        self._exact = exact
        self._served = queries
        self._plain = queries.unfiltered()
        self._served_floor = _floors(exact, self._served)
        self._plain_floor = _floors(exact, self._plain)
        self._target = target

    def cheapest_passing(self, graph: HnswIndex, setting: GraphSetting) -> Measurement | None:
        """The least effort that reaches the target: up the ladder, then halving the last step."""
        failed = 0
        for ef in _EFFORTS:
            measured = self._measure(graph, setting.model_copy(update={"ef": ef}))
            if measured is not None:
                break
            failed = ef
        else:
            return None
        while measured.setting.ef - failed > max(_FINEST_STEP, measured.setting.ef // 16) and failed:
            middle = (measured.setting.ef + failed) // 2
            finer = self._measure(graph, setting.model_copy(update={"ef": middle}))
            if finer is None:
                failed = middle
            else:
                measured = finer
        return measured

    def _measure(self, graph: HnswIndex, setting: GraphSetting) -> Measurement | None:
        """Measure a setting; None if it misses the target."""
        graph.set_ef(setting.ef)
        retriever = Retriever(self._exact, graph, max_over_fetch=len(self._exact))
        measured = Measurement(
            setting=setting,
            recall=_recall(retriever, self._plain, self._plain_floor),
            recall_as_served=_recall(retriever, self._served, self._served_floor),
            microseconds=_microseconds(retriever, self._served),
        )
        self.tried.append(measured)
        return measured if min(measured.recall, measured.recall_as_served) >= self._target else None


def _floors(exact: ExactIndex, queries: Queries) -> Float32Array:
    """The k-th best exact score of each query, less what float32 may err: shape ``(n,)``."""
    floors = np.empty(len(queries), dtype=np.float32)
    for number, (vector, seen) in enumerate(queries):
        _, scores = exact.search(vector, K, seen)
        floors[number] = scores[-1] - _TIE * (np.abs(scores).max() + 1e-12) if len(scores) else np.inf
    return floors


def _recall(retriever: Retriever, queries: Queries, floors: Float32Array) -> float:
    """Share of the k returned items whose score reaches that of the true k-th, averaged over queries."""
    shares = []
    for (vector, seen), floor in zip(queries, floors, strict=True):
        if np.isfinite(floor):
            _, scores = retriever.search(vector, K, seen)
            shares.append(np.count_nonzero(scores >= floor) / len(scores))
    return float(np.mean(shares)) if shares else 1.0


def _microseconds(retriever: Retriever, queries: Queries) -> float:
    """Median time of one query as served."""
    seconds = []
    for _, (vector, seen) in zip(range(_TIMED), queries, strict=False):
        started = time.perf_counter()
        retriever.search(vector, K, seen)
        seconds.append(time.perf_counter() - started)
    return 1e6 * median(seconds) if seconds else 0.0


def _crossover(exact: ExactIndex, graph: HnswIndex, queries: Queries) -> int:
    """The number of exclusions up to which over-fetching from the graph is cheaper than the scan."""
    rng = np.random.default_rng(0)
    vectors = queries.vectors[:_TIMED]
    scan, walk = (Retriever(exact, index, max_over_fetch=len(exact)) for index in (None, graph))
    cheaper = 0
    n_excluded = 32
    while n_excluded + K < len(graph):
        rows = np.sort(rng.choice(len(exact), n_excluded, replace=False)).astype(np.int32)
        some = Queries(vectors, [rows] * len(vectors))
        if _microseconds(walk, some) >= _microseconds(scan, some):
            break
        cheaper = n_excluded
        n_excluded *= 2
    return cheaper
