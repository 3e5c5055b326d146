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
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.artifact import current_version, open_artifact

USERS, ITEMS, INTERACTIONS = 1_000_000, 200_000, 20_000_000
FACTORS, ITERATIONS = 64, 3
MEMORY_LIMIT_GIB = 12
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


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=["train", "search", "serve"])
    parser.add_argument("--work", type=Path, default=Path("work-million"), help="where all of it is kept")
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    train(options.work, Console(width=110), options.iterations)


if __name__ == "__main__":
    main()
