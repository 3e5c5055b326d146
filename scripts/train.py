"""Train a model and publish it: interactions in, an artifact out.

python -m scripts.train --interactions data/movielens-100k --family ials --set factors=64
"""

from __future__ import annotations

import math
import resource
import sys
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.artifact import ItemFieldsCard, ModelCard, prune, publish
from models.artifact.manifest import read_manifest
from models.dataset import Dataset, Metadata, build_dataset
from models.dataset_directory import open_dataset_directory
from models.errors import ConfigError
from models.interactions import read_interactions
from models.item_table import read_items, read_users
from models.layouts import PRESETS, Format, Layout, choose_layout
from models.registry import EVALUATED, FAMILIES, check_served, configure
from models.training import METRICS_K, Reporter, Stopwatch, TrainingPlan, train
from scripts.recipe import Recipe, overridden, read_recipe, settings_of
from scripts.spark import MasterOption, SparkSettingsOption, WorkDirOption, is_described, spark_cluster
from scripts.terminal import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from models.engines.spark.cluster import Cluster
    from models.families.base import Family, Iteration

FamilyName = StrEnum("FamilyName", list(EVALUATED))  # type: ignore[misc]
PresetName = StrEnum("PresetName", list(PRESETS))  # type: ignore[misc]

_SUMMED = ", ".join(name for name, entry in FAMILIES.items() if entry.duplicates == "sum")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def _train(
    interactions: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Table of interactions, or a directory that scripts.fetch has made. With --engine spark: "
            "anything that Spark reads.",
        ),
    ],
    items: Annotated[Path | None, typer.Option(help="Table of item metadata: titles, genres.")] = None,
    users: Annotated[
        Path | None, typer.Option(help="Table of user metadata, for user_features of hybrid_svd.")
    ] = None,
    preset: Annotated[PresetName | None, typer.Option(help="Layout of a known data set.")] = None,
    table_format: Annotated[
        Format | None, typer.Option("--format", help="Of the interactions, if the name does not tell.")
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Between the fields of the interactions.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="Names of the columns of a file without a header, by commas.")
    ] = None,
    user_column: Annotated[str | None, typer.Option()] = None,
    item_column: Annotated[str | None, typer.Option()] = None,
    value_column: Annotated[str | None, typer.Option(help="Ratings or counts; without: 1 each.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Epoch seconds or ISO 8601.")] = None,
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None, typer.Option(help="Of numeric times.")
    ] = None,
    item_columns: Annotated[
        str | None, typer.Option(help="Names of the columns of an items table without a header, by commas.")
    ] = None,
    item_id_column: Annotated[str | None, typer.Option(help="Of the items table.")] = None,
    user_id_column: Annotated[str | None, typer.Option(help="Of the users table.")] = None,
    title_column: Annotated[str | None, typer.Option(help="Of the items table; becomes `title`.")] = None,
    layout_options: Annotated[
        list[str],
        typer.Option(
            "--layout",
            metavar="NAME=VALUE",
            help="Any other detail of the tables, such as table.encoding=latin-1.",
        ),
    ] = [],  # noqa: B006 - typer copies it
    duplicates: Annotated[
        Literal["sum", "max", "last", "error"] | None,
        typer.Option(help=f"Several rows of one user and item. Default: sum for {_SUMMED}, else last."),
    ] = None,
    on_bad_row: Annotated[Literal["stop", "skip"], typer.Option()] = "stop",
    min_user_interactions: Annotated[int, typer.Option(min=1)] = 1,
    min_item_interactions: Annotated[int, typer.Option(min=1)] = 1,
    family: Annotated[FamilyName | None, typer.Option(help="Default: the recipe's, or ials.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A file such as recipes/ials.toml.")] = None,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="Override a hyperparameter.")
    ] = [],  # noqa: B006 - typer copies it
    seed: Annotated[int, typer.Option(min=0)] = 0,
    holdout: Annotated[
        Literal["none", "latest", "random"],
        typer.Option(
            help="Judge a second fit by the latest, or a random, fifth of each user's interactions."
        ),
    ] = "none",
    recall_target: Annotated[float, typer.Option(min=0.5, max=1, help="Of approximate retrieval.")] = 0.99,
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="Where to fit (cuda: ials_implicit only).")
    ] = "cpu",
    precompute: Annotated[
        int,
        typer.Option(
            min=0,
            max=1_000,
            metavar="N",
            help="Make everybody's best N items now, for GET /recommend to look up; 8 N bytes a user.",
        ),
    ] = 0,
    engine: Annotated[
        Literal["here", "spark"],
        typer.Option(help="What reads and fits: this process, or a Spark cluster (docs/spark.md)."),
    ] = "here",
    master: MasterOption = None,
    work_dir: WorkDirOption = None,
    spark_settings: SparkSettingsOption = [],  # noqa: B006 - typer copies it
    artifacts: Annotated[Path, typer.Option(help="Where versions are published.")] = Path("artifacts"),
    keep: Annotated[
        int | None, typer.Option(min=1, help="How many of the newest versions stay; without: all.")
    ] = None,
) -> None:
    console = Console(soft_wrap=True, highlight=False)
    chosen = _recipe(recipe, family, set_)
    check_served(chosen.family)
    plan = TrainingPlan(
        family=chosen.family,
        config=configure(chosen.family, chosen.config),
        seed=seed,
        holdout=holdout,
        recall_target=recall_target,
        device=device,
        duplicates=duplicates,
        precompute=precompute,
    )
    options = {
        "table.format": table_format,
        "table.separator": separator,
        "table.columns": None if columns is None else tuple(columns.split(",")),
        "user_column": user_column,
        "item_column": item_column,
        "value_column": value_column,
        "time_column": time_column,
        "time_unit": time_unit,
        "items.table.columns": None if item_columns is None else tuple(item_columns.split(",")),
        "items.id_column": item_id_column,
        "items.title_column": title_column,
        "users.id_column": user_id_column,
    }
    preset_name = None if preset is None else preset.value
    cluster = None if engine == "here" else spark_cluster(master, work_dir, spark_settings)
    if is_described(interactions, cluster):
        table, described_items, preset_name = open_dataset_directory(interactions)
        interactions, items = str(table), items or described_items
    layout = choose_layout(preset_name, options | settings_of(layout_options, "--layout"))
    if holdout == "latest" and layout.time_column is None:
        raise ConfigError(
            "--holdout latest needs timestamps: name their --time-column, or use --holdout random"
        )
    entry = FAMILIES[chosen.family]
    watch = Stopwatch()
    with _read(
        interactions,
        layout,
        cluster,
        family=entry.make(plan.config),
        duplicates=duplicates or entry.duplicates,
        on_bad_row=on_bad_row,
        least=(min_user_interactions, min_item_interactions),
        metadata=None if items is None else read_items(items, layout).records,
        user_metadata=None if users is None else read_users(users, layout).records,
        with_unseen_items=entry.scores_unseen_items,
        console=console,
        watch=watch,
    ) as (dataset, fitted_by):
        n_entries, n_users = len(dataset.histories.indices), len(dataset.users)
        n_items = np.count_nonzero(dataset.popularity())
        console.print(f"{n_entries:,} interactions of {n_users:,} users with {n_items:,} items")
        if items is not None:
            _check_items(items, dataset, console)
        if users is not None:
            _check_users(users, dataset, console)
        with _bar(console) as bar:
            contents, card = train(dataset, plan, reporter=bar, fitted_by=fitted_by, watch=watch)
            watch.begin("write")
            version = publish(artifacts, contents, card)
            watch.stop()
    removed = [] if keep is None else prune(artifacts, keep=keep)
    _summarize(console, card, watch.seconds)
    _warn(console, card)
    if items is not None:
        _say_filterable(read_manifest(artifacts / version).item_fields, console)
    console.print(f"published {artifacts / version}, now current")
    if removed:
        console.print(f"removed {len(removed)} older: {', '.join(removed)}")


