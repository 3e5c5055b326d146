"""Which index answers: measured on real queries, not assumed.

Where a few rows of large norm settle nearly all queries, only those are searched: see `models.index.head`.
Graphs are built in each space and searched with rising effort, until recall against the exact scan reaches
the target both for plain queries and for queries as served. The cheapest setting is kept. Where none gets
there, or the exact scan is cheaper, the exact scan answers.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from models.index.certificate import (
    GraphSetting,
    HeadSetting,
    Measurement,
    RecallCertificate,
    ScannSetting,
)
from models.index.exact import ExactIndex
from models.index.head import Head, shortest_norm
from models.index.hnsw import HnswIndex
from models.index.recall import least_score
from models.index.retriever import Retriever
from models.index.scann import FEWEST, ScannIndex, is_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from models.index.base import Eligible, Index
    from models.index.certificate import Method, Setting, Space
    from models.types import Float32Array, Float64Array, RowArray

K = 10
_FAST_SCAN = 100.0
"""Microseconds. A scan as fast as this is not worth approximating: the request around it costs more."""
_DENSITIES = ((24, 200), (32, 400))
"""(m, ef_construction): the denser, which takes longer to build, only where the sparser does not do, or only
by a long walk."""
_LONG_WALK = 100
"""An effort from which a denser graph is worth trying, in the space that did best."""
_RISE = 1.5
"""Factor from one effort to the next, until the target is reached."""
_FINEST = 1 / 16
"""Share of the effort to which the least sufficient one is then narrowed down."""
_TIMED, _SECONDS = 200, 0.5
"""A median is over so many queries, fewer where they take longer than this together."""
_TURNS = 3
_LEAVES = 2
"""ScaNN's partitions for the square root of the number of vectors, about what its authors recommend."""
_FEWEST_LEAVES = 1 / 400
"""Share of the partitions that is searched first."""
_PROPOSED = (50, 100, 200, 400)
"""Candidates of ScaNN that are scored exactly."""
_GAIN = 0.002
"""Recall that searching half as many partitions more must add, or more candidates are needed."""
_METHODS: dict[type, Method] = {GraphSetting: "hnsw", ScannSetting: "scann"}
_SAMPLED_ROWS = 100_000
"""Of more than twice as many rows a sample this large decides in which space a graph is tried first."""
_FIRST_EXCLUSIONS = 32
_GATHERED = 1 / 8
"""Share of the rows that are scored one by one, to learn what a row costs."""


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

    def excluding(self, rows: RowArray) -> Queries:
        """The same vectors, all of them excluding `rows`."""
        return Queries(self.vectors, [rows] * len(self))


