"""What batches cost the others: latency of GET /recommend while clients post batches of users without pause.

    python -m benchmarks.overload

The service is a process with one worker. One client asks for another user's list at a fixed rate; a latency
counts from the time at which the request was due, so that waiting behind a slow one counts too. Meanwhile
none, some or too many clients, each a process, post batches as fast as they are answered; one that is told
429 tries again after a hundredth of the Retry-After that it was told, so that the service stays overloaded.
Rounds alternate between the rows; what is printed is the median of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.startup import make
from models.artifact import current_version, open_artifact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.synchronize import Event

USERS, ITEMS, INTERACTIONS = 20_000, 10_000, 1_000_000
RATE = 200
"""Requests per second of the client that is measured."""
TARGET = 3.0
"""How many times its quiet p99 the p99 of GET /recommend may be while a few clients post batches."""
FEW, MANY = 2, 32
"""Clients that post batches; many are more than the service takes at once."""


@dataclass(frozen=True, slots=True)
class Round:
    """One row in one round: milliseconds, and batches per second by answer."""

    p50: float
    p99: float
    answered: float
    refused: float


@contextlib.contextmanager
def service(root: Path) -> Iterator[int]:
    """Run the service; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    variables = {"FOLDREC_ARTIFACTS": str(root), "FOLDREC_PORT": str(port), "FOLDREC_LOG_LEVEL": "warning"}
    process = subprocess.Popen([sys.executable, "-m", "app"], env={**os.environ, **variables})
    try:
        while not _ready(port):
            if process.poll() is not None:
                raise SystemExit(f"the service ended with status {process.returncode}")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.suppress(OSError), contextlib.closing(connection):
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    return False


def latencies(port: int, users: Sequence[str], seconds: float) -> list[float]:
    """Milliseconds from when each request was due to the end of its answer."""
    taken = []
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        started = time.perf_counter()
        for number in range(int(seconds * RATE)):
            due = started + number / RATE
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.request("GET", f"/recommend?user_id={users[number % len(users)]}")
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"GET /recommend was answered {response.status}")
            taken.append(1000 * (time.perf_counter() - due))
    return taken


def post_batches(port: int, body: bytes, stop: Event, answers: multiprocessing.Queue[int]) -> None:
    """Post until told to stop; each answer's status goes to `answers`."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while not stop.is_set():
            connection.request("POST", "/recommend", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            answers.put(response.status)
            if response.status == 429:
                time.sleep(float(response.headers["Retry-After"]) / 100)


def measure(port: int, users: Sequence[str], body: bytes, clients: int, seconds: float) -> Round:
    """Measure GET /recommend beside so many clients that post batches."""
    stop = multiprocessing.Event()
    answers: multiprocessing.Queue[int] = multiprocessing.Queue()
    posters = [
        multiprocessing.Process(target=post_batches, args=(port, body, stop, answers)) for _ in range(clients)
    ]
    for poster in posters:
        poster.start()
    statuses = [answers.get() for _ in posters]  # by now all of them are at work
    started = time.perf_counter()
    taken = latencies(port, users, seconds)
    stop.set()
    statuses.clear()
    while any(poster.is_alive() for poster in posters) or not answers.empty():
        with contextlib.suppress(multiprocessing.queues.Empty):
            statuses.append(answers.get(timeout=0.1))
    lasted = time.perf_counter() - started
    unexpected = set(statuses) - {200, 429}
    if unexpected:
        raise SystemExit(f"POST /recommend was answered {unexpected}")
    p50, p99 = np.percentile(taken, [50, 99])
    return Round(float(p50), float(p99), statuses.count(200) / lasted, statuses.count(429) / lasted)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether the target holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--artifacts", type=Path, help="what `scripts.train` published; default: a drawn one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of one row in one round")
    parser.add_argument("--batch", type=int, default=1000, help="users of one batch")
    parser.add_argument("--k", type=int, default=100, help="length of the lists in a batch")
    options = parser.parse_args(argv)
    samples: dict[int, list[Round]] = {clients: [] for clients in (0, FEW, MANY)}
    with tempfile.TemporaryDirectory() as temporary:
        root = options.artifacts or Path(temporary)
        if options.artifacts is None:
            make(root, USERS, ITEMS, INTERACTIONS)
        ids = open_artifact(root / current_version(root)).users
        rows = np.random.default_rng(0).choice(len(ids), min(options.batch, len(ids)), replace=False)
        users = ids.to_external(rows.astype(np.int32))
        body = json.dumps({"user_ids": users, "k": options.k}).encode()
        with service(root) as port:
            for number in range(options.rounds + 1):
                for clients, rounds in samples.items():
                    measured = measure(port, users, body, clients, options.seconds)
                    if number > 0:  # round 0 warms up
                        rounds.append(measured)
    title = f"GET /recommend at {RATE}/s beside batches of {len(users):,} users, k={options.k}"
    return 0 if report(samples, title) else 1


def report(samples: dict[int, list[Round]], title: str) -> bool:
    """Print the table; returns whether the target holds."""
    table = Table(title=title)
    for column in ("batch clients", "p50, ms", "p99, ms", "× quiet", "target", "batches/s", "refused/s"):
        table.add_column(column, justify="right")
    holds = True
    for clients, rounds in samples.items():
        ratio = median(busy.p99 / quiet.p99 for busy, quiet in zip(rounds, samples[0], strict=True))
        holds &= clients != FEW or ratio <= TARGET
        table.add_row(
            str(clients),
            f"{median(each.p50 for each in rounds):.2f}",
            f"{median(each.p99 for each in rounds):.2f}",
            f"{ratio:.1f}",
            f"≤ {TARGET:.0f}" if clients == FEW else "",
            f"{median(each.answered for each in rounds):.1f}",
            f"{median(each.refused for each in rounds):.1f}",
        )
    Console().print(table)
    return holds


if __name__ == "__main__":
    sys.exit(main())