def _check_items(path: Path, dataset: Dataset, console: Console) -> None:
    """Say how many items the items table describes.

    Raises:
        ConfigError: none of its ids has interactions, so the two tables speak of different things.
    """
    seen = dataset.items.to_external(np.flatnonzero(dataset.popularity()).astype(np.int32))
    known = sum(item in (dataset.metadata or {}) for item in seen)
    if known == 0:
        raise ConfigError(
            f"{path}: no id in it has interactions, which are with such as {seen[0]!r}; "
            "name the column of ids with --item-id-column"
        )
    unseen = len(dataset.items) - len(seen)
    further = f", and of {unseen:,} that nobody has had" if unseen else ""
    console.print(f"{path}: metadata of {known:,} of {len(seen):,} items{further}", markup=False)


def _check_users(path: Path, dataset: Dataset, console: Console) -> None:
    """Say how many users the users table describes.

    Raises:
        ConfigError: none of its ids has interactions.
    """
    known = sum(user in (dataset.user_metadata or {}) for user in dataset.users)
    if known == 0:
        raise ConfigError(
            f"{path}: no id in it has interactions, which are of such as {dataset.users.external(0)!r}; "
            "name the column of ids with --user-id-column"
        )
    console.print(f"{path}: metadata of {known:,} of {len(dataset.users):,} users", markup=False)


