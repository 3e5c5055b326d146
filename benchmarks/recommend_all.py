"""Top-k lists of everybody: `scripts.recommend_all` beside implicit's own `recommend` in batch.

    python -m benchmarks.recommend_all [--users 1000000] [--items 50000] [--factors 64] [--k 10]

Factors and histories are drawn as in `benchmarks.synthetic`, 20 interactions a user. The lists of a sample of
users are made by both, in turns, from the same factors and without what a user has had; the best of three
rounds counts. implicit gets one BLAS thread, as it asks for, and threads of its own. Then the command itself
writes everybody's lists in a process of its own: from opening the artifact to the finished file. CPU seconds,
of all cores together, tell a busy machine from a slow program.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import implicit
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from benchmarks.startup import make
from models.artifact import current_version, open_artifact
from models.top_lists import TopListMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.artifact import Artifact
    from models.types import RowArray

_INTERACTIONS_PER_USER = 20
_SAMPLE = 20_000
_ROUNDS = 3


def ours(artifact: Artifact, users: RowArray, k: int) -> RowArray:
    """Everybody's items: int32, shape ``(len(users), k)``."""
    maker = TopListMaker(artifact.manifest.row_rule, artifact.user_factors, artifact.item_factors)
    return np.concatenate([block.items for block in maker.lists(users, k, artifact.histories)])


def theirs(artifact: Artifact, users: RowArray, k: int) -> Callable[[], RowArray]:
    """The same by implicit, its model and table made beforehand."""
    with threadpool_limits(limits=1, user_api="blas"):
        model = implicit.cpu.als.AlternatingLeastSquares(factors=artifact.item_factors.shape[1])
    model.user_factors, model.item_factors = np.array(artifact.user_factors), np.array(artifact.item_factors)
    known = artifact.histories.select(users)
    table = csr_matrix((known.values, known.indices, known.indptr), shape=(len(users), len(artifact.items)))

    def recommend() -> RowArray:
        with threadpool_limits(limits=1, user_api="blas"):
            return np.asarray(model.recommend(users, table, N=k)[0])

    return recommend


def beside_implicit(artifact: Artifact, k: int, console: Console) -> None:
    """Print users a second of both on a sample, and how far their lists agree."""
    rng = np.random.default_rng(1)
    users = np.sort(rng.choice(len(artifact.users), min(_SAMPLE, len(artifact.users)), replace=False))
    users = users.astype(np.int32)
    runs = {"ours": lambda: ours(artifact, users, k), "implicit": theirs(artifact, users, k)}
    lists = {name: run() for name, run in runs.items()}  # compiles
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            started, cpu = time.perf_counter(), time.process_time()
            run()
            taken[name].append((time.perf_counter() - started, time.process_time() - cpu))
    table = Table("lists alone", "seconds", "users/s", "CPU seconds")
    best = {name: np.min(of_it, axis=0) for name, of_it in taken.items()}
    for name, (seconds, cpu) in best.items():
        table.add_row(name, f"{seconds:.2f}", f"{len(users) / seconds:,.0f}", f"{cpu:.2f}")
    console.print(table)
    ratio, cpu_ratio = best["implicit"] / best["ours"]
    same = np.mean([np.isin(*pair).mean() for pair in zip(lists["ours"], lists["implicit"], strict=True)])
    console.print(
        f"{len(users):,} users; {ratio:.2f} times as many a second, {cpu_ratio:.2f} times by processor time; "
        f"{same:.5f} of the items are in both lists"
    )


def command(root: Path, n_users: int, k: int, console: Console) -> None:
    """Print users a second of the whole command, and the memory of its process."""
    output = root / "lists.parquet"
    words = ["--artifacts", str(root), "--output", str(output), "--k", str(k)]
    started = time.perf_counter()
    cpu = _cpu_seconds_of_ended_children()
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.recommend_all", *words], stdout=subprocess.DEVNULL
    )
    most = {"RssAnon": 0, "VmHWM": 0}
    while process.poll() is None:
        for name, used in _memory(process.pid).items():
            most[name] = max(most[name], used)
        time.sleep(0.05)
    seconds, cpu = time.perf_counter() - started, _cpu_seconds_of_ended_children() - cpu
    if process.returncode != 0:
        raise SystemExit(f"scripts.recommend_all ended with {process.returncode}")
    console.print(
        f"the whole command: {n_users:,} users in {seconds:.1f} s, {n_users / seconds:,.0f} users/s, "
        f"{cpu:.0f} CPU seconds; peak memory {most['VmHWM'] / 2**20:.2f} GiB, of which "
        f"{most['RssAnon'] / 2**20:.2f} GiB are its own and the rest mapped files; "
        f"a file of {output.stat().st_size / 2**20:.0f} MiB"
    )


def _memory(pid: int) -> dict[str, int]:
    """KiB that a process has now of its own, and has had at most in all; nothing once it has ended."""
    # Not ru_maxrss, which counts the process that started it, too.
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) for name in ("RssAnon", "VmHWM") if name in fields}


def _cpu_seconds_of_ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Lists of everybody, beside implicit's own.")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args(argv)
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        interactions = _INTERACTIONS_PER_USER * options.users
        make(root, options.users, options.items, interactions, options.factors)
        artifact = open_artifact(root / current_version(root))
        console.print(
            f"{options.users:,} users × {options.items:,} items × {options.factors} factors, "
            f"{len(artifact.histories.indices):,} interactions, k = {options.k}"
        )
        beside_implicit(artifact, options.k, console)
        command(root, options.users, options.k, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
