"""What each further worker costs in memory, and how long a dead one is missed.

    python -m benchmarks.workers

Memory is the proportional set size (PSS: a page shared by n processes counts 1/n for each) of all processes
of the service together, after each worker has answered; the share is of what one worker needs by itself. A
worker is killed while all others are stopped: the time is until somebody answers again. Linux only. The
artifact is that of `benchmarks.startup`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from benchmarks.startup import make
from models.artifact import current_version, open_artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS, ITEMS, INTERACTIONS = 200_000, 100_000, 10_000_000
COUNTS = (1, 2, 4)
MOST_SHARE, MOST_SECONDS = 0.15, 1.0
"""Targets: what a further worker adds to the first one's memory, and how long a dead one is missed."""
_KILLS = 5
_REQUESTS = 2_000


@contextlib.contextmanager
def service(root: Path, workers: int) -> Iterator[tuple[int, int]]:
    """Run the service; yields the parent's process id and the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    variables = {
        "FOLDREC_ARTIFACTS": str(root),
        "FOLDREC_PORT": str(port),
        "FOLDREC_WORKERS": str(workers),
        "FOLDREC_LOG_LEVEL": "error",
    }
    process = subprocess.Popen([sys.executable, "-m", "app"], env={**os.environ, **variables})
    try:
        until_answered(port)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def until_answered(port: int) -> None:
    """Wait for 200 of GET /ready."""
    while True:
        with contextlib.suppress(OSError), contextlib.closing(_connection(port)) as connection:
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.005)


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=10)


def children(parent: int) -> list[int]:
    """Process ids of the workers, oldest first."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def megabytes(pid: int) -> float:
    """Proportional set size of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def ask(port: int, users: list[str]) -> None:
    """Ask for a list of each user, over a new connection each time, so that every worker has its part."""
    for user in users:
        with contextlib.closing(_connection(port)) as connection:
            connection.request("GET", f"/recommend?user_id={user}")
            connection.getresponse().read()


def seconds_missed(parent: int, port: int) -> float:
    """Kill the oldest worker while the others are stopped: seconds until there is an answer again."""
    victim, *others = children(parent)
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        os.kill(victim, signal.SIGKILL)
        started = time.perf_counter()
        until_answered(port)
        return time.perf_counter() - started
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def main() -> int:
    """Print the table, and say by the exit code whether the targets hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artifacts", type=Path, help="what `scripts.train` published; default: a drawn one")
    options = parser.parse_args()
    table = Table(title="workers that share one model")
    for column in ("workers", "PSS of all, MB", "a further one adds", "dead one missed, s", "slowest"):
        table.add_column(column, justify="right")
    holds = True
    first = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        root = options.artifacts or Path(temporary)
        if options.artifacts is None:
            make(root, USERS, ITEMS, INTERACTIONS)
        ids = open_artifact(root / current_version(root)).users
        asked = [ids.external(row) for row in range(0, len(ids), max(1, len(ids) // _REQUESTS))]
        for count in COUNTS:
            with service(root, count) as (parent, port):
                ask(port, asked)
                total = sum(map(megabytes, [parent, *children(parent)]))
                first = first or total
                row = [str(count), f"{total:,.0f}"]
                if count > 1:
                    share = (total - first) / (count - 1) / first
                    missed = [seconds_missed(parent, port) for _ in range(_KILLS)]
                    row += [f"{share:.1%}", f"{median(missed):.2f}", f"{max(missed):.2f}"]
                    holds &= share <= MOST_SHARE and median(missed) <= MOST_SECONDS
                table.add_row(*row)
    Console().print(table)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