def _say_filterable(card: ItemFieldsCard, console: Console) -> None:
    """Say which members of the metadata a request can filter by, and why it cannot by the others."""
    fields = ", ".join(map(str, card.fields)) or "nothing"
    console.print(f"items can be filtered by {fields}", markup=False)
    for name, reason in card.unfilterable.items():
        console.print(f"items cannot be filtered by {name!r}: {reason}", markup=False)


def _recipe(path: Path | None, family: FamilyName | None, settings: Sequence[str]) -> Recipe:
    """The family and hyperparameters that recipe file, ``--family`` and ``--set`` come to."""
    recipe = Recipe() if path is None else read_recipe(path)
    if path is not None and family is not None and family.value != recipe.family:
        raise ConfigError(
            f"--family {family.value} and --recipe {path} (family {recipe.family}) disagree; leave one out"
        )
    name = recipe.family if family is None else family.value
    return Recipe(family=name, config=overridden(recipe.config, settings))


@contextmanager
def _read(
    path: str,
    layout: Layout,
    cluster: Cluster | None,
    *,
    family: Family,
    duplicates: Literal["sum", "max", "last", "error"],
    on_bad_row: Literal["stop", "skip"],
    least: tuple[int, int],
    metadata: Metadata | None,
    user_metadata: Metadata | None,
    with_unseen_items: bool,
    console: Console,
    watch: Stopwatch,
) -> Iterator[tuple[Dataset, Family]]:
    """The dataset and what fits it: the family itself, or the cluster."""
    watch.begin("read")
    if cluster is None:
        table = read_interactions(path, layout, duplicates=duplicates, on_bad_row=on_bad_row)
        console.print(str(table.report), markup=False)
        watch.begin("map")
        dataset = build_dataset(
            table,
            min_user_interactions=least[0],
            min_item_interactions=least[1],
            metadata=metadata,
            user_metadata=user_metadata,
            with_unseen_items=with_unseen_items,
        )
        del table  # the dataset has all of it that is needed: 20 bytes an interaction to give back
        watch.stop()
        yield dataset, family
        return
    from models.engines.spark.reading import spark_reading  # noqa: PLC0415 - an extra

    with spark_reading(
        cluster,
        path,
        layout,
        family=family,
        duplicates=duplicates,
        on_bad_row=on_bad_row,
        least=least,
    ) as reading:
        console.print(str(reading.report), markup=False)
        dataset = replace(reading.dataset, metadata=metadata, user_metadata=user_metadata)
        watch.stop()
        yield dataset, reading.fitted_by


