"""When to move to a cluster: the same data by `implicit`, by our own solver, and by Spark with two workers.

    make bench-spark        or        python -m benchmarks.spark [--interactions 1000000]

Every trainer is the command that a user would run, on the same Parquet file of everybody's entries but for
the latest fifth; that fifth is what nDCG@10 is measured by. `ials_implicit` is the `implicit` package,
`spark_ials` on this machine is Spark's objective by our sweep, and on Spark it is `pyspark.ml` on a
standalone master with two workers of one core each, all on this machine: what it costs to have a cluster,
not what a large one gains.

Seconds are the command's, from start to published artifact, and the fit's alone. Memory is the largest sum
over all its processes, with what they share counted once (PSS): for Spark the command, its JVM and the
executors, and beside it the command's Python alone, which must fit on the driver beside the JVM.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic import generate_interactions, to_dataset
from models.artifact import Artifact, current_version, open_artifact
from models.dataset import Dataset, build_dataset
from models.dataset_directory import open_dataset_directory
from models.interactions import read_interactions
from models.layouts import choose_layout
from models.metrics import ranking_metrics
from models.split import latest_split
from tests.spark.standalone import Standalone, children, missing, standalone

if TYPE_CHECKING:
    from models.row_solve import Rows

FACTORS, ITERATIONS = 64, 15
TRAINERS = {
    "implicit, 2 threads": ("ials_implicit", False),
    "our ials, 2 threads": ("ials", False),
    "our spark_ials, 2 threads": ("spark_ials", False),
    "Spark, 2 workers of 1 core": ("spark_ials", True),
}
SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1500m",
    "spark.default.parallelism": "4",
    "spark.sql.shuffle.partitions": "4",
}
"""For two cores: Spark's own 10 blocks and 200 partitions are for larger clusters."""
SAMPLED_USERS = 20_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What one command came to; memory in bytes."""

    seconds: float
    fit_seconds: float
    memory: int
    python_memory: int
    ndcg: float


def main() -> int:
    """Measure and print a table for each data set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=["movielens", "drawn", "both"], default="both")
    parser.add_argument("--movielens", type=Path, default=Path("data/movielens-100k"))
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    options = parser.parse_args()
    lacking = missing()
    if lacking is not None:
        print(lacking, file=sys.stderr)
        return 1
    if options.data != "drawn" and options.movielens.is_dir():
        measure("MovieLens 100K", movielens(options.movielens))
    if options.data != "movielens":
        size = {"users": options.users, "items": options.items, "interactions": options.interactions}
        measure("drawn", to_dataset(generate_interactions(**size, rng=np.random.default_rng(0))))
    return 0


def movielens(directory: Path) -> Dataset:
    """The ratings that scripts.fetch has fetched."""
    path, _, preset = open_dataset_directory(directory)
    return build_dataset(read_interactions(path, choose_layout(preset)))


def measure(name: str, dataset: Dataset) -> None:
    """Train by all trainers on a data set, and print what they came to."""
    test = latest_split(dataset, 0.2)
    training, hidden = dataset.with_entries(~test), dataset.with_entries(test).histories
    n_users, n_items = dataset.shape
    table = Table(
        "trainer", "seconds", "of these fit", "GiB", "of these Python", "nDCG@10",
        title=f"{name}: {len(training.histories.indices):,} interactions, {n_users:,} × {n_items:,}",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        path = write_table(training, Path(work) / "interactions.parquet")
        for label, (family, on_spark) in TRAINERS.items():
            root = Path(work) / label
            if on_spark:
                root.mkdir()
                with standalone(root, memory="1600m") as cluster:
                    found = run(path, family, root / "artifacts", training, hidden, cluster)
            else:
                found = run(path, family, root, training, hidden)
            table.add_row(
                label,
                f"{found.seconds:.0f}",
                f"{found.fit_seconds:.1f}",
                f"{found.memory / 2**30:.2f}",
                f"{found.python_memory / 2**30:.2f}",
                f"{found.ndcg:.4f}",
            )
            print(f"{name}, {label}: {found}", flush=True)
    Console(width=110).print(table)


def write_table(dataset: Dataset, path: Path) -> Path:
    """The entries of a dataset as a user would have them."""
    rows = dataset.histories
    users, items = (np.array(list(ids), dtype=object) for ids in (dataset.users, dataset.items))
    pl.DataFrame(
        {
            "user_id": pl.Series(users[rows.row_numbers], dtype=pl.String),
            "item_id": pl.Series(items[rows.indices], dtype=pl.String),
            "rating": rows.values,
        }
    ).write_parquet(path)
    return path


def run(
    table: Path, family: str, root: Path, training: Dataset, hidden: Rows, cluster: Standalone | None = None
) -> Measured:
    """Train by a command of its own, watched, and judge what it has published."""
    words = ["--interactions", str(table), "--value-column", "rating", "--family", family]
    words += ["--set", f"factors={FACTORS}", "--set", f"iterations={ITERATIONS}", "--artifacts", str(root)]
    if cluster is not None:
        words += ["--engine", "spark", "--master", cluster.url, "--work-dir", str(root.parent)]
        words += [word for name, value in SETTINGS.items() for word in ("--spark-conf", f"{name}={value}")]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.train", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    watch = MemoryWatch(process.pid, cluster)
    printed, _ = process.communicate()
    watch.stop()
    if process.returncode != 0:
        raise RuntimeError(printed.decode())
    seconds = time.perf_counter() - started
    artifact = open_artifact(root / current_version(root))
    fit_seconds = artifact.manifest.training.seconds
    return Measured(
        seconds,
        fit_seconds["fit"] + fit_seconds.get("closing sweep", 0.0),
        watch.largest,
        watch.largest_python,
        judged(artifact, training, hidden),
    )


def judged(artifact: Artifact, training: Dataset, hidden: Rows) -> float:
    """nDCG@10 of a sample of users by the entries that were hidden from the artifact."""
    items = np.array([row if row is not None else -1 for row in artifact.items.find(list(training.items))])
    users = np.array([row if row is not None else -1 for row in artifact.users.find(list(training.users))])
    factors = np.where(items[:, np.newaxis] >= 0, artifact.item_factors[items], 0)
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(users >= 0))[:SAMPLED_USERS]
    sample = np.sort(drawn).astype(np.int32)
    metrics = ranking_metrics(
        lambda rows: artifact.user_factors[users[sample[rows]]] @ factors.T,
        training.histories.select(sample),
        hidden.select(sample),
        10,
    )
    return metrics["ndcg@10"]


class MemoryWatch:
    """Looks at a command's memory ten times a second until it is stopped."""

    def __init__(self, pid: int, cluster: Standalone | None) -> None:
        self.largest = 0
        self.largest_python = 0
        self._pid = pid
        self._cluster = cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(0.1):
            executors = [] if self._cluster is None else self._cluster.executors()
            python = proportional_set_size(self._pid)
            others = [*children(self._pid), *executors]
            self.largest_python = max(self.largest_python, python)
            self.largest = max(self.largest, python + sum(map(proportional_set_size, others)))


def proportional_set_size(pid: int) -> int:
    """Bytes of memory of a process, its share of what it shares; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main())
