"""A million: training on 1 M users, and searching and serving 1 M items.

    python -m benchmarks.million train     scripts.train on 1 M users × 200k items × 20 M interactions
    python -m benchmarks.million search    what a search costs among 100k and among 1 M items × 64 factors
    python -m benchmarks.million serve     starting the service with 1 M items, and GET /recommend of it

Each needs what the one before has left in ``--work``. Interactions are drawn by `benchmarks.synthetic`. Items
beyond those trained are noisy copies of trained ones: the directions, the spread of norms and the crowding
that make a search hard are those of a trained model, which drawn vectors lack. The 100k are a sample of the
1 M.

Memory is that of the process and its children together, looked at every 50 ms, and at least the largest peak
that the system has seen of one of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.checkouts import HERE, compare
from benchmarks.serving import HELLO, Row, measure, report
from benchmarks.startup import publish_untrained, start
from models.artifact import current_version, open_artifact
from models.artifact.store import CURRENT
from models.dataset import Dataset
from models.families.base import FittedModel
from models.ids import IdMap
from models.index import planner
from models.index.exact import ExactIndex
from models.index.retriever import Retriever, open_retriever
from models.row_rules import FixedSide
from models.row_solve import Rows
from models.training import Reporter

if TYPE_CHECKING:
    from models.artifact import Artifact
    from models.types import Float32Array, PointerArray

USERS, ITEMS, INTERACTIONS = 1_000_000, 200_000, 20_000_000
FACTORS, ITERATIONS = 64, 3
MEMORY_LIMIT_GIB = 12
GROWN = (100_000, 1_000_000)
NOISE, SPREAD = 0.3, 0.1
"""Of a copy: its noise over its own length, and the standard deviation of the logarithm of its norm."""
QUERIES, ROUNDS, STARTS = 2_000, 5, 5
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended well: its seconds, and the memory that it took at its peak."""

    seconds: float
    gibibytes: float


