"""How fast a table of interactions loads, and in how much memory.

Makes a seeded table of the size of MovieLens 20M (138,493 users, 27,278 items drawn by Zipf's law, half-star
ratings, timestamps), loads it in a fresh process for each case, and prints rows per second and the peak
memory of that process. The tables stay in a temporary directory and are used again.

    python -m benchmarks.load_interactions [--rows 20000000] [--format csv] [--repeats 0 --repeats 0.25]
"""

from __future__ import annotations

import argparse
import gzip
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, ParamSpec, TypeVar, cast

import numpy as np
import polars as pl
import zstandard

from models.interactions import read_interactions
from models.layouts import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = ParamSpec("P")
Result = TypeVar("Result")

_USERS: Final = 138_493
_ITEMS: Final = 27_278
_FIRST_SECOND, _LAST_SECOND = 789_652_009, 1_427_784_002  # of MovieLens 20M
_CHUNK_ROWS: Final = 1_000_000
_FORMATS: Final = ("csv", "csv.gz", "csv.zst", "ndjson", "parquet")
_LAYOUT: Final = Layout(value_column="rating", time_column="timestamp")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description="How fast a table of interactions loads, in how much memory."
    )
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--format", choices=_FORMATS, action="append", help="default: csv; repeat for more")
    parser.add_argument(
        "--repeats", type=float, action="append", help="share of rows that repeat a pair; default: 0 and 0.25"
    )
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "foldrec-benchmark")
    options = parser.parse_args(argv)
    options.directory.mkdir(parents=True, exist_ok=True)
    print(f"{'file':<30}{'MB':>7}{'seconds':>9}{'CPU s':>8}{'rows/s':>12}{'peak MB':>9}{'merged':>11}")
    for kind in options.format or ["csv"]:
        for repeats in options.repeats or [0.0, 0.25]:
            path = options.directory / f"{options.rows}-{options.seed}-{repeats:g}.{kind}"
            if not path.exists():
                _in_fresh_process(_write, path, options.rows, repeats, options.seed)
            found = _in_fresh_process(_measure, path)
            rate = options.rows / found.seconds
            print(
                f"{path.name:<30}{path.stat().st_size / 1e6:>7,.0f}{found.seconds:>9.2f}"
                f"{found.cpu_seconds:>8.2f}{rate:>12,.0f}{found.peak_bytes / 1e6:>9,.0f}{found.merged:>11,}",
                flush=True,
            )
    return 0


def _in_fresh_process(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call it in a process of its own: the peak of memory is then its alone."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


@dataclass(frozen=True, slots=True)
class _Measurement:
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    merged: int


def _measure(path: Path) -> _Measurement:
    started = time.process_time()
    report = read_interactions(path, _LAYOUT, duplicates="last").report
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _Measurement(
        seconds=report.seconds,
        cpu_seconds=time.process_time() - started,
        peak_bytes=peak if sys.platform == "darwin" else peak * 1024,  # Linux counts in KiB
        merged=report.merged_duplicates,
    )


def _write(path: Path, n_rows: int, repeats: float, seed: int) -> None:
    """Write the table under another name first: an interrupted run leaves no half table to be used again."""
    partial = path.with_name(f"partial-{path.name}")
    table = _table(n_rows, repeats, np.random.default_rng(seed))
    if path.suffix == ".parquet":
        table.write_parquet(partial)
    else:
        with _opened(partial) as file:
            for start in range(0, n_rows, _CHUNK_ROWS):
                chunk = table.slice(start, _CHUNK_ROWS)
                if path.suffix == ".ndjson":
                    chunk.write_ndjson(file)
                else:
                    chunk.write_csv(file, include_header=start == 0)
    partial.rename(path)


def _table(n_rows: int, repeats: float, rng: np.random.Generator) -> pl.DataFrame:
    popularity = 1 / np.arange(1, _ITEMS + 1)
    pairs = np.empty(0, dtype=np.int64)
    while len(pairs) < n_rows:
        users = rng.integers(_USERS, size=n_rows)
        items = rng.choice(_ITEMS, size=n_rows, p=popularity / popularity.sum())
        pairs = np.union1d(pairs, users * _ITEMS + items)
    pairs = rng.permutation(pairs)[:n_rows]
    n_repeats = int(repeats * n_rows)
    if n_repeats:
        pairs[n_rows - n_repeats :] = rng.choice(pairs[: n_rows - n_repeats], size=n_repeats)
        pairs = rng.permutation(pairs)
    return pl.DataFrame(
        {
            "user": pairs // _ITEMS,
            "item": pairs % _ITEMS,
            "rating": rng.integers(1, 11, size=n_rows) / 2,
            "timestamp": rng.integers(_FIRST_SECOND, _LAST_SECOND, size=n_rows),
        }
    ).select(
        pl.format("u{}", "user").alias("user_id"),
        pl.format("item-{}", "item").alias("item_id"),
        "rating",
        "timestamp",
    )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    match path.suffix:
        case ".gz":
            with gzip.open(path, "wb", compresslevel=6) as file:
                yield cast("IO[bytes]", file)
        case ".zst":
            with path.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as file:
                yield file
        case _:
            with path.open("wb") as file:
                yield file


if __name__ == "__main__":
    sys.exit(main())