def plan_retrieval(
    exact: ExactIndex,
    queries: Queries,
    spaces: Sequence[Space],
    *,
    target: float,
    seed: int,
    threads: int,
    announce: Callable[[str], None] = lambda _what: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[RecallCertificate, HnswIndex | ScannIndex | None]:
    """Choose how to search and certify it.

    Args:
        exact: the exact index over the item vectors.
        queries: a sample of real queries.
        spaces: in which graphs may be built.
        target: recall@10 that a graph must reach, less one standard error of the sample.
        seed: of the graphs.
        threads: that build a graph.
        announce: told what is being built.
        progress: told how many vectors of that graph are inserted, of how many.

    Returns:
        The certificate, and the graph or the index of ScaNN where one was chosen.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # as a worker of the service scans
        judge = _Judge(exact, queries, target)
        if judge.exact_microseconds <= _FAST_SCAN:
            return judge.certify("a scan this fast is not worth approximating"), None
        exact = _with_head(exact, queries)
        judge = _Judge(exact, queries, target)
        head = exact.head
        vectors, rows = (exact.vectors, None) if head is None else (head.exact.vectors, head.rows)
        build = partial(HnswIndex.build, vectors, rows=rows, seed=seed, threads=threads, progress=progress)
        many = len(spaces) > 1 and len(vectors) > 2 * _SAMPLED_ROWS
        if many:
            announce(f"spaces, on {_SAMPLED_ROWS:,} items")
            spaces = _by_suitability(vectors, queries, spaces, target=target, seed=seed, threads=threads)
        sufficient: list[tuple[Measurement, HnswIndex | ScannIndex]] = []
        sufficient += _sufficient_graphs(judge, build, spaces, announce, compare=not many)
        if is_installed() and head is None and exact.n_eligible >= FEWEST:
            announce("ScaNN")
            sufficient += judge.sufficient_scann(threads)
        if not sufficient:
            return judge.certify(f"no graph reaches recall {target} in less time than the scan"), None
        measured, chosen = _cheapest(exact, queries, sufficient)
        max_over_fetch = _crossover(exact, chosen, queries)
        return judge.certify("the cheapest that reaches the target", measured, max_over_fetch), chosen


def _with_head(exact: ExactIndex, queries: Queries) -> ExactIndex:
    """The index with the head that settles nearly all queries as served, unless that would be large."""
    if exact.scale is not None or not len(queries):
        return exact
    kth = np.full(len(queries), -np.inf, dtype=np.float32)
    for number, (_, scores) in enumerate(exact.search_many(queries.vectors, K, queries.seen)):
        if len(scores) == K:
            kth[number] = scores[-1]
    shortest = shortest_norm(exact.vectors, queries.vectors, kth)
    return exact if shortest is None else ExactIndex(exact.vectors, head=Head(exact.vectors, shortest))


def _sufficient_graphs(
    judge: _Judge,
    build: Callable[[GraphSetting], HnswIndex],
    spaces: Sequence[Space],
    announce: Callable[[str], None],
    *,
    compare: bool,
) -> list[tuple[Measurement, HnswIndex]]:
    """Graphs that reach the target, each with the cheapest setting that does.

    Args:
        judge: measures.
        build: builds a graph.
        spaces: in which graphs may be built, the most promising first.
        announce: told what is being built.
        compare: build in all spaces; else in the next only where a short walk does not do.
    """
    sufficient: list[tuple[Measurement, HnswIndex]] = []
    for m, ef_construction in _DENSITIES:
        for space in spaces:
            announce(f"{space} graph, m {m}")
            setting = GraphSetting(space=space, m=m, ef_construction=ef_construction, ef=K)
            graph = build(setting)
            measured = judge.cheapest_sufficient(graph, setting)
            if measured is not None:
                sufficient.append((measured, graph))
                if not compare and _graph_setting(measured).ef < _LONG_WALK:
                    break
        if sufficient:
            quickest = min((measured for measured, _ in sufficient), key=lambda each: each.microseconds)
            if _graph_setting(quickest).ef < _LONG_WALK:
                break
            spaces = (_graph_setting(quickest).space,)
    return sufficient


def _by_suitability(
    vectors: Float32Array,
    queries: Queries,
    spaces: Sequence[Space],
    *,
    target: float,
    seed: int,
    threads: int,
) -> tuple[Space, ...]:
    """The spaces, first that whose graph of a sample of the rows reaches the target soonest."""
    rows = np.sort(np.random.default_rng(seed).choice(len(vectors), _SAMPLED_ROWS, replace=False))
    sample = ExactIndex(vectors[rows])
    judge = _Judge(sample, queries.excluding(np.empty(0, dtype=np.int32)), target)
    m, ef_construction = _DENSITIES[0]
    microseconds = dict.fromkeys(spaces, math.inf)
    for space in spaces:
        setting = GraphSetting(space=space, m=m, ef_construction=ef_construction, ef=K)
        graph = HnswIndex.build(sample.vectors, setting, seed=seed, threads=threads)
        measured = judge.cheapest_sufficient(graph, setting)
        if measured is not None:
            microseconds[space] = measured.microseconds
    return tuple(sorted(spaces, key=lambda space: microseconds[space]))


class _Judge:
    """Measures settings against what the exact scan answers."""

    def __init__(self, exact: ExactIndex, queries: Queries, target: float) -> None:
        self.exact_microseconds = _microseconds(exact, queries)
        self._scan_microseconds = self.exact_microseconds
        if exact.head is not None:
            self._scan_microseconds = _microseconds(ExactIndex(exact.vectors), queries)
        self._exact = exact
        self._served = queries
        self._plain = queries.excluding(np.empty(0, dtype=np.int32))
        self._target = target
        self._tried: list[Measurement] = []
        self._floors: tuple[Float32Array, Float32Array] | None = None

    def certify(
        self, reason: str, measured: Measurement | None = None, max_over_fetch: int = 0
    ) -> RecallCertificate:
        """The certificate of a measured setting; None: of the exact scan."""
        return RecallCertificate(
            method="exact" if measured is None else _METHODS[type(measured.setting)],
            reason=reason,
            k=K,
            target=self._target,
            sample_size=len(self._served),
            recall=1.0 if measured is None else measured.recall,
            recall_as_served=1.0 if measured is None else measured.recall_as_served,
            microseconds=self.exact_microseconds if measured is None else measured.microseconds,
            exact_microseconds=self.exact_microseconds,
            head=self._head_setting(),
            chosen=None if measured is None else measured.setting,
            max_over_fetch=max_over_fetch,
            most_gathered=_most_gathered(self._exact, self._served, self._scan_microseconds),
            tried=tuple(self._tried),
        )

    def _head_setting(self) -> HeadSetting | None:
        head = self._exact.head
        if head is None:
            return None
        return HeadSetting(
            shortest_norm=head.shortest_norm,
            rows=len(head.rows),
            scan_microseconds=self._scan_microseconds,
        )

    def cheapest_sufficient(self, graph: HnswIndex, setting: GraphSetting) -> Measurement | None:
        """The least effort that reaches the target; None where the exact scan is cheaper than that."""
        failed, ef = 0, setting.ef
        while True:
            measured, sufficient = self._measure(graph, setting.model_copy(update={"ef": ef}))
            if sufficient:
                break
            if measured.microseconds >= self.exact_microseconds or ef >= len(graph):
                return None
            failed, ef = ef, min(math.ceil(ef * _RISE), len(graph))
        best = measured
        while ef - failed > max(1, int(ef * _FINEST)):
            middle = (ef + failed) // 2
            measured, sufficient = self._measure(graph, setting.model_copy(update={"ef": middle}))
            if sufficient:
                best, ef = measured, middle
            else:
                failed = middle
        return best if best.microseconds < self.exact_microseconds else None

    def sufficient_scann(self, threads: int) -> list[tuple[Measurement, ScannIndex]]:
        """An index of ScaNN and the cheapest setting of it that reaches the target; empty where none does.

        For each number of candidates, as many partitions as are needed, as long as more of them help.
        """
        all_leaves = int(_LEAVES * math.sqrt(self._exact.n_eligible))
        setting = ScannSetting(leaves=all_leaves, leaves_to_search=all_leaves, candidates=_PROPOSED[0])
        index = ScannIndex.build(self._exact, setting, threads=threads)
        best: list[tuple[Measurement, ScannIndex]] = []
        dearest = self.exact_microseconds
        for candidates in _PROPOSED:
            leaves, reached = max(1, int(all_leaves * _FEWEST_LEAVES)), 0.0
            while True:
                tried = setting.model_copy(update={"leaves_to_search": leaves, "candidates": candidates})
                measured, sufficient = self._measure(index, tried)
                recall = min(measured.recall, measured.recall_as_served)
                if measured.microseconds >= dearest or sufficient:
                    break
                if recall < reached + _GAIN or leaves == all_leaves:
                    break
                leaves, reached = min(math.ceil(leaves * _RISE), all_leaves), recall
            if sufficient and measured.microseconds < dearest:
                best, dearest = [(measured, index)], measured.microseconds
        return best

    def _measure(self, graph: HnswIndex | ScannIndex, setting: Setting) -> tuple[Measurement, bool]:
        """Measure a setting, and whether its recall is sufficient."""
        if self._floors is None:
            self._floors = _floors(self._exact, self._plain), _floors(self._exact, self._served)
        _use(graph, setting)
        retriever = Retriever(self._exact, graph, max_fetch=len(graph))
        plain, served = (
            _recalls(retriever, queries, floors)
            for queries, floors in zip((self._plain, self._served), self._floors, strict=True)
        )
        measured = Measurement(
            setting=setting,
            recall=float(plain.mean()),
            recall_as_served=float(served.mean()),
            microseconds=_microseconds(retriever, self._served),
        )
        self._tried.append(measured)
        # The least effort that seems to do on this sample does a little less on another.
        sure = min(float(each.mean() - each.std() / len(each) ** 0.5) for each in (plain, served))
        return measured, sure >= self._target


def _graph_setting(measured: Measurement) -> GraphSetting:
    """The setting of a measured graph."""
    if not isinstance(measured.setting, GraphSetting):
        raise TypeError("not measured on a graph")
    return measured.setting


def _use(graph: HnswIndex | ScannIndex, setting: Setting) -> None:
    match graph, setting:
        case HnswIndex(), GraphSetting():
            graph.use(setting)
        case ScannIndex(), ScannSetting():
            graph.use(setting)
        case _:
            raise TypeError("an index with the setting of another")


def _floors(exact: ExactIndex, queries: Queries) -> Float32Array:
    """The k-th best exact score of each query, less what float32 may err: shape ``(n,)``."""
    floors = np.full(len(queries), np.inf, dtype=np.float32)
    for number, (_, scores) in enumerate(exact.search_many(queries.vectors, K, queries.seen)):
        if len(scores):
            floors[number] = least_score(scores)
    return floors


def _recalls(retriever: Retriever, queries: Queries, floors: Float32Array) -> Float64Array:
    """Share of each query's returned items whose score reaches that of the true k-th; nothing to find: 1."""
    recalls = np.ones(len(queries))
    for number, (vector, seen) in enumerate(queries):
        _, scores = retriever.search(vector, K, seen)
        if len(scores):
            recalls[number] = np.count_nonzero(scores >= floors[number]) / len(scores)
    return recalls


def _microseconds(index: Index, queries: Queries) -> float:
    """Median time of one query as served; 0 without queries."""
    times: list[int] = []
    began = time.perf_counter()
    for _, (vector, seen) in zip(range(_TIMED), queries, strict=False):
        started = time.perf_counter_ns()
        index.search(vector, K, seen)
        times.append(time.perf_counter_ns() - started)
        if time.perf_counter() - began > _SECONDS:
            break
    return median(times) / 1e3 if times else 0.0


def _cheapest(
    exact: ExactIndex, queries: Queries, graphs: Sequence[tuple[Measurement, HnswIndex | ScannIndex]]
) -> tuple[Measurement, HnswIndex | ScannIndex]:
    """The quickest of the graphs, each at the effort that it was found to need.

    They take turns, so that whatever else the machine does hits all of them; the best of its turns counts.
    """
    for measured, graph in graphs:
        _use(graph, measured.setting)
    walks = [Retriever(exact, graph, max_fetch=len(graph)) for _, graph in graphs]
    turns = [[_microseconds(walk, queries) for walk in walks] for _ in range(_TURNS)]
    microseconds, place = min((min(times), place) for place, times in enumerate(zip(*turns, strict=True)))
    measured, graph = graphs[place]
    return measured.model_copy(update={"microseconds": microseconds}), graph


@dataclass(frozen=True, slots=True)
class _Gathering:
    """The exact index, where it scores some rows one by one."""

    exact: ExactIndex
    rows: RowArray

    def search(
        self, vector: Float32Array, k: int, _excluded: RowArray, _eligible: Eligible | None = None
    ) -> tuple[RowArray, Float32Array]:
        """See `models.index.base.Index`."""
        return self.exact.search_among(vector, k, self.rows)


def _most_gathered(exact: ExactIndex, queries: Queries, scan_microseconds: float) -> int:
    """The number of eligible rows up to which scoring them one by one is cheaper than the scan."""
    n_rows = min(len(exact), max(K, int(len(exact) * _GATHERED)))
    rows = np.sort(np.random.default_rng(0).choice(len(exact), n_rows, replace=False)).astype(np.int32)
    microseconds = _microseconds(_Gathering(exact, rows), queries)
    return min(len(exact), int(n_rows * scan_microseconds / microseconds)) if microseconds else 0


def _crossover(exact: ExactIndex, graph: HnswIndex | ScannIndex, queries: Queries) -> int:
    """The number of exclusions up to which the graph is cheaper than the scan."""
    rng = np.random.default_rng(0)
    walk = Retriever(exact, graph, max_fetch=len(graph))
    found = len(exact) if exact.head is None else exact.head.rows

    def graph_is_cheaper(n_excluded: int) -> bool:
        rows = np.sort(rng.choice(found, n_excluded, replace=False)).astype(np.int32)
        excluding = queries.excluding(rows)
        return _microseconds(walk, excluding) < _microseconds(exact, excluding)

    most = len(graph) - K
    cheaper, dearer = 0, _FIRST_EXCLUSIONS
    while dearer < most and graph_is_cheaper(dearer):
        cheaper, dearer = dearer, 2 * dearer
    dearer = min(dearer, most)
    while dearer - cheaper > max(_FIRST_EXCLUSIONS, cheaper // 4):
        middle = (cheaper + dearer) // 2
        if graph_is_cheaper(middle):
            cheaper = middle
        else:
            dearer = middle
    return cheaper
