"""Which iALS: the two objectives beside popularity, as they come and tuned, and what an iteration costs.

    python -m benchmarks.ials [--interactions data/movielens-100k]... [--speed [--factors 64]...]

Quality: nDCG@10 and recall@20 on the latest fifth of every user's entries (a random fifth where the table
has no times), and of strangers, who are folded in (strong generalization). Hyperparameters are tuned by a
split of the same kind inside the training part, both objectives over twelve settings; no test entry is looked
at before the table is printed. Tables are directories of scripts.fetch, ``::`` files as MovieLens has, or CSV
files whose columns are user, item, rating and perhaps time. Beside those named there are two that are drawn.

Speed (`--speed`): seconds and CPU seconds per iteration by trainer, on a drawn table of the size of MovieLens
1M, and the loss that both objectives' own trainers come to. irspack is measured where it is installed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from benchmarks.synthetic import generate_interactions, to_dataset
from models.dataset import build_dataset
from models.dataset_directory import open_dataset_directory
from models.evaluation.protocols import Split, SplitDefinition
from models.interactions import read_interactions
from models.layouts import Layout, choose_layout
from models.metrics import ranking_metrics
from models.registry import FAMILIES, configure
from models.split import latest_split, random_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from models.dataset import Dataset
    from models.families.base import FittedModel
    from models.row_solve import Rows
    from models.types import FloatArray, RowArray

_GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "ials": {"unobserved_weight": (0.03, 0.1, 0.3, 1.0), "regularization": (3.0, 6.0, 12.0)},
    "ials_implicit": {"alpha": (0.3, 1.0, 3.0), "regularization": (3.0, 10.0, 30.0, 100.0)},
}
_TUNED_ON = 2_000
"""People whose lists decide while tuning."""
_SHARE = 0.2
_SPEED_ITERATIONS = 12


@dataclass(frozen=True, slots=True)
class Task:
    """What a model learns from, what is then known of each user, and what it has to find."""

    training: Dataset
    known: Rows
    hidden: Rows
    strangers: bool

    @classmethod
    def of(cls, dataset: Dataset, seed: int, *, strangers: bool) -> Task:
        """Hide a fifth of everybody's entries, or of those of a fifth of the users."""
        if strangers:
            split = Split(dataset, SplitDefinition(name="strong", seed=seed))
            only = next(split.rounds())
            return cls(only.training, only.known, only.hidden, strangers=True)
        if dataset.timestamps is None:
            test = random_split(dataset, _SHARE, np.random.default_rng(seed))
        else:
            test = latest_split(dataset, _SHARE)
        training = dataset.with_entries(~test)
        return cls(training, training.histories, dataset.with_entries(test).histories, strangers=False)

    def of_few(self, count: int) -> Task:
        """The same with at most `count` people to judge."""
        judged = np.random.default_rng(0).permutation(np.flatnonzero(self.hidden.lengths))[:count]
        chosen = np.isin(self.hidden.row_numbers, judged)
        return Task(self.training, self.known, self.hidden.kept(chosen), self.strangers)

    def judge(self, model: FittedModel) -> tuple[float, float]:
        """The model's nDCG@10 and recall@20."""
        if self.strangers:
            return self._judge(lambda users: model.score_histories(self.known.select(users)))
        return self._judge(model.score_users)

    def judge_popularity(self) -> tuple[float, float]:
        """The same of the items with most entries."""
        counts = self.training.popularity().astype(np.float32)
        return self._judge(lambda users: np.tile(counts, (len(users), 1)))

    def _judge(self, score: Callable[[RowArray], FloatArray]) -> tuple[float, float]:
        gain = ranking_metrics(score, self.known, self.hidden, 10)["ndcg@10"]
        return gain, ranking_metrics(score, self.known, self.hidden, 20)["recall@20"]


def fitted(family: str, hyperparameters: Mapping[str, Any], dataset: Dataset) -> FittedModel:
    """Fit with seed 0."""
    return (
        FAMILIES[family].make(configure(family, hyperparameters)).fit(dataset, rng=np.random.default_rng(0))
    )


def tuned(family: str, task: Task) -> dict[str, float]:
    """The setting of the grid with the best nDCG@10 on a split inside the training part."""
    inner = Task.of(task.training, 1, strangers=task.strangers).of_few(_TUNED_ON)
    grid = _GRIDS[family]
    settings = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return max(settings, key=lambda setting: inner.judge(fitted(family, setting, inner.training))[0])


def datasets(paths: Sequence[Path]) -> Iterator[tuple[str, Dataset]]:
    """The tables by name, one at a time."""
    for path in paths:
        file, layout = _located(path)
        yield (
            path.parent.name if path.is_file() else path.name,
            build_dataset(read_interactions(file, layout)),
        )
    for users, items, count in ((6_000, 3_000, 200_000), (20_000, 10_000, 200_000)):
        rng = np.random.default_rng(3)
        drawn = generate_interactions(users=users, items=items, interactions=count, rng=rng)
        yield f"drawn, {users:,} × {items:,}", to_dataset(drawn)


