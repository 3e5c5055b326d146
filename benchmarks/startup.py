"""Seconds from starting the service to its first ready answer, by size of the artifact.

    python -m benchmarks.startup

Factors are drawn, not trained; ids, histories, graphs, certificates and hashes are what any artifact has, and
the service checks and opens all of it. The page cache is warm, and the code compiled as an installer
leaves it: a first start is not counted. CPU seconds, of all cores together, tell a busy machine from a slow
service.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic import generate_factors, generate_interactions
from models.artifact import (
    ArtifactContents,
    FoldInCertificate,
    ModelCard,
    TrainingRecord,
    current_version,
    publish,
)
from models.dataset import Dataset
from models.families.base import FittedModel
from models.ids import IdMap
from models.registry import configure
from models.row_rules import FixedSide, ImplicitRule
from models.row_solve import Rows
from models.training import Reporter, TrainingPlan, fingerprint, plan_indexes

if TYPE_CHECKING:
    from models.index.certificate import RecallCertificate

_RUNS = 5
_SIZES = ((20_000, 10_000, 1_000_000), (200_000, 100_000, 10_000_000))
"""Users, items, interactions. A million items: `benchmarks.million`."""
_FACTORS = 128


def make(root: Path, users: int, items: int, interactions: int, factors: int = _FACTORS) -> None:
    """Publish an artifact of the given size."""
    rng = np.random.default_rng(0)
    table = generate_interactions(users=users, items=items, interactions=interactions, rng=rng)
    counts = np.bincount(table.users, minlength=users)  # the table is sorted by user, then item
    histories = Rows(np.concatenate([[0], np.cumsum(counts)]), table.items, table.values)
    dataset = Dataset(
        IdMap.build(f"{row:07}" for row in range(users)),
        IdMap.build(f"{row:07}" for row in range(items)),
        histories,
        has_values=True,
    )
    user_factors, item_factors = generate_factors(users=users, items=items, factors=factors, rng=rng)
    rule = ImplicitRule(alpha=1.0, regularization=30.0)
    publish_untrained(root, FittedModel(rule, user_factors, FixedSide(item_factors), []), dataset)


def publish_untrained(
    root: Path, model: FittedModel, dataset: Dataset, reporter: Reporter | None = None
) -> dict[str, RecallCertificate]:
    """Publish factors that no fit has found, with indexes as good as any; returns their certificates."""
    config = configure("ials", {"factors": model.items.factors.shape[1]})
    plan = TrainingPlan(family="ials", config=config)
    retrieval, graphs = plan_indexes(model, dataset, plan, reporter or Reporter())
    contents = ArtifactContents(
        users=dataset.users,
        items=dataset.items,
        user_factors=model.user_factors,
        item_factors=model.items.factors,
        histories=dataset.histories,
        popularity=dataset.popularity(),
        graphs=graphs,
    )
    # Such factors are nobody's fold-in: the certificate says so.
    fold_in = FoldInCertificate(
        sample_size=0, max_abs_difference=0, max_relative_difference=0, top_k_overlap=0, k=10
    )
    card = ModelCard(
        family="ials",
        config=config.model_dump(mode="json"),
        row_rule=model.rule,
        seed=0,
        dataset=fingerprint(dataset),
        metrics={},
        retrieval=retrieval,
        fold_in=fold_in,
        training=TrainingRecord(seconds={}, iterations=0),
    )
    publish(root, contents, card)
    return retrieval


def start(root: Path) -> tuple[float, float]:
    """Start the service, wait for 200 of GET /ready and stop it: seconds to ready, and CPU seconds in all."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "FOLDREC_ARTIFACTS": str(root),
        "FOLDREC_PORT": str(port),
        "FOLDREC_LOG_LEVEL": "warning",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    cpu_before = _cpu_seconds_of_ended_children()
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "app"], env=os.environ | environment)
    try:
        while not _ready(port):
            if process.poll() is not None:
                raise SystemExit(f"the service ended with status {process.returncode}")
            time.sleep(0.005)
        seconds = time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()
    return seconds, _cpu_seconds_of_ended_children() - cpu_before


def _ready(port: int) -> bool:
    """Whether the service answers 200. A socket of its own: to connect in vain costs next to nothing."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    return False


def _cpu_seconds_of_ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, help="where artifacts are kept for another run")
    work = parser.parse_args().work
    table = Table(title=f"start to ready, {_FACTORS} factors, seconds, medians of {_RUNS}")
    for column in ("users", "items", "interactions", "MB", "to ready", "slowest", "CPU"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as temporary:
        for users, items, interactions in _SIZES:
            root = (work or Path(temporary)) / f"{items}"
            if not (root / "CURRENT").exists():
                make(root, users, items, interactions)
            start(root)
            seconds, cpu_seconds = zip(*(start(root) for _ in range(_RUNS)), strict=True)
            size = sum(file.stat().st_size for file in (root / current_version(root)).iterdir())
            row = (f"{users:,}", f"{items:,}", f"{interactions:,}", f"{size / 1e6:,.0f}")
            table.add_row(*row, f"{median(seconds):.2f}", f"{max(seconds):.2f}", f"{median(cpu_seconds):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
