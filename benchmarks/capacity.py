"""How what a model takes grows with the data: bytes, memory and seconds of each phase, everything doubled.

    python -m benchmarks.capacity                       64 factors, up to 4 M interactions
    python -m benchmarks.capacity --factors 128 --doublings 1

Each size is a real training on a table of `benchmarks.synthetic` in a process of its own, with everybody's
hundred best items precomputed, published and opened again. docs/capacity.md draws its conclusions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.synthetic import generate_interactions, to_dataset
from models.artifact import open_artifact, publish
from models.evaluation.memory import measured
from models.registry import configure
from models.training import TrainingPlan, train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

USERS, ITEMS, INTERACTIONS = 25_000, 10_000, 500_000
ITERATIONS = 5
PRECOMPUTED = 100
LISTS = ("top_items.npy", "top_scores.npy")
OF_USERS = ("user_factors.npy", "user_ids.marisa", "history_indptr.npy")
OF_INTERACTIONS = ("history_items.npy", "history_values.npy")


@dataclass(frozen=True, slots=True)
class Measured:
    """One size."""

    users: int
    items: int
    interactions: int
    seconds: dict[str, float]
    peak_bytes: int
    file_bytes: dict[str, int]
    query_microseconds: float
    exact_microseconds: float

    def bytes_of(self, names: Sequence[str]) -> int:
        """What some files take together."""
        return sum(self.file_bytes[name] for name in names)


def measure(scale: int, factors: int) -> Measured:
    """Train, publish and open a model of `scale` times the smallest size."""
    table = generate_interactions(
        users=USERS * scale,
        items=ITEMS * scale,
        interactions=INTERACTIONS * scale,
        rng=np.random.default_rng(0),
    )
    dataset = to_dataset(table)
    del table
    config = configure("ials", {"factors": factors, "iterations": ITERATIONS})
    plan = TrainingPlan(family="ials", config=config, precompute=PRECOMPUTED)
    with tempfile.TemporaryDirectory() as root:
        with measured() as memory:
            contents, card = train(dataset, plan)
            started = time.perf_counter()
            version = publish(Path(root), contents, card)
            published = time.perf_counter()
        artifact = open_artifact(Path(root) / version)
        opened = time.perf_counter()
    retrieval = card.retrieval["recommend"]
    return Measured(
        users=len(dataset.users),
        items=len(dataset.items),
        interactions=len(dataset.histories.indices),
        seconds=card.training.seconds | {"publish": published - started, "open": opened - published},
        peak_bytes=memory.extra_bytes or 0,
        file_bytes={name: entry.bytes for name, entry in artifact.manifest.files.items()},
        query_microseconds=retrieval.microseconds,
        exact_microseconds=retrieval.exact_microseconds,
    )


def report(sizes: Sequence[Measured], console: Console) -> None:
    """Print one column for each size."""
    table = Table(
        title=f"iALS, {ITERATIONS} iterations, {os.cpu_count()} cores; seconds, bytes, microseconds"
    )
    table.add_column("")
    for size in sizes:
        table.add_column(f"{size.interactions / 1e6:.1f} M", justify="right")
    rows: Mapping[str, list[str]] = {
        "users": [f"{size.users:,}" for size in sizes],
        "items": [f"{size.items:,}" for size in sizes],
        **{f"{phase}, s": [f"{size.seconds[phase]:.1f}" for size in sizes] for phase in sizes[0].seconds},
        "fit, µs an interaction and iteration": [
            f"{1e6 * size.seconds['fit'] / size.interactions / ITERATIONS:.2f}" for size in sizes
        ],
        "index, ms an item": [f"{1e3 * size.seconds['index'] / size.items:.2f}" for size in sizes],
        "lists, ns a user and item": [
            f"{1e9 * size.seconds['top lists'] / size.users / size.items:.2f}" for size in sizes
        ],
        "memory above the table's, MB": [f"{size.peak_bytes / 1e6:,.0f}" for size in sizes],
        "artifact, MB": [f"{sum(size.file_bytes.values()) / 1e6:,.0f}" for size in sizes],
        "bytes a user": [f"{size.bytes_of(OF_USERS) / size.users:.0f}" for size in sizes],
        "bytes of a stored list": [f"{size.bytes_of(LISTS) / size.users:.0f}" for size in sizes],
        "bytes an interaction": [
            f"{size.bytes_of(OF_INTERACTIONS) / size.interactions:.1f}" for size in sizes
        ],
        "bytes an item, graphs included": [f"{_item_bytes(size) / size.items:.0f}" for size in sizes],
        "exact search, µs": [f"{size.exact_microseconds:.0f}" for size in sizes],
        "query as served, µs": [f"{size.query_microseconds:.0f}" for size in sizes],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console.print(table)


def _item_bytes(size: Measured) -> int:
    return sum(size.file_bytes.values()) - size.bytes_of((*LISTS, *OF_USERS, *OF_INTERACTIONS))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each size in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--doublings", type=int, default=3)
    parser.add_argument("--scale", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.scale is not None:
        print(json.dumps(asdict(measure(options.scale, options.factors))))
        return 0
    command = [sys.executable, "-m", "benchmarks.capacity", "--factors", str(options.factors), "--scale"]
    sizes: list[Measured] = []
    for doubling in range(options.doublings + 1):
        done = subprocess.run([*command, str(2**doubling)], check=True, text=True, stdout=subprocess.PIPE)
        sizes.append(Measured(**json.loads(done.stdout)))
    report(sizes, Console(width=max(120, Console().width)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
