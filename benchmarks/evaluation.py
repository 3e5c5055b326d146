"""How fast top-k lists are made and judged, beside implicit's own evaluation, and in how much memory.

    python -m benchmarks.evaluation [--users 20000] [--items 20000] [--factors 64] [--large]

Both judge the same factors on the same split: seeded normal factors, items drawn by Zipf's law, a fifth of
each user's entries hidden. Ours computes nine metrics and keeps them by user; implicit's
`ranking_metrics_at_k` computes the means of four. nDCG and MAP have the same definitions in both and are
compared. implicit is given one BLAS thread, as it asks for, and threads of its own. Both take turns, and the
best of five is printed; compilation is not in it. With --large, 1 M users × 100k items: how many of them a
second, for a sample, and how much memory judging takes beyond the factors and the table.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

import implicit
import numpy as np
from implicit.evaluation import ranking_metrics_at_k
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from models.dataset import Dataset
from models.evaluation.judge import judge
from models.evaluation.measures import MEASURES
from models.evaluation.memory import measured
from models.evaluation.protocols import Round
from models.ids import IdMap
from models.row_solve import Rows
from models.row_solve.rows import pointers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.types import Float32Array, RowArray

_K = 10
_ENTRIES_PER_USER = 50
_REPEATS = 5


class Factors:
    """A ranker by inner products."""

    predicts_values = False

    def __init__(self, users: Float32Array, items: Float32Array) -> None:
        self.users, self.items = users, items

    def score_users(self, users: RowArray) -> Float32Array:
        """Inner products: shape ``(len(users), n_items)``."""
        return self.users[users] @ self.items.T

    def score_histories(self, histories: Rows) -> Float32Array:
        """Nobody is folded in here."""
        raise NotImplementedError

    def predict(self, entries: Rows) -> Float32Array:
        """No values are predicted here."""
        raise NotImplementedError


def make_round(n_users: int, n_items: int, rng: np.random.Generator, *, n_judged: int) -> Round:
    """Distinct items of each user by Zipf's law; of the first `n_judged` users a fifth is hidden."""
    lengths = np.full(n_users, _ENTRIES_PER_USER)
    chance = 1 / np.arange(1, n_items + 1)
    edges = np.cumsum(chance / chance.sum())
    users = np.repeat(np.arange(n_users, dtype=np.int64), lengths)
    items = np.minimum(np.searchsorted(edges, rng.random(len(users))), n_items - 1)
    cells = np.unique(users * n_items + items)
    users, items = cells // n_items, (cells % n_items).astype(np.int32)
    hidden = (rng.random(len(cells)) < 0.2) & (users < n_judged)

    def rows(kept: Any) -> Rows:
        counts = np.bincount(users[kept], minlength=n_users)
        return Rows(pointers(counts), items[kept], np.ones(kept.sum(), dtype=np.float32))

    known, tested = rows(~hidden), rows(hidden)
    ids = [IdMap.build([f"{row:07}" for row in range(size)]) for size in (n_users, n_items)]
    people = np.flatnonzero((known.lengths > 0) & (tested.lengths > 0)).astype(np.int32)
    return Round(Dataset(ids[0], ids[1], known, has_values=False), known, tested, people, False, None, {})


def beside_implicit(n_users: int, n_items: int, n_factors: int, console: Console) -> None:
    """Print both libraries' seconds, users a second, and the metrics that they share."""
    rng = np.random.default_rng(0)
    judged = make_round(n_users, n_items, rng, n_judged=n_users)
    users, items = (rng.normal(size=(size, n_factors)).astype(np.float32) for size in (n_users, n_items))
    ranker = Factors(users, items)
    with threadpool_limits(limits=1, user_api="blas"):  # as implicit asks for: it has threads of its own
        model = implicit.cpu.als.AlternatingLeastSquares(factors=n_factors)
    model.user_factors, model.item_factors = users, items
    known, hidden = (
        csr_matrix((rows.values, rows.indices, rows.indptr), shape=(n_users, n_items))
        for rows in (judged.known, judged.hidden)
    )

    def ours() -> dict[str, float]:
        parts = judge(ranker, judged, _K).parts
        return {
            name: float(MEASURES[name].value(*(part.sum() for part in parts[name])))
            for name in ("ndcg", "map")
        }

    def theirs() -> dict[str, float]:
        with threadpool_limits(limits=1, user_api="blas"):
            return dict(ranking_metrics_at_k(model, known, hidden, K=_K, show_progress=False))

    runs = {"ours": ours, "implicit": theirs}
    metrics = {name: run() for name, run in runs.items()}  # compiles
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(_REPEATS):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    table = Table("", "seconds", "users/s", f"nDCG@{_K}", f"MAP@{_K}")
    for name in runs:
        best = min(seconds[name])
        of_it = metrics[name]
        table.add_row(
            *(name, f"{best:.2f}", f"{len(judged.people) / best:,.0f}"),
            *(f"{of_it['ndcg']:.6f}", f"{of_it['map']:.6f}"),
        )
    console.print(f"{len(judged.people):,} users × {n_items:,} items × {n_factors} factors")
    console.print(table)


def large(n_factors: int, console: Console) -> None:
    """Judge a sample of 1 M users on 100k items; print speed and the peak memory of this process."""
    n_users, n_items, n_judged = 1_000_000, 100_000, 20_000
    rng = np.random.default_rng(0)
    judged = make_round(n_users, n_items, rng, n_judged=n_judged)
    ranker = Factors(
        rng.standard_normal((n_users, n_factors), dtype=np.float32),
        rng.standard_normal((n_items, n_factors), dtype=np.float32),
    )
    started = time.perf_counter()
    with measured() as peak:
        judge(ranker, judged, _K)
    seconds = time.perf_counter() - started
    extra = "not known here" if peak.extra_bytes is None else f"{peak.extra_bytes / 2**30:.2f} GiB"
    tables = [
        getattr(rows, name)
        for rows in (judged.known, judged.hidden)
        for name in ("indptr", "indices", "values")
    ]
    held = sum(array.nbytes for array in [ranker.users, ranker.items, *tables]) / 2**30
    console.print(
        f"{n_users:,} users × {n_items:,} items × {n_factors} factors, {n_judged:,} judged: {seconds:.1f} s, "
        f"{n_judged / seconds:,.0f} users/s; peak memory {extra} beyond factors and table ({held:.2f} GiB)"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Judging lists beside implicit's own evaluation.")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--large", action="store_true", help="1 M users × 100k items instead")
    options = parser.parse_args(argv)
    console = Console(highlight=False)
    if options.large:
        large(options.factors, console)
    else:
        beside_implicit(options.users, options.items, options.factors, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
