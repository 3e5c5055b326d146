"""Compare models on what they have not seen: any number of recipes, one split, one table.

python -m scripts.evaluate --interactions data/movielens-100k --recipe recipes/ials.toml \
    --recipe recipes/als.toml --split strong --json out.json --html report.html
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from models.errors import ConfigError
from models.evaluation.baselines import baselines
from models.evaluation.comparison import (
    Candidate,
    Watcher,
    check_measures,
    check_possible,
    compare,
    named,
)
from models.evaluation.curves import Iterated, learning_curve
from models.evaluation.judge import check_list_length
from models.evaluation.measures import MEASURES, SYSTEM_MEASURES
from models.evaluation.protocols import Split
from models.evaluation.similar import similar_items, well_known
from models.families.base import FittedModel
from models.families.ease import MOST_ITEMS
from models.posterior_check import check_posterior
from models.registry import EVALUATED, configure
from scripts.attached_report import Destination
from scripts.candidates import candidate
from scripts.covers import fetch_covers
from scripts.evaluation_report import EyeTest, LookedAt, Report, render_html
from scripts.evaluation_table import metrics_table, rounds_lines
from scripts.reading import (
    BadRowOption,
    ColumnOption,
    DuplicatesOption,
    FoldsOption,
    HiddenShareOption,
    InteractionsOption,
    ItemIdColumnOption,
    ItemsOption,
    LayoutOption,
    LeastOption,
    LeaveByOption,
    LeaveOption,
    PresetOption,
    SplitOption,
    TestShareOption,
    TimeColumnOption,
    TitleColumnOption,
    UserIdColumnOption,
    UsersOption,
    ValueColumnOption,
    read_dataset,
    split_definition,
)
from scripts.recipe import Recipe, overridden, read_recipe
from scripts.terminal import run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from models.dataset import Dataset
    from models.evaluation.curves import CurvePoint
    from models.evaluation.protocols import Round
    from models.evaluation.ranker import Ranker
    from models.posterior_check import PosteriorCheck
    from models.types import RowArray

FamilyName = StrEnum("FamilyName", list(EVALUATED))  # type: ignore[misc]
MetricName = StrEnum("MetricName", [*MEASURES, *SYSTEM_MEASURES])  # type: ignore[misc]

_EYE_TEST_LENGTH = 8

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def _evaluate(
    interactions: InteractionsOption,
    items: ItemsOption = None,
    users: UsersOption = None,
    preset: PresetOption = None,
    user_column: ColumnOption = None,
    item_column: ColumnOption = None,
    value_column: ValueColumnOption = None,
    time_column: TimeColumnOption = None,
    item_id_column: ItemIdColumnOption = None,
    user_id_column: UserIdColumnOption = None,
    title_column: TitleColumnOption = None,
    layout_options: LayoutOption = [],  # noqa: B006 - typer copies it
    duplicates: DuplicatesOption = None,
    on_bad_row: BadRowOption = "stop",
    min_user_interactions: LeastOption = 1,
    min_item_interactions: LeastOption = 1,
    recipe: Annotated[
        list[Path], typer.Option(help="A file such as recipes/ials.toml; repeat for more.")
    ] = [],  # noqa: B006
    family: Annotated[list[FamilyName], typer.Option(help="A family by its defaults; repeat for more.")] = [],  # noqa: B006
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="Override a hyperparameter of --family.")
    ] = [],  # noqa: B006
    split: SplitOption = "folds",
    folds: FoldsOption = 5,
    leave: LeaveOption = 1,
    leave_by: LeaveByOption = "latest",
    test_share: TestShareOption = 0.2,
    hidden_share: HiddenShareOption = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the fits and the bootstrap.")] = 0,
    k: Annotated[int, typer.Option("--k", min=1, help="Length of the lists.")] = 10,
    metric: Annotated[
        list[MetricName], typer.Option(help="A column of the printed table; repeat for more.")
    ] = [],  # noqa: B006
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 2000,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write everything there.")] = None,
    html_path: Annotated[Path | None, typer.Option("--html", help="Write a report there.")] = None,
    attach_to: Annotated[
        Path | None,
        typer.Option(
            help="Artifacts whose current version is one of these recipes, trained on this table: keep the "
            "report with it, for GET /model/report."
        ),
    ] = None,
    learning_curves: Annotated[
        bool, typer.Option(help="Also fit with 1, 2, 4, … iterations, for the report.")
    ] = True,
    eye_test: Annotated[
        int, typer.Option(min=0, help="Well-known items in the report whose similar items are shown.")
    ] = 6,
    images: Annotated[
        bool, typer.Option(help="Fetch the images that image_url in the items table names, for the report.")
    ] = False,
) -> None:
    console = Console(highlight=False)
    chosen, iterated = _candidates(recipe, family, set_, seed)
    attached = None if attach_to is None else Destination.current(attach_to)
    if attached is not None:
        attached.check_is_among(chosen)
    has_page = html_path is not None or attached is not None
    for path in (json_path, html_path):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    definition = split_definition(split, seed, folds, leave, leave_by, test_share, hidden_share)
    reading = read_dataset(
        interactions,
        items,
        users,
        preset=preset,
        columns={
            "user_column": user_column,
            "item_column": item_column,
            "value_column": value_column,
            "time_column": time_column,
            "items.id_column": item_id_column,
            "users.id_column": user_id_column,
            "items.title_column": title_column,
        },
        layout_options=layout_options,
        duplicates=duplicates,
        on_bad_row=on_bad_row,
        least=(min_user_interactions, min_item_interactions),
    )
    console.print(reading.report, markup=False, soft_wrap=True)
    dataset = reading.dataset
    if attached is not None:
        attached.check_is_of(dataset)
    check_list_length(k, len(dataset.items))
    names = [name.value for name in metric]
    check_possible(names, dataset, definition)
    divided = Split(dataset, definition)
    for each in chosen:
        with named(each):
            EVALUATED[each.family].make(configure(each.family, each.config)).check(dataset)
    with _bar(console) as watcher:
        watcher.checks_posteriors = json_path is not None or has_page
        if has_page:
            popularity = next(divided.rounds()).training.popularity()
            watcher.looked_at = well_known(popularity, min(eye_test, len(dataset.items)))
        candidates = _with_baselines(chosen, len(dataset.items), seed)
        comparison = compare(candidates, divided, k=k, resamples=resamples, watcher=watcher)
        check_measures(names, comparison.results, k)
        curves: dict[str, list[CurvePoint]] = {}
        if has_page and learning_curves:
            first = next(divided.rounds())
            curves = {each.name: learning_curve(each, first, k, watcher) for each in iterated}
    for line in rounds_lines(comparison):
        console.print(line, markup=False, soft_wrap=True)
    console.print(metrics_table(comparison, names))
    report = Report(
        dataset=reading.name,
        comparison=comparison,
        curves=curves,
        posteriors=watcher.posteriors,
        eye_test=_eye_test(watcher, dataset, console if images else None),
    )
    for path in _written(report, json_path, html_path, attached):
        console.print(f"wrote {path}", markup=False, soft_wrap=True)


def _written(
    report: Report, json_path: Path | None, html_path: Path | None, attached: Destination | None
) -> Iterator[Path]:
    """Write a report everywhere where it is to be."""
    if json_path is not None:
        json_path.write_text(report.model_dump_json(indent=1, exclude={"eye_test"}) + "\n", encoding="utf-8")
        yield json_path
    if html_path is not None or attached is not None:
        page = render_html(report)
        if html_path is not None:
            html_path.write_text(page, encoding="utf-8")
            yield html_path
        if attached is not None:
            yield attached.attach(page)


def _candidates(
    recipes: Sequence[Path], families: Sequence[FamilyName], settings: Sequence[str], seed: int
) -> tuple[list[Candidate], list[Iterated]]:
    """The models asked for, and those of them whose iterations can be set."""
    if not recipes and not families:
        raise ConfigError("name what to evaluate: --recipe recipes/ials.toml, or --family ials, or several")
    if settings and not families:
        raise ConfigError("--set goes with --family; a recipe's hyperparameters are changed in its file")
    chosen = [(path.stem, read_recipe(path)) for path in recipes]
    chosen += [(name.value, Recipe(family=name.value, config=overridden({}, settings))) for name in families]
    candidates: list[Candidate] = []
    iterated = []
    for stem, recipe in chosen:
        name = _free_name(stem, candidates)
        candidates.append(candidate(name, recipe.family, recipe.config, seed))
        iterations = candidates[-1].config.get("iterations")
        if isinstance(iterations, int):
            iterated.append(Iterated(name, iterations, _iterator(name, recipe, seed)))
    return candidates, iterated


def _with_baselines(chosen: Sequence[Candidate], n_items: int, seed: int) -> list[Candidate]:
    """The models asked for, and every baseline that is not one of them already."""
    popular, drawn = baselines(seed)
    fitted = ["item_knn", "ease"] if n_items <= MOST_ITEMS else ["item_knn"]
    candidates = list(chosen)
    for baseline in (popular, *(candidate(family, family, {}, seed) for family in fitted), drawn):
        defaults = _defaults(baseline.family)
        if not any(each.family == baseline.family and each.config == defaults for each in chosen):
            candidates.append(replace(baseline, name=_free_name(baseline.name, candidates)))
    return candidates


def _defaults(family: str) -> dict[str, Any]:
    return configure(family, {}).model_dump(mode="json") if family in EVALUATED else {}


def _free_name(stem: str, candidates: Sequence[Candidate]) -> str:
    taken = {candidate.name for candidate in candidates}
    names = [stem, *(f"{stem}-{number}" for number in range(2, len(taken) + 2))]
    return next(name for name in names if name not in taken)


def _iterator(name: str, recipe: Recipe, seed: int) -> Any:  # noqa: ANN401 - curves.WithIterations
    return lambda number: candidate(name, recipe.family, {**recipe.config, "iterations": number}, seed)


class _Bar(Watcher):
    """One line for each phase; keeps the lists of the eye test, and how good standard deviations are."""

    def __init__(self, progress: Progress) -> None:
        self.looked_at: RowArray = np.empty(0, dtype=np.int32)
        self.similar: dict[str, RowArray] = {}
        self.checks_posteriors = False
        self.posteriors: dict[str, PosteriorCheck] = {}
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, what: str) -> None:
        self.end()
        self._task = self._progress.add_task(what, total=None, note="")

    def advance(self, done: int, of: int, note: str = "") -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=of, note=note)

    def fitted(self, candidate: Candidate, ranker: Ranker, judged: Round) -> None:
        if candidate.compares_items and len(self.looked_at):
            length = min(_EYE_TEST_LENGTH, len(judged.training.items))
            self.similar[candidate.name] = similar_items(ranker, self.looked_at, length)
        if self.checks_posteriors and isinstance(ranker, FittedModel):
            self.begin(f"check the uncertainty of {candidate.name}")
            known, hidden = (rows.select(judged.people) for rows in (judged.known, judged.hidden))
            check = check_posterior(
                ranker.items, ranker.rule, judged.training.histories, known, hidden, np.random.default_rng(0)
            )
            if check is not None:
                self.posteriors[candidate.name] = check

    def end(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


@contextmanager
def _bar(console: Console) -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = _Bar(progress)
        yield bar
        bar.end()


def _eye_test(watcher: _Bar, dataset: Dataset, covers_told: Console | None) -> EyeTest:
    """The lists with titles and, if it can be told what became of them, covers."""
    metadata = dataset.metadata or {}

    def looked_at(row: int) -> LookedAt:
        item = dataset.items.external(row)
        about = metadata.get(item, {})
        title, year, url = about.get("title"), about.get("year"), about.get("image_url")
        return LookedAt(
            title=str(title or item),
            year=None if year is None else str(year),
            image=url if isinstance(url, str) else None,
        )

    queries = [looked_at(row) for row in watcher.looked_at.tolist()]
    lists = {
        name: [[looked_at(row) for row in rows if row >= 0] for rows in similar.tolist()]
        for name, similar in watcher.similar.items()
    }
    shown = [*queries, *(item for of_model in lists.values() for row in of_model for item in row)]
    urls = {item.image for item in shown if item.image is not None}
    covers = {} if covers_told is None else _covers(urls, covers_told)
    for item in shown:
        item.image = covers.get(item.image or "")
    return EyeTest(queries=queries, lists=lists)


def _covers(urls: Collection[str], console: Console) -> dict[str, str]:
    """The pictures by address, and word of those that could not be had."""
    covers = fetch_covers(urls)
    if len(covers) < len(urls):
        console.print(f"{len(urls) - len(covers)} of {len(urls)} images could not be had, and are left out")
    elif not urls:
        console.print("no item of the eye test has an image_url, so there are no images")
    return covers


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see `scripts.terminal.run`."""
    return run(app, argv, name="scripts.evaluate")


if __name__ == "__main__":
    sys.exit(main())
