"""Families of ratings on MovieLens 100K beside Surprise and cmfrec: RMSE, MAE and seconds over random 5-fold.

    python -m benchmarks.ratings [--interactions data/movielens-100k]

Hyperparameters are chosen among the candidates below by a split of the first fold's training part alone, and
each choice is printed; no test fold is looked at before the last table. Surprise runs with its defaults,
cmfrec with the 60 factors and λ = 15 of the ALS benchmark. Predictions are clipped to the range of the
training ratings. Seconds are medians of the fits; ours are taken after compilation, which is printed apart.

timesvdpp predicts each rating at its own time. Under a random split a user's hidden ratings lie between known
ones of the same sitting, and most of its lead is the mood of that sitting: it fills gaps rather than
foresees.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import surprise
from cmfrec import CMF
from rich.console import Console
from rich.table import Table
from scipy.sparse import coo_matrix

from models.dataset import Dataset, build_dataset
from models.dataset_directory import open_dataset_directory
from models.interactions import read_interactions
from models.layouts import choose_layout
from models.metrics import root_mean_squared_error
from models.registry import FAMILIES, configure
from models.split import random_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from models.types import BoolArray, FloatArray

Fit: TypeAlias = "Callable[[Dataset, Dataset], tuple[FloatArray, float]]"
"""From training and hidden entries to predictions of the hidden ones and seconds of the fit."""

_SHARED: Mapping[str, Any] = {"factors": 64, "learning_rate": 0.012, "bias_learning_rate": 0.006}
_CANDIDATES: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "als": {"factors": (60,), "regularization": (0.08, 0.1, 0.12, 0.15)},
    "funk_svd": {"factors": (64,), "learning_rate": (0.02, 0.03), "regularization": (0.06, 0.08, 0.1)},
    "svdpp": {
        **{name: (value,) for name, value in _SHARED.items()},
        "iterations": (15, 20, 25),
        "regularization": (0.05, 0.06, 0.08),
        "implicit_regularization": (0.01, 0.02),
    },
    "timesvdpp": {
        **{name: (value,) for name, value in _SHARED.items()},
        "iterations": (15, 20),
        "regularization": (0.06, 0.08),
        "bins": (1, 10),
        "period_seconds": (120, 3_600, 86_400),
    },
}


def ours(family: str, hyperparameters: Mapping[str, Any]) -> Fit:
    """Fit one of our families."""

    def fit(training: Dataset, hidden: Dataset) -> tuple[FloatArray, float]:
        model = FAMILIES[family].make(configure(family, hyperparameters))
        started = time.perf_counter()
        fitted = model.fit(training, rng=np.random.default_rng(0))
        seconds = time.perf_counter() - started
        return fitted.predict(hidden.histories), seconds

    return fit


def surprises(make: Callable[[], surprise.AlgoBase], training: Dataset, hidden: Dataset) -> Any:
    """Fit one of Surprise's algorithms."""
    rows, asked = training.histories, hidden.histories
    low, high = float(rows.values.min()), float(rows.values.max())
    columns = (rows.row_numbers.tolist(), rows.indices.tolist(), rows.values.tolist())
    entries = [(*entry, None) for entry in zip(*columns, strict=True)]
    trainset = surprise.Dataset(surprise.Reader(rating_scale=(low, high))).construct_trainset(entries)
    algorithm = make()
    started = time.perf_counter()
    algorithm.fit(trainset)
    seconds = time.perf_counter() - started
    pairs = zip(asked.row_numbers.tolist(), asked.indices.tolist(), strict=True)
    return np.array([algorithm.predict(*pair).est for pair in pairs]), seconds


def cmfrecs(training: Dataset, hidden: Dataset) -> tuple[FloatArray, float]:
    """Fit cmfrec's ALS with implicit features, the nearest that it has to SVD++."""
    rows, asked = training.histories, hidden.histories
    model = CMF(k=60, lambda_=15.0, add_implicit_features=True, verbose=False, nthreads=2, random_state=0)
    table = coo_matrix((rows.values, (rows.row_numbers, rows.indices)), shape=training.shape)
    started = time.perf_counter()
    model.fit(table)
    return model.predict(asked.row_numbers, asked.indices), time.perf_counter() - started


def errors_and_seconds(dataset: Dataset, test: BoolArray, fit: Fit) -> tuple[float, float, float]:
    """RMSE and MAE of one fold's hidden ratings, and seconds of its fit."""
    training, hidden = dataset.with_entries(~test), dataset.with_entries(test)
    predicted, seconds = fit(training, hidden)
    values = training.histories.values
    clipped, actual = np.clip(predicted, values.min(), values.max()), hidden.histories.values
    return root_mean_squared_error(clipped, actual), float(np.mean(np.abs(clipped - actual))), seconds


def chosen(family: str, training: Dataset) -> dict[str, Any]:
    """The candidate with the lowest error on a split of the training part alone."""
    validation = next(random_folds(training, 10, np.random.default_rng(1)))
    names = list(_CANDIDATES[family])
    candidates = [dict(zip(names, values, strict=True)) for values in product(*_CANDIDATES[family].values())]
    errors = [errors_and_seconds(training, validation, ours(family, tried))[0] for tried in candidates]
    best = candidates[int(np.argmin(errors))]
    print(f"{family}: validation RMSE {min(errors):.4f}, the best of {len(candidates)} candidates")
    print("    " + ", ".join(f"{name} = {value}" for name, value in best.items()))
    return best


def main() -> None:
    """Print the choices and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--interactions", type=Path, default=Path("data/movielens-100k"))
    path, _, preset = open_dataset_directory(parser.parse_args().interactions)
    dataset = build_dataset(read_interactions(path, choose_layout(preset), duplicates="last"))
    folds = list(random_folds(dataset, 5, np.random.default_rng(0)))
    first_training = dataset.with_entries(~folds[0])

    compiled = time.perf_counter()
    for family in _CANDIDATES:
        ours(family, {"factors": 2, "iterations": 1})(first_training, first_training)
    compiled = time.perf_counter() - compiled

    choices = {name: chosen(name, first_training) for name in _CANDIDATES}
    contenders = {f"Foldrec {name}": ours(name, choice) for name, choice in choices.items()}
    by_day = {**choices["timesvdpp"], "period_seconds": 86_400}
    contenders["Foldrec timesvdpp, by day"] = ours("timesvdpp", by_day)
    contenders["Surprise SVD"] = partial(surprises, partial(surprise.SVD, random_state=0))
    contenders["Surprise SVDpp"] = partial(
        surprises, partial(surprise.SVDpp, random_state=0, cache_ratings=True)
    )
    contenders["Surprise KNNBaseline"] = partial(surprises, partial(surprise.KNNBaseline, verbose=False))
    contenders["cmfrec, implicit features, λ = 15"] = cmfrecs

    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contenders}
    for test in folds:  # all contenders on one fold, then the next: they share the machine's moods
        for name, fit in contenders.items():
            measured[name].append(errors_and_seconds(dataset, test, fit))

    table = Table(title="MovieLens 100K, random 5-fold")
    for column in ("", "RMSE", "of the worst fold", "MAE", "seconds per fit"):
        table.add_column(column)
    for name, results in measured.items():
        rmse, mae, seconds = (np.array(column) for column in zip(*results, strict=True))
        table.add_row(
            name, f"{rmse.mean():.4f}", f"{rmse.max():.4f}", f"{mae.mean():.4f}", f"{median(seconds):.2f}"
        )
    Console().print(table)
    print(f"first call of our four families, compilation or loading of the compiled code: {compiled:.1f} s")


if __name__ == "__main__":
    main()