class _Bar(Reporter):
    """One line for each phase; in a fit, with the iterations and their loss."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def phase(self, name: str) -> None:
        self.end()
        self._task = self._progress.add_task(name, total=None, loss="")

    def iteration(self, step: Iteration) -> None:
        if self._task is not None:
            loss = f"{step.number}/{step.of}, loss {step.loss:.6g}"
            self._progress.update(self._task, completed=step.number, total=step.of, loss=loss)

    def advance(self, done: int, of: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=of)

    def end(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1, total=1)


@contextmanager
def _bar(console: Console) -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = _Bar(progress)
        yield bar
        bar.end()


def _summarize(console: Console, card: ModelCard, seconds: Mapping[str, float]) -> None:
    """What was trained, how long it took and how good it is."""
    table = Table("", "", box=None, show_header=False)
    settings = ", ".join(f"{name} {_metric(value)}" for name, value in card.config.items())
    table.add_row("family", f"{card.family}: {settings}")
    if card.training.loss:
        table.add_row("loss", f"{card.training.loss[0]:.6g} → {card.training.loss[-1]:.6g}")
    metrics = dict(card.metrics)
    intervals = metrics.pop("intervals", {})
    for name, metric in metrics.items():
        of = intervals.get(name) if isinstance(intervals, dict) else None
        table.add_row(f"holdout {name}" if name != "holdout" else name, _metric(metric, of))
    for name, certificate in card.retrieval.items():
        table.add_row(f"index {name}", str(certificate))
    table.add_row(
        "fold-in",
        f"largest relative difference {card.fold_in.max_relative_difference:.1e}, "
        f"top-{card.fold_in.k} overlap {card.fold_in.top_k_overlap:.4f} "
        f"over {card.fold_in.sample_size} users",
    )
    if card.top_lists is not None:
        table.add_row("top lists", str(card.top_lists))
    table.add_row("seconds", ", ".join(f"{phase} {taken:.1f}" for phase, taken in seconds.items()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    table.add_row("peak memory", f"{peak:.2f} GiB")
    console.print(table)


def _warn(console: Console, card: ModelCard) -> None:
    """Say so where the published model ranks no better than a list of bestsellers."""
    model, popularity = (_ndcg(card, judged) for judged in ("model", "popularity"))
    if card.family != "popularity" and model <= popularity:
        remedy = (
            "for lists use family ials, also on ratings"
            if card.family == "als"
            else "try fewer factors or more regularization"
        )
        console.print(
            f"warning: held-out items rank no better (nDCG@{METRICS_K} {model:.4f}) "
            f"than by popularity ({popularity:.4f}); {remedy}"
        )


def _ndcg(card: ModelCard, judged: str) -> float:
    """Ranking quality on the holdout; NaN, which compares as false, where nothing was held out."""
    metrics = card.metrics.get(judged)
    value = metrics.get(f"ndcg@{METRICS_K}") if isinstance(metrics, dict) else None
    return value if isinstance(value, float) else math.nan


def _metric(value: object, interval: object = None) -> str:
    """A metric, or several by name, with their intervals where there are any."""
    if isinstance(value, dict):
        within = interval if isinstance(interval, dict) else {}
        return ", ".join(f"{name} {_metric(inner, within.get(name))}" for name, inner in value.items())
    shown = f"{value:.4f}" if isinstance(value, float) else str(value)
    return f"{shown} ({interval[0]:.4f} to {interval[1]:.4f})" if isinstance(interval, list) else shown


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see `scripts.terminal.run`."""
    return run(app, argv, name="scripts.train")


if __name__ == "__main__":
    sys.exit(main())