def _located(path: Path) -> tuple[Path, Layout]:
    """The file of interactions and its layout: of a fetched directory, of a .dat or of a CSV."""
    if path.is_dir():
        file, _, preset = open_dataset_directory(path)
        return file, choose_layout(preset)
    if path.suffix == ".dat":
        return path, choose_layout("movielens-1m")
    with path.open(encoding="utf-8") as lines:
        columns = next(lines).strip().split(",")
    return path, Layout(
        user_column=columns[0],
        item_column=columns[1],
        value_column=columns[2],
        time_column=columns[3] if len(columns) > 3 else None,
    )


def quality(paths: Sequence[Path], console: Console) -> None:
    """Print nDCG@10 and recall@20 of every table, split and contender."""
    table = Table(title="nDCG@10 / recall@20")
    for column in ("table", "hidden", "popularity", "ials_implicit", "tuned", "ials", "tuned"):
        table.add_column(column)
    for name, dataset in datasets(paths):
        for strangers in (False, True):
            task = Task.of(dataset, 0, strangers=strangers)
            cells = ["{:.4f} / {:.4f}".format(*task.judge_popularity())]
            for family in ("ials_implicit", "ials"):
                best = tuned(family, task)
                models = [fitted(family, setting, task.training) for setting in ({}, best)]
                cells += ["{:.4f} / {:.4f}".format(*task.judge(model)) for model in models]
                console.print(f"{name}: {family} tuned to {best}")
            kind = "strangers" if strangers else "latest" if dataset.timestamps is not None else "random"
            table.add_row(name, kind, *cells)
    console.print(table)


def speed(widths: Sequence[int], console: Console) -> None:
    """Print seconds per iteration by trainer and number of factors."""
    rng = np.random.default_rng(1)
    dataset = to_dataset(generate_interactions(users=6_040, items=3_706, interactions=1_000_000, rng=rng))
    entries = len(dataset.histories.indices)
    table = Table(title=f"{entries:,} entries, {dataset.shape[0]:,} × {dataset.shape[1]:,}")
    for column in ("factors", "trainer", "seconds per iteration", "CPU seconds", "loss"):
        table.add_column(column, justify="right")
    for family in _GRIDS:
        fitted(family, {"factors": 8, "iterations": 1}, dataset)  # compilation
    for factors in widths:
        for family in _GRIDS:
            wall, cpu = time.perf_counter(), time.process_time()
            model = fitted(family, {"factors": factors, "iterations": _SPEED_ITERATIONS}, dataset)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            table.add_row(str(factors), family, *_per_iteration(spent), f"{model.losses[-1]:.4f}")
        if find_spec("irspack") is not None:
            for name, spent, loss in irspack(dataset, factors):
                table.add_row(str(factors), name, *_per_iteration(spent), f"{loss:.4f}")
    console.print(table)


def _per_iteration(spent: tuple[float, float]) -> tuple[str, str]:
    return f"{spent[0] / _SPEED_ITERATIONS:.2f}", f"{spent[1] / _SPEED_ITERATIONS:.2f}"


def irspack(dataset: Dataset, factors: int) -> Iterator[tuple[str, tuple[float, float], float]]:
    """The same objective by irspack: name, wall and CPU seconds, and its loss in our unit."""
    from irspack.recommenders.ials import IALSRecommender  # noqa: PLC0415

    rule = fitted("ials", {"factors": 1, "iterations": 1}, dataset).rule
    rows = dataset.histories
    values = rule.scaled(rows.values)
    table = csr_matrix((values, rows.indices, rows.indptr), shape=dataset.shape)
    for solver in ("CG", "IALSPP"):
        recommender = IALSRecommender(
            table,
            n_components=factors,
            alpha0=rule.unobserved_weight,
            reg=rule.regularization,
            nu=rule.ridge_exponent,
            solver_type=solver,
            train_epochs=_SPEED_ITERATIONS,
            n_threads=numba.get_num_threads(),
        )
        wall, cpu = time.perf_counter(), time.process_time()
        recommender.learn()
        spent = time.perf_counter() - wall, time.process_time() - cpu
        loss = 2 * recommender.trainer.compute_loss() / float(values.sum(dtype=np.float64))
        yield f"irspack {solver}", spent, loss


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--interactions", type=Path, action="append", default=[])
    parser.add_argument("--speed", action="store_true", help="measure seconds instead of quality")
    parser.add_argument(
        "--factors", type=int, action="append", help="of --speed: 64, 128 and 512 unless said"
    )
    options = parser.parse_args()
    console = Console(width=130)
    if options.speed:
        speed(options.factors or (64, 128, 512), console)
    else:
        quality(options.interactions or [Path("data/movielens-100k")], console)


if __name__ == "__main__":
    main()
