"""Two checkouts of this project side by side: what a change has cost or gained plain requests.

    git worktree add ../before COMMIT
    python -m benchmarks.checkouts ../before

Each checkout trains the models of `benchmarks.serving` by its own code on the same table (once, kept in
``--work``) and serves them by its own code; requests are the same. Rounds alternate between the two.
The environment is that of this process, so both run on the same libraries. Needs wrk.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Literal

from rich.console import Console
from rich.table import Table

from benchmarks.serving import (
    FOLD_IN_FACTORS,
    ITEMS,
    RETRIEVAL_FACTORS,
    ROWS,
    Cores,
    Sample,
    Server,
    by_wrk,
    lua,
    questions,
    server,
)
from models.artifact import current_version, open_artifact
from models.artifact.store import CURRENT

HERE = Path(__file__).resolve().parent.parent
_SETTLING_SECONDS = 2


def trained(checkout: Path, work: Path, factors: int) -> Path:
    """Where that checkout's model is; its own benchmark trains it, if it has not done so yet."""
    root = work / f"{ITEMS}x{factors}"
    if not (root / CURRENT).exists():
        command = [sys.executable, "-m", "benchmarks.serving", "--work", str(work.resolve())]
        command += ["--rounds", "1", "--seconds", "1"]
        subprocess.run(command, cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)}, check=False)
    current_version(root)
    return root


def compare(
    requests: Literal["get", "post"], checkouts: list[Path], roots: list[Path], *, rounds: int, seconds: int
) -> list[list[Sample]]:
    """Measure all in each round, by requests for users of the last model."""
    cores = Cores.available()
    row = next(row for row in ROWS if row.name.startswith("Foldrec") and row.requests == requests)
    samples: list[list[Sample]] = [[] for _ in checkouts]
    newest = roots[-1]
    asked = questions(open_artifact(newest / current_version(newest)), requests)
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        script = lua(asked, Path(scratch) / "asked.lua")
        running: list[Server] = [
            stack.enter_context(server(row, root, cores.server, checkout=checkout))
            for checkout, root in zip(checkouts, roots, strict=True)
        ]
        time.sleep(_SETTLING_SECONDS)
        for number in range(rounds + 1):
            for each, own in zip(running, samples, strict=True):
                before = each.cpu_seconds()
                rate = by_wrk(each.port, script, seconds, 16, cores.client)
                used = each.cpu_seconds() - before
                if number > 0:  # round 0 warms up
                    own.append(Sample(rate, 1e6 * used / (rate * seconds)))
    return samples


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of one checkout in one round")
    parser.add_argument("--work", type=Path, default=Path("data/benchmarks/checkouts"))
    options = parser.parse_args()
    checkouts = [options.before.resolve(), HERE]
    table = Table(title="before and here: medians of the rounds, ratios are here to before")
    for column in ("requests", "before/s", "here/s", "ratio", "before CPU µs", "here CPU µs", "ratio"):
        table.add_column(column, justify="right")
    requests: Literal["get", "post"]
    for requests, factors in (("get", RETRIEVAL_FACTORS), ("post", FOLD_IN_FACTORS)):
        roots = [
            trained(checkout, options.work / name, factors)
            for checkout, name in zip(checkouts, ("before", "here"), strict=True)
        ]
        before, here = compare(requests, checkouts, roots, rounds=options.rounds, seconds=options.seconds)
        pairs = list(zip(before, here, strict=True))
        table.add_row(
            requests,
            f"{median(each.rate for each in before):,.0f}",
            f"{median(each.rate for each in here):,.0f}",
            f"{median(new.rate / old.rate for old, new in pairs):.3f}",
            f"{median(each.cpu_microseconds for each in before):.0f}",
            f"{median(each.cpu_microseconds for each in here):.0f}",
            f"{median(old.cpu_microseconds / new.cpu_microseconds for old, new in pairs):.3f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
