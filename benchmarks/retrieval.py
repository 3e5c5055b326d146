"""Recall and microseconds of one query: the exact scan, and graphs at rising effort, on real users' vectors.

    python -m benchmarks.retrieval                          iALS on a synthetic table of 41k items
    python -m benchmarks.retrieval --weighting bm25         the same, with norms that say less of popularity
    python -m benchmarks.retrieval --interactions data/movielens-100k
    python -m benchmarks.retrieval --quick --items 1000000 --factors 64    factors drawn instead of trained
    python -m benchmarks.retrieval --orders                 what the order of insertion is worth
    python -m benchmarks.retrieval --filters                searches among some of the items only

Queries are users' own vectors. `plain` asks for the 10 best; `served` leaves out what the user has seen,
through the retriever. Times are of one call from Python with one thread, the median over the queries.

Filters are drawn at random, or let through what points into a random direction, as genres do: near some users
everything passes, near others nothing. `chosen` is what the service does by the costs in the certificate.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.synthetic import generate_factors, generate_interactions, to_dataset
from models.dataset import build_dataset
from models.dataset_directory import open_dataset_directory
from models.index import hnsw
from models.index.base import Eligible
from models.index.certificate import GraphSetting, RecallCertificate, Space
from models.index.exact import ExactIndex
from models.index.hnsw import HnswIndex
from models.index.planner import Queries, plan_retrieval
from models.index.retriever import FilteredCosts, Retriever, certified_retriever
from models.interactions import read_interactions
from models.layouts import choose_layout
from models.registry import FAMILIES, configure

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.index.base import Index
    from models.types import Float32Array, Float64Array, PointerArray, RowArray

K = 10
SAMPLE = 1_000
TARGET = 0.99
NOTHING = np.empty(0, dtype=np.int32)
SPACES: tuple[Space, ...] = ("inner_product", "augmented_l2")
SHARES = (0.5, 0.1, 0.01, 0.001)
EFFORTS = (10, 20, 30, 45, 60, 80, 120, 200, 320)
Order = Callable[["Float64Array", Space, np.random.Generator], "PointerArray"]
ORDERS: dict[str, Order] = {
    "as built": hnsw._insertion_order,  # noqa: SLF001 - to be compared with what it is not
    "by row": lambda norms, _space, _rng: np.arange(len(norms)),
    "largest norm first": lambda norms, _space, _rng: np.argsort(-norms, kind="stable"),
    "smallest norm first": lambda norms, _space, _rng: np.argsort(norms, kind="stable"),
}


@dataclass(frozen=True, slots=True)
class Workload:
    """What is searched, and what is asked: ``(items, d)`` vectors and a sample of users."""

    items: Float32Array
    queries: Queries


@dataclass(frozen=True, slots=True)
class Measured:
    """Recall and median microseconds of plain queries and of queries as served."""

    plain: tuple[float, float]
    served: tuple[float, float]

    def cells(self) -> tuple[str, ...]:
        """For a table."""
        return tuple(f"{value:.4f}" if value <= 1 else f"{value:.1f}" for value in self.plain + self.served)


class Judge:
    """Measures indexes against a full scan."""

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._plain = work.queries.excluding(NOTHING)
        self._floors = [
            [self._floor(vector, seen) for vector, seen in queries] for queries in (self._plain, work.queries)
        ]

    def measure(self, index: Index) -> Measured:
        """Ask everything, twice; the first time warms up."""
        for _ in range(2):
            plain = self._ask(index, self._plain, self._floors[0])
            served = self._ask(index, self._work.queries, self._floors[1])
        return Measured(plain, served)

    def _floor(self, vector: Float32Array, seen: RowArray) -> float:
        scores = self._work.items @ vector
        scores[seen] = -np.inf
        best = np.partition(scores, -K)[-K:]
        return float(best.min() - 1e-6 * np.abs(best).max())  # ties, and what float32 rounds

    def _ask(self, index: Index, queries: Queries, floors: list[float]) -> tuple[float, float]:
        hits, times = 0, list[int]()
        for (vector, seen), floor in zip(queries, floors, strict=True):
            started = time.perf_counter_ns()
            _, scores = index.search(vector, K, seen)
            times.append(time.perf_counter_ns() - started)
            hits += int(np.count_nonzero(scores >= floor))
        return hits / (K * len(times)), float(np.median(times)) / 1e3


def trained(dataset: Dataset, hyperparameters: dict[str, Any]) -> Workload:
    """Factors of iALS, and users with their histories."""
    family = FAMILIES["ials_implicit"].make(configure("ials_implicit", hyperparameters))
    rng = np.random.default_rng(0)
    model = family.fit(dataset, rng=rng)
    users = rng.permutation(len(dataset.users))[:SAMPLE]
    return Workload(
        model.items.factors,
        Queries(model.user_factors[users], [dataset.histories.row(user)[0] for user in users.tolist()]),
    )


def drawn(users: int, items: int, factors: int) -> Workload:
    """Factors like trained ones; users have seen about a third of their 150 best items."""
    rng = np.random.default_rng(0)
    user_factors, item_factors = generate_factors(
        users=min(users, SAMPLE), items=items, factors=factors, rng=rng
    )
    seen = []
    for rows, _ in ExactIndex(item_factors).search_many(user_factors, 150, [NOTHING] * len(user_factors)):
        seen.append(np.sort(rows[rng.random(len(rows)) < 1 / 3]))
    return Workload(item_factors, Queries(user_factors, seen))


def compare(work: Workload, settings: list[GraphSetting], orders: list[str], threads: int) -> Table:
    """One row for the scan, and one for each graph and effort."""
    items, factors = work.items.shape
    table = Table(title=f"{items:,} items × {factors} factors, {len(work.queries):,} users, k = {K}")
    columns = ("", "m", "ef", "recall plain", "µs", "recall served", "µs", "build s")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    judge = Judge(work)
    exact = ExactIndex(work.items)
    table.add_row("exact", "", "", *judge.measure(exact).cells(), "")
    for setting in settings:
        for order in orders:
            with patch.object(hnsw, "_insertion_order", ORDERS[order]):
                started = time.perf_counter()
                graph = HnswIndex.build(work.items, setting, seed=0, threads=threads)
                seconds = f"{time.perf_counter() - started:.1f}"
            for ef in EFFORTS:
                graph.set_ef(ef)
                measured = judge.measure(Retriever(exact, graph, max_fetch=len(graph)))
                name = setting.space if len(orders) == 1 else f"{setting.space}, {order}"
                table.add_row(name, str(setting.m), str(ef), *measured.cells(), seconds)
                name, seconds = "", ""
                if min(measured.plain[0], measured.served[0]) > 0.998:
                    break
    return table


def compare_filtered(work: Workload, certificate: RecallCertificate, graph: HnswIndex | None) -> Table:
    """One row for each share of the items and each kind of filter; seen items are left out."""
    rng = np.random.default_rng(1)
    exact = ExactIndex(work.items)
    chosen = certified_retriever(exact, graph, certificate)
    always_walks = Retriever(
        exact, graph, max_fetch=0, costs=FilteredCosts(shortest_walk=1e-9, longest_walk=len(work.items))
    )
    table = Table(title=f"{len(work.items):,} items, filtered; µs, and recall@{K} of what is approximate")
    columns = ("filter", "share", "scan", "one by one", "graph", "recall", "chosen", "recall")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for share in SHARES:
        along = work.items @ rng.standard_normal(work.items.shape[1]).astype(np.float32)
        for kind, order in (("random", rng.random(len(along))), ("direction", along)):
            eligible = Eligible.where(order >= np.quantile(order, 1 - share))
            floors, scan = _filtered(exact.search, work.queries, eligible)
            _, gathered = _filtered(one_by_one(exact), work.queries, eligible)
            cells = []
            for retriever in (always_walks, chosen):
                found, microseconds = _filtered(retriever.search, work.queries, eligible)
                cells += [f"{microseconds:.0f}", f"{_recall(found, floors):.4f}"]
            table.add_row(kind, str(share), f"{scan:.0f}", f"{gathered:.0f}", *cells)
    return table


def one_by_one(exact: ExactIndex) -> Callable[..., tuple[RowArray, Float32Array]]:
    """Only the eligible rows are scored."""
    return Retriever(exact, None, max_fetch=0, costs=FilteredCosts(most_gathered=len(exact) + 1)).search


def _filtered(
    search: Callable[..., tuple[RowArray, Float32Array]], queries: Queries, eligible: Eligible
) -> tuple[list[Float32Array], float]:
    """The scores found for each query, and the median microseconds of one."""
    found, times = list[Any](), list[int]()
    for vector, seen in queries:
        started = time.perf_counter_ns()
        _, scores = search(vector, K, seen, eligible)
        times.append(time.perf_counter_ns() - started)
        found.append(scores)
    return found, float(np.median(times)) / 1e3


def _recall(found: list[Float32Array], exact: list[Float32Array]) -> float:
    """Share of the exact answers' places that are filled with as good a score."""
    hits = sum(
        np.count_nonzero(scores >= best[-1] - 1e-6 * abs(best[-1]))
        for scores, best in zip(found, exact, strict=True)
        if len(best)
    )
    return float(hits / max(1, sum(map(len, exact))))


