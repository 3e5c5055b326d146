"""Put published results beside ours, measured here and now by the same protocol.

python -m scripts.reproduce --data data

What has to be downloaded is downloaded if it can be; what cannot be had is a row that says so.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from models.dataset import build_dataset
from models.dataset_directory import open_dataset_directory
from models.errors import FoldrecError
from models.evaluation.comparison import compare
from models.evaluation.judge import judge
from models.evaluation.measures import MEASURES
from models.evaluation.protocols import Split, SplitDefinition
from models.interactions import read_interactions
from models.layouts import choose_layout
from models.registry import FAMILIES, configure
from scripts.candidates import candidate
from scripts.evaluation_table import heading
from scripts.fetch import main as fetch
from scripts.published import (
    IALS_CODE,
    ML_1M,
    ML_20M,
    ML_100K,
    NCF,
    ONLY_OURS,
    SURPRISE,
    SURPRISE_RATINGS,
    VAE,
    shown,
)
from scripts.terminal import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from models.dataset import Dataset
    from models.evaluation.comparison import Result
    from models.evaluation.protocols import Round
    from models.evaluation.ranker import Ranker
    from models.families.base import FittedModel
    from models.interactions import Interactions
    from models.row_solve import Rows
    from scripts.published import Lists

_WIDTH = 250  # a row of Markdown is one line
_FOLDS = 5
_NONE = "–"
_LIKED = 3.5
_LEAST_LIKED = 5
_HELD_OUT_USERS = 10_000
_NEGATIVES = 99

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def _reproduce(
    data: Annotated[
        Path, typer.Option(help="Directory of movielens-100k, -1m and -20m, as scripts.fetch makes them.")
    ] = Path("data"),
    download: Annotated[bool, typer.Option(help="Fetch movielens-100k if it is not there.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and fits.")] = 0,
) -> None:
    if download and find_table(data, ML_100K) is None:
        fetch([ML_100K, "--data-dir", str(data)])
    console = Console(highlight=False, width=_WIDTH)
    for name in (ML_100K, ML_1M):
        _say(console, f"\n{name}: errors of predicted ratings, random {_FOLDS}-fold; published: {SURPRISE}")
        console.print(_ratings_table(data, name, seed))
        if find_table(data, name) is None:
            _say(console, _absent(data, name))
    _say(console, f"\nlists; iALS here: family ials at the hyperparameters of {IALS_CODE}")
    for lists in (NCF, VAE):
        settings = ", ".join(f"{name} {value}" for name, value in lists.config.items())
        _say(console, f"{lists.dataset}: {lists.protocol}; {settings}")
    console.print(_lists_table(data, seed))
    for lists in (NCF, VAE):
        if find_table(data, lists.dataset) is None:
            _say(console, _absent(data, lists.dataset))


def find_table(data: Path, name: str) -> tuple[Path, str] | None:
    """The table of interactions of a MovieLens data set and its preset; None if it is not there."""
    directory = data / name
    if (directory / "dataset.json").is_file():
        interactions, _, preset = open_dataset_directory(directory)
        return interactions, preset
    ratings = directory / "ratings.csv"
    return (ratings, "movielens-csv") if ratings.is_file() else None


def _absent(data: Path, name: str) -> str:
    remedy = (
        "unzip ml-20m.zip of https://grouplens.org/datasets/movielens/20m/ to it"
        if name == ML_20M
        else f"python -m scripts.fetch {name} --data-dir {data}"
    )
    return f"{name} was not run: there is no {data / name} ({remedy})"


def _read(found: tuple[Path, str]) -> Interactions:
    return read_interactions(found[0], choose_layout(found[1], {}), duplicates="last", on_bad_row="stop")


# Ratings


@dataclass(frozen=True, slots=True)
class Errors:
    """What a model came to on all folds: the error of all hidden ratings together, and seconds of a fit."""

    rmse: float
    mae: float
    seconds: float

    @property
    def cells(self) -> tuple[str, str, str]:
        """For the table."""
        return f"{self.rmse:.3f}", f"{self.mae:.3f}", f"{self.seconds:.2f}"


def _ratings_table(data: Path, name: str, seed: int) -> Table:
    table = Table(box=MARKDOWN)
    for title in ("model there", "RMSE", "MAE", "family here", "RMSE", "MAE", "s/fold"):
        table.add_column(title, justify="left" if title.startswith(("model", "family")) else "right")
    version = surprise_version()
    for title in (f"Surprise {version or 'not installed'} here: RMSE", "MAE", "s/fold"):
        table.add_column(title, justify="right")
    found = find_table(data, name)
    ours: dict[str, Errors] = {}
    theirs: dict[str, Errors] = {}
    if found is not None:
        split = Split(build_dataset(_read(found)), SplitDefinition(folds=_FOLDS, seed=seed))
        ours = our_errors(split, seed)
        if version is not None:
            theirs = surprise_errors(split, seed)
    for row in SURPRISE_RATINGS:
        table.add_row(
            row.model,
            f"{row.rmse[name]:.3f}",
            f"{row.mae[name]:.3f}",
            *_our_cells(row.ours, ours, found is not None),
            *_cells(theirs.get(row.there or "")),
        )
    for family in ONLY_OURS if found is not None else ():
        table.add_row(_NONE, _NONE, _NONE, *_our_cells(family, ours, True), *_cells(None))
    return table


def _our_cells(family: str | None, ours: dict[str, Errors], ran: bool) -> tuple[str, ...]:
    if family is None:
        return "not a family here", _NONE, _NONE, _NONE
    return family if ran else f"{family}: not run", *_cells(ours.get(family))


def _cells(errors: Errors | None) -> tuple[str, str, str]:
    return (_NONE, _NONE, _NONE) if errors is None else errors.cells


def our_errors(split: Split, seed: int) -> dict[str, Errors]:
    """Errors by family, with the families' defaults."""
    families = [row.ours for row in SURPRISE_RATINGS if row.ours is not None]
    for family in families:  # so that what is compiled once is not counted as a fit
        fit_family(family, {}, next(split.rounds()).training, seed)
    candidates = [candidate(name, name, {}, seed) for name in (*families, *ONLY_OURS)]
    comparison = compare(candidates, split, k=10, resamples=100)
    return {result.name: _errors(result) for result in comparison.results}


