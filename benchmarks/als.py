"""Explicit ALS on MovieLens 100K beside cmfrec: RMSE over random 5-fold, and seconds per fit.

    python -m benchmarks.als [--interactions data/movielens-100k]

λ is chosen by a split of the first fold's training part alone; no test fold is looked at before the table is
printed. Both libraries get the same folds, factors, number of iterations and threads, and their
predictions are clipped to the range of the training ratings. Times are medians of the folds; ours are
taken after compilation, whose cost is printed apart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from cmfrec import CMF
from rich.console import Console
from rich.table import Table
from scipy.sparse import coo_matrix

from models.dataset import Dataset, build_dataset
from models.dataset_directory import open_dataset_directory
from models.families.als import ALS, ALSConfig
from models.interactions import read_interactions
from models.layouts import choose_layout
from models.metrics import predict_entries, root_mean_squared_error
from models.split import random_folds

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.types import BoolArray, FloatArray

_THREADS = 2
_ITERATIONS = 15
_FACTORS = 60
_CANDIDATES = (0.06, 0.08, 0.1, 0.12, 0.15, 0.2)


def ours(config: ALSConfig) -> Callable[[Dataset, Dataset], tuple[FloatArray, float]]:
    """Fit our ALS; returns predictions of the hidden entries and seconds."""

    def fit(training: Dataset, hidden: Dataset) -> tuple[FloatArray, float]:
        started = time.perf_counter()
        model = ALS(config).fit(training, rng=np.random.default_rng(0))
        seconds = time.perf_counter() - started
        scores = predict_entries(model.user_factors, model.items.factors, hidden.histories, biased=True)
        return model.rule.global_mean + scores, seconds

    return fit


def cmfrec(**options: object) -> Callable[[Dataset, Dataset], tuple[FloatArray, float]]:
    """Fit cmfrec's ALS by Cholesky, as ours is; returns predictions of the hidden entries and seconds."""

    def fit(training: Dataset, hidden: Dataset) -> tuple[FloatArray, float]:
        model = CMF(
            k=_FACTORS,
            niter=_ITERATIONS,
            nthreads=_THREADS,
            verbose=False,
            use_float=True,
            use_cg=False,
            random_state=0,
            **options,
        )
        rows = training.histories
        table = coo_matrix((rows.values, (rows.row_numbers, rows.indices)), shape=training.shape)
        started = time.perf_counter()
        model.fit(table)
        seconds = time.perf_counter() - started
        return model.predict(hidden.histories.row_numbers, hidden.histories.indices), seconds

    return fit


def rmse_and_seconds(
    dataset: Dataset, test: BoolArray, fit: Callable[[Dataset, Dataset], tuple[FloatArray, float]]
) -> tuple[float, float]:
    """RMSE of one fold's hidden ratings and seconds of its fit."""
    training, hidden = dataset.with_entries(~test), dataset.with_entries(test)
    predicted, seconds = fit(training, hidden)
    low, high = training.histories.values.min(), training.histories.values.max()
    return root_mean_squared_error(np.clip(predicted, low, high), hidden.histories.values), seconds


def chosen_regularization(training: Dataset) -> float:
    """λ by a split of the training part alone."""
    validation = next(random_folds(training, 10, np.random.default_rng(1)))
    return min(
        _CANDIDATES,
        key=lambda value: rmse_and_seconds(training, validation, ours(_config(value)))[0],
    )


def _config(regularization: float) -> ALSConfig:
    return ALSConfig(
        factors=_FACTORS, iterations=_ITERATIONS, ridge="frequency", regularization=regularization
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--interactions", type=Path, default=Path("data/movielens-100k"))
    path, _, preset = open_dataset_directory(parser.parse_args().interactions)
    dataset = build_dataset(read_interactions(path, choose_layout(preset), duplicates="last"))
    folds = list(random_folds(dataset, 5, np.random.default_rng(0)))

    started = time.perf_counter()
    ours(_config(0.1))(dataset.with_entries(folds[0]), dataset.with_entries(folds[1]))
    compiled = time.perf_counter() - started
    regularization = chosen_regularization(dataset.with_entries(~folds[0]))

    constant = ALSConfig(factors=_FACTORS, iterations=_ITERATIONS, ridge="constant", regularization=15)
    contenders = {
        f"Foldrec als, λ = {regularization} × entries": ours(_config(regularization)),
        "Foldrec als, λ = 15": ours(constant),
        f"cmfrec, λ = {regularization} × entries": cmfrec(lambda_=regularization, scale_lam=True),
        "cmfrec, λ = 15": cmfrec(lambda_=15.0),
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for test in folds:  # all contenders on one fold, then the next: they share the machine's moods
        for name, fit in contenders.items():
            measured[name].append(rmse_and_seconds(dataset, test, fit))

    table = Table(title=f"MovieLens 100K, random 5-fold, {_FACTORS} factors, {_ITERATIONS} iterations")
    for column in ("", "RMSE", "seconds per fit", "× cmfrec, λ = 15"):
        table.add_column(column)
    reference = median(seconds for _, seconds in measured["cmfrec, λ = 15"])
    for name, results in measured.items():
        seconds = median(seconds for _, seconds in results)
        rmse = np.mean([error for error, _ in results])
        table.add_row(name, f"{rmse:.4f}", f"{seconds:.2f}", f"{seconds / reference:.2f}")
    Console().print(table)
    print(f"first call, compilation included: {compiled:.1f} s")


if __name__ == "__main__":
    main()