def main() -> None:
    """Print the table, and what the planner makes of the same queries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--interactions", type=Path, help="directory that scripts.fetch has made, or a table")
    parser.add_argument("--preset", help="layout of that table")
    parser.add_argument("--users", type=int, default=30_000)
    parser.add_argument("--items", type=int, default=41_000)
    parser.add_argument("--drawn-interactions", type=int, default=2_000_000)
    parser.add_argument("--factors", type=int, default=128)
    parser.add_argument("--weighting", default="linear")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--regularization", type=float, default=30.0)
    parser.add_argument("--quick", action="store_true", help="draw the factors instead of training them")
    parser.add_argument("--orders", action="store_true", help="compare orders of insertion")
    parser.add_argument("--filters", action="store_true", help="search among some of the items")
    parser.add_argument("--m", type=int, nargs="*", default=[24])
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()

    if options.quick:
        work = drawn(options.users, options.items, options.factors)
    else:
        work = trained(
            _dataset(options),
            {name: getattr(options, name) for name in ("factors", "weighting", "alpha", "regularization")},
        )
    settings = [
        GraphSetting(space=space, m=m, ef_construction=options.ef_construction, ef=K)
        for m in options.m
        for space in SPACES
    ]
    orders = list(ORDERS) if options.orders else ["as built"]
    console = Console(width=110)
    if not options.filters:
        with threadpool_limits(limits=1, user_api="blas"):
            console.print(compare(work, settings, orders, options.threads))
    started = time.perf_counter()
    certificate, graph = plan_retrieval(
        ExactIndex(work.items), work.queries, SPACES, target=TARGET, seed=0, threads=options.threads
    )
    console.print(f"planned in {time.perf_counter() - started:.1f} s: {certificate}")
    console.print(f"chosen: {certificate.chosen}; scan beyond {certificate.max_over_fetch:,} exclusions")
    if options.filters:
        console.print(f"one by one below {certificate.most_gathered:,} eligible items")
        with threadpool_limits(limits=1, user_api="blas"):
            console.print(compare_filtered(work, certificate, graph))


def _dataset(options: argparse.Namespace) -> Dataset:
    if options.interactions is None:
        rng = np.random.default_rng(0)
        return to_dataset(
            generate_interactions(
                users=options.users, items=options.items, interactions=options.drawn_interactions, rng=rng
            )
        )
    path, preset = options.interactions, options.preset
    if path.is_dir():
        path, _, preset = open_dataset_directory(path)
    return build_dataset(read_interactions(path, choose_layout(preset), duplicates="last"))


if __name__ == "__main__":
    main()