def fit_family(family: str, hyperparameters: dict[str, Any], training: Dataset, seed: int) -> FittedModel:
    """A fit of a family."""
    made = FAMILIES[family].make(configure(family, hyperparameters))
    return made.fit(training, rng=np.random.default_rng(seed))


def _errors(result: Result) -> Errors:
    rmse, mae = (result.metrics[name].value for name in ("rmse", "mae"))
    return Errors(
        np.nan if rmse is None else rmse, np.nan if mae is None else mae, float(np.median(result.fit_seconds))
    )


def surprise_version() -> str | None:
    """The version of Surprise, if it is installed."""
    if importlib.util.find_spec("surprise") is None:
        return None
    return str(importlib.import_module("surprise").__version__)


def surprise_errors(split: Split, seed: int) -> dict[str, Errors]:
    """Errors of Surprise's models, with their defaults, on the same folds."""
    surprise = importlib.import_module("surprise")
    collected: dict[str, tuple[list[float], list[float]]] = {}
    for judged in split.rounds():
        values = judged.training.histories.values
        reader = surprise.Reader(rating_scale=(float(values.min()), float(values.max())))
        training = surprise.Dataset(reader).construct_trainset(
            [(*entry, None) for entry in _entries(judged.training.histories)]
        )
        for name in (row.there for row in SURPRISE_RATINGS if row.there is not None):
            model = getattr(surprise, name)(random_state=seed)
            started = time.perf_counter()
            model.fit(training)
            errors, seconds = collected.setdefault(name, ([], []))
            seconds.append(time.perf_counter() - started)
            errors += [guess.est - guess.r_ui for guess in model.test(list(_entries(judged.hidden)))]
    return {
        name: Errors(
            float(np.sqrt(np.mean(np.square(errors)))),
            float(np.mean(np.abs(errors))),
            float(np.median(seconds)),
        )
        for name, (errors, seconds) in collected.items()
    }


def _entries(rows: Rows) -> list[tuple[int, int, float]]:
    return list(
        zip(rows.row_numbers.tolist(), rows.indices.tolist(), rows.values.astype(float).tolist(), strict=True)
    )


# Lists


def _lists_table(data: Path, seed: int) -> Table:
    table = Table("data", "model", "published", "where", "here", "s", box=MARKDOWN)
    for lists, measure in ((NCF, _ncf), (VAE, _vae)):
        here, seconds = _measured(find_table(data, lists.dataset), lists, measure, seed)
        table.add_row(lists.dataset, lists.cited.model, str(lists.cited), lists.cited.where, here, seconds)
        for other in lists.others:
            table.add_row(lists.dataset, other.model, str(other), other.where, "not run", _NONE)
    return table