def run_measured(command: list[str]) -> Finished:
    """Run a command; a failure ends this program too."""
    started = time.perf_counter()
    process = subprocess.Popen(command)
    peak, ended = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not ended.wait(_LOOK_SECONDS):
            peak = max(peak, _tree_bytes(process.pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    return Finished(seconds, max(peak, usage.ru_maxrss * 1024) / 2**30)


def _tree_bytes(pid: int) -> int:
    """Resident memory of a process and all below it; of those that end meanwhile, nothing."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError):
        return 0
    return resident + sum(_tree_bytes(int(child)) for child in children)


def train(work: Path, console: Console, iterations: int) -> None:
    """Train by the command line, and print what each phase took."""
    table = work / "interactions.parquet"
    if not table.exists():
        size = ["--users", str(USERS), "--items", str(ITEMS), "--interactions", str(INTERACTIONS)]
        drawn = run_measured(
            [sys.executable, "-m", "benchmarks.synthetic", *size, "--out", f"{table}.unfinished"]
        )
        Path(f"{table}.unfinished").rename(table)
        console.print(f"drawn in {drawn.seconds:.0f} s, {drawn.gibibytes:.1f} GiB")
    root = work / "trained"
    command = [sys.executable, "-m", "scripts.train", "--interactions", str(table), "--artifacts", str(root)]
    command += ["--value-column", "rating", "--time-column", "timestamp", "--keep", "1"]
    command += ["--set", f"factors={FACTORS}", "--set", f"iterations={iterations}"]
    finished = run_measured(command)
    manifest = open_artifact(root / current_version(root)).manifest
    data = manifest.dataset
    shown = Table(
        title=f"scripts.train: {data.rows:,} interactions of {data.users:,} users with {data.items:,} items, "
        f"{FACTORS} factors, {iterations} iterations"
    )
    shown.add_column("phase")
    shown.add_column("seconds", justify="right")
    recorded = manifest.training.seconds
    for phase, seconds in recorded.items():
        shown.add_row(phase, f"{seconds:.1f}")
    shown.add_row("write, imports", f"{finished.seconds - sum(recorded.values()):.1f}")
    shown.add_row("all", f"{finished.seconds:.1f}")
    console.print(shown)
    console.print(f"peak memory {finished.gibibytes:.2f} GiB (limit {MEMORY_LIMIT_GIB})")


class Announcer(Reporter):
    """Says what is being built, and when."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.perf_counter()

    def phase(self, name: str) -> None:
        """A phase begins."""
        self._console.print(f"{time.perf_counter() - self._started:6.1f} s  {name}")


def grown(artifact: Artifact, items: int, rng: np.random.Generator) -> tuple[Float32Array, Rows]:
    """Noisy copies of the trained items, as many as asked for, and the histories spread over them.

    Returns:
        Item factors, float32, shape ``(items, factors)``, and the users' histories.
    """
    trained = artifact.item_factors
    times = -(-items // len(trained))
    factors = np.tile(trained, (times, 1))[:items]
    lengths = np.linalg.norm(factors, axis=1, keepdims=True) / np.float32(factors.shape[1] ** 0.5)
    factors += np.float32(NOISE) * lengths * rng.standard_normal(factors.shape, dtype=np.float32)
    factors *= np.exp(np.float32(SPREAD) * rng.standard_normal((items, 1), dtype=np.float32))
    old = artifact.histories
    copies = old.indices.astype(np.int64) + len(trained) * rng.integers(0, times, len(old.indices))
    rows = np.where(copies < items, copies, old.indices).astype(np.int32)
    order = np.lexsort((rows, old.row_numbers))
    return factors, Rows(old.indptr, rows[order], old.values[order])


def search(work: Path, console: Console, *, dense: bool, scann: bool) -> None:
    """Plan and publish the retrieval of 100k and of 1 M items, and compare what a query of each costs."""
    with ExitStack() as stack:
        if not dense:
            stack.enter_context(patch.object(planner, "_DENSITIES", planner._DENSITIES[:1]))  # noqa: SLF001
        if not scann:
            stack.enter_context(patch.object(planner, "is_installed", lambda: False))
        _publish_grown(work, console)
    _compare_searches([_open(work / f"{items}") for items in GROWN], console)


def _publish_grown(work: Path, console: Console) -> None:
    trained = _open(work / "trained")
    rng = np.random.default_rng(0)
    factors, histories = grown(trained, GROWN[-1], rng)
    sample = np.sort(rng.choice(GROWN[-1], GROWN[0], replace=False))
    for items in GROWN:
        root = work / f"{items}"
        if (root / CURRENT).exists():
            continue
        few = items < GROWN[-1]
        kept = np.isin(histories.indices, sample) if few else np.ones(len(histories.indices), dtype=np.bool_)
        entries = histories.kept(kept)
        if few:
            entries = Rows(
                entries.indptr, np.searchsorted(sample, entries.indices).astype(np.int32), entries.values
            )
        ids = IdMap.build(f"{row:07}" for row in range(items))
        side = FixedSide(factors[sample] if few else factors)
        model = FittedModel(trained.manifest.row_rule, trained.user_factors, side, [])
        started = time.perf_counter()
        publish_untrained(
            root, model, Dataset(trained.users, ids, entries, has_values=True), Announcer(console)
        )
        console.print(f"{items:,} items planned and published in {time.perf_counter() - started:.0f} s")


def _compare_searches(artifacts: list[Artifact], console: Console) -> None:
    """One row for each catalogue; rounds alternate, so that whatever else the machine does hits both."""
    users = np.random.default_rng(1).choice(len(artifacts[0].users), QUERIES, replace=False)
    retrievers = [
        open_retriever(
            ExactIndex(each.item_factors),
            each.graph_path("recommend"),
            each.manifest.retrieval["recommend"],
        )
        for each in artifacts
    ]
    micros: list[list[float]] = [[] for _ in artifacts]
    with threadpool_limits(limits=1):
        for _ in range(ROUNDS):
            for artifact, retriever, medians in zip(artifacts, retrievers, micros, strict=True):
                medians.append(_median_microseconds(artifact, retriever, users))
    shown = Table(title=f"one query as served, k = 10, {FACTORS} factors, best of {ROUNDS} medians")
    for column in ("items", "µs", "ratio", "recall plain", "recall served", "space", "m", "ef", "graph MB"):
        shown.add_column(column, justify="right")
    for artifact, medians in zip(artifacts, micros, strict=True):
        certificate = artifact.manifest.retrieval["recommend"]
        path, chosen = artifact.graph_path("recommend"), certificate.chosen
        graph = ("exact", "", "", "") if path is None or chosen is None else (
            chosen.space, str(chosen.m), str(chosen.ef), f"{path.stat().st_size / 1e6:,.0f}"
        )  # fmt: skip
        shown.add_row(
            f"{len(artifact.items):,}",
            f"{min(medians):.1f}",
            f"{min(medians) / min(micros[0]):.2f}",
            f"{certificate.recall:.4f}",
            f"{certificate.recall_as_served:.4f}",
            *graph,
        )
    console.print(shown)


def _median_microseconds(artifact: Artifact, retriever: Retriever, users: PointerArray) -> float:
    rule, times = artifact.manifest.row_rule, list[int]()
    for user in users.tolist():
        vector, seen = rule.query(artifact.user_factors[user]), artifact.histories.row(user)[0]
        started = time.perf_counter_ns()
        retriever.search(vector, 10, seen)
        times.append(time.perf_counter_ns() - started)
    return median(times) / 1e3


def serve(work: Path, console: Console) -> None:
    """Start the service with 1 M items, and measure GET /recommend beside a hello-world and 100k items."""
    root = work / f"{GROWN[-1]}"
    start(root)
    seconds, cpu_seconds = zip(*(start(root) for _ in range(STARTS)), strict=True)
    console.print(
        f"start to ready: {median(seconds):.2f} s, slowest {max(seconds):.2f} s, "
        f"{median(cpu_seconds):.2f} s of processor time, {STARTS} starts"
    )
    rows = [
        Row(HELLO, "FastAPI's tutorial, the same answer, a constant", "get", FACTORS, HELLO),
        Row("Foldrec GET", f"GET /recommend, {GROWN[-1]:,} items", "get", FACTORS, HELLO, 0.6),
    ]
    client: Literal["wrk", "python"] = "wrk" if shutil.which("wrk") else "python"
    roots = {(FACTORS, 0): root}
    samples = measure(rows, roots, rounds=ROUNDS, seconds=3, connections=16, client=client)
    report(rows, roots, samples, console)
    if client != "wrk":
        return
    both = [work / f"{items}" for items in GROWN]
    few, many = compare("get", [HERE, HERE], both, rounds=ROUNDS, seconds=3)
    ratio = median(
        more.cpu_microseconds / less.cpu_microseconds for less, more in zip(few, many, strict=True)
    )
    console.print(
        f"processor time of GET /recommend among {GROWN[1]:,} items to that among {GROWN[0]:,}: {ratio:.2f}"
    )


def _open(root: Path) -> Artifact:
    return open_artifact(root / current_version(root))


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=["train", "search", "serve"])
    parser.add_argument("--work", type=Path, default=Path("data/benchmarks/million"), help="kept for later")
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--dense", action="store_true", help="search: try denser graphs too")
    parser.add_argument("--scann", action="store_true", help="search: try ScaNN too, where it is installed")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    console = Console(width=110)
    match options.part:
        case "train":
            train(options.work, console, options.iterations)
        case "search":
            search(options.work, console, dense=options.dense, scann=options.scann)
        case _:
            serve(options.work, console)


if __name__ == "__main__":
    main()