def _measured(
    found: tuple[Path, str] | None,
    lists: Lists,
    measure: Callable[[Interactions, Lists, int], dict[str, float]],
    seed: int,
) -> tuple[str, str]:
    """What a protocol comes to here and its seconds, or why it was not run."""
    if found is None:
        return "not run: no data", _NONE
    started = time.perf_counter()
    try:
        metrics = measure(_read(found), lists, seed)
    except FoldrecError as error:
        return f"not run: {error}", _NONE
    return shown(metrics), f"{time.perf_counter() - started:.0f}"


def _ncf(interactions: Interactions, lists: Lists, seed: int) -> dict[str, float]:
    dataset = build_dataset(as_counts(interactions))
    judged = next(Split(dataset, SplitDefinition(name="leave-k-out", seed=seed)).rounds())
    model = fit_family("ials", lists.config, judged.training, seed)
    return among_random(model, judged, np.random.default_rng(seed))


def among_random(ranker: Ranker, judged: Round, rng: np.random.Generator, k: int = 10) -> dict[str, float]:
    """Hit rate and nDCG of one hidden item each, ranked among random items that the person does not have.

    It flatters: 99 others are few. That is the protocol of He et al. 2017; see Krichene and Rendle, KDD 2020.

    Args:
        ranker: the model.
        judged: a round that hides one item of each person.
        rng: draws the others.
        k: length of the lists.
    """
    ranks = []
    n_items = judged.training.shape[1]
    for person in judged.people.tolist():
        known, _ = judged.known.row(person)
        hidden, _ = judged.hidden.row(person)
        others = np.setdiff1d(np.arange(n_items), np.concatenate([known, hidden]))
        drawn = rng.choice(others, min(_NEGATIVES, len(others)), replace=False)
        scores = ranker.score_users(np.array([person], dtype=np.int32))[0]
        ranks.append(int((scores[drawn] >= scores[hidden[0]]).sum()))
    found = np.array(ranks) < k
    gains = np.where(found, 1 / np.log2(np.array(ranks) + 2), 0.0)
    return {f"HR@{k}": float(found.mean()), f"nDCG@{k}": float(gains.mean())}


def _vae(interactions: Interactions, lists: Lists, seed: int) -> dict[str, float]:
    judged = next(mult_vae_split(interactions, _HELD_OUT_USERS, seed).rounds())
    model = fit_family("ials", lists.config, judged.training, seed)
    metrics = {}
    for name, k in (("recall", 20), ("recall", 50), ("ndcg", 100)):
        parts = judge(model, judged, k).parts[name]
        metrics[heading(name, k)] = float(MEASURES[name].value(*(part.sum() for part in parts)))
    return metrics


def mult_vae_split(interactions: Interactions, n_held_out: int, seed: int) -> Split:
    """The protocol of Liang et al. 2018: what people liked; as many users for validation as for tests.

    The users for validation are in neither part, as nothing is decided by them here.

    Raises:
        DataError: nobody likes enough.
    """
    liked = kept(interactions, interactions.values > _LIKED)
    often = np.bincount(liked.users, minlength=len(liked.user_ids)) >= _LEAST_LIKED
    rng = np.random.default_rng(seed)
    validation = rng.permutation(np.flatnonzero(often))[:n_held_out]
    often[validation] = False
    dataset = build_dataset(as_counts(kept(liked, often[liked.users])))
    share = min(0.5, (n_held_out + 0.5) / len(dataset.users))
    return Split(dataset, SplitDefinition(name="strong", test_share=share, seed=seed))


def kept(interactions: Interactions, mask: np.ndarray) -> Interactions:
    """Only some of the interactions, bool, shape ``(n,)``."""
    return replace(
        interactions,
        users=interactions.users[mask],
        items=interactions.items[mask],
        values=interactions.values[mask],
        timestamps=None if interactions.timestamps is None else interactions.timestamps[mask],
    )


def as_counts(interactions: Interactions) -> Interactions:
    """The same interactions with the value 1 each."""
    return replace(interactions, values=np.ones_like(interactions.values), has_values=False)


def _say(console: Console, what: str) -> None:
    console.print(what, markup=False, soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see `scripts.terminal.run`."""
    return run(app, argv, name="scripts.reproduce")


if __name__ == "__main__":
    sys.exit(main())
