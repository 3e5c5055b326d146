"""Search for hyperparameters, judge the best once on data that the search never saw, and write a recipe.

python -m scripts.tune --interactions data/movielens-100k --family ials --trials 40 --out recipes/mine.toml
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.errors import ConfigError, TrainingError
from models.evaluation.baselines import baselines
from models.evaluation.comparison import compare
from models.evaluation.judge import check_list_length
from models.evaluation.measures import MEASURES
from models.evaluation.protocols import Split
from models.registry import EVALUATED, FAMILIES, configure
from models.search.interrupts import interrupts_held_back
from models.search.spaces import SEARCH_SPACES
from models.search.study import Identity, Sampler, check_metric, opened
from models.search.trials import Judging, workers
from scripts.candidates import candidate
from scripts.evaluation_table import heading, metrics_table, rounds_lines
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
    UserIdColumnOption,
    UsersOption,
    ValueColumnOption,
    read_dataset,
    split_definition,
)
from scripts.recipe import Recipe, overridden, write_recipe
from scripts.terminal import INTERRUPTED, complain, run
from scripts.tuning_report import TuningReport, render_tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from models.evaluation.comparison import Candidate, Comparison, Estimate
    from models.search.study import Outcome, Search

FamilyName = StrEnum("FamilyName", list(SEARCH_SPACES))  # type: ignore[misc]
MetricName = StrEnum("MetricName", list(MEASURES))  # type: ignore[misc]

_NDCG = MetricName("ndcg")
_SHOWN = 5

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def _tune(
    interactions: InteractionsOption,
    family: Annotated[FamilyName, typer.Option()],
    items: ItemsOption = None,
    users: UsersOption = None,
    preset: PresetOption = None,
    user_column: ColumnOption = None,
    item_column: ColumnOption = None,
    value_column: ValueColumnOption = None,
    time_column: TimeColumnOption = None,
    item_id_column: ItemIdColumnOption = None,
    user_id_column: UserIdColumnOption = None,
    layout_options: LayoutOption = [],  # noqa: B006 - typer copies it
    duplicates: DuplicatesOption = None,
    on_bad_row: BadRowOption = "stop",
    min_user_interactions: LeastOption = 1,
    min_item_interactions: LeastOption = 1,
    trials: Annotated[int, typer.Option(min=1, help="How many, those of before included.")] = 40,
    metric: Annotated[MetricName, typer.Option(help="What is best: see docs/evaluation.md.")] = _NDCG,
    k: Annotated[int, typer.Option("--k", min=1, help="Length of the lists.")] = 10,
    sampler: Annotated[
        Sampler, typer.Option(help="tpe learns from the trials before; random and grid do not.")
    ] = "tpe",
    grid_points: Annotated[int, typer.Option(min=2, help="--sampler grid: along each interval.")] = 3,
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="Fix a hyperparameter.")
    ] = [],  # noqa: B006
    split: SplitOption = "strong",
    folds: FoldsOption = 5,
    leave: LeaveOption = 1,
    leave_by: LeaveByOption = "latest",
    test_share: TestShareOption = 0.2,
    hidden_share: HiddenShareOption = 0.2,
    rounds: Annotated[
        int, typer.Option(min=1, help="Inner rounds of a trial; bad trials are given up before the last.")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the search, the fits, the bootstrap.")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at a time, sharing the cores. Default: cores, up to 4."),
    ] = None,
    storage: Annotated[
        Path | None,
        typer.Option(help="File of the search. Default: searches/FAMILY-METRIC.db"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the recipe goes. Default: beside the storage, .toml")
    ] = None,
    html_path: Annotated[
        Path | None, typer.Option("--html", help="Where the plots go. Default: beside the storage, .html")
    ] = None,
) -> None:
    console = Console(highlight=False)
    definition = split_definition(split, seed, folds, leave, leave_by, test_share, hidden_share)
    fixed = overridden({}, set_)
    configure(family.value, fixed)
    if duplicates is None and family.value in FAMILIES:
        duplicates = FAMILIES[family.value].duplicates  # as scripts.train will merge them
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
        },
        layout_options=layout_options,
        duplicates=duplicates,
        on_bad_row=on_bad_row,
        least=(min_user_interactions, min_item_interactions),
    )
    console.print(reading.report, markup=False, soft_wrap=True)
    dataset = reading.dataset
    check_metric(family.value, metric.value, dataset, definition)
    check_list_length(k, len(dataset.items))
    outer = Split(dataset, definition, first=1)
    judging = Judging(next(outer.rounds()).training, definition, rounds, metric.value, k, seed)
    for _ in judging.rounds():
        pass  # what may be learnt from must allow the split once more: say so before any trial
    space = SEARCH_SPACES[family.value].without(fixed).within(judging.training.shape)
    few = {"factors": 1} if "factors" in space.dimensions else {}  # trials are held to what the table allows
    EVALUATED[family.value].make(configure(family.value, fixed | few)).check(judging.training)
    if not space.dimensions:
        raise ConfigError(f"--set fixes every hyperparameter of {family.value}; leave some to search for")
    identity = Identity(
        family=family.value,
        metric=metric.value,
        k=k,
        sampler=sampler,
        seed=seed,
        fixed=json.dumps(fixed, sort_keys=True),
        rounds=judging.n_rounds,
        split=outer.fingerprint,
        dataset=outer.dataset_sha256,
        space=str(space.dimensions),
    )
    storage = storage or Path("searches") / f"{family.value}-{metric.value}.db"
    out, html_path = out or storage.with_suffix(".toml"), html_path or storage.with_suffix(".html")
    n_jobs = jobs or min(4, len(os.sched_getaffinity(0)))
    with opened(storage, identity, grid_points) as search:
        try:
            with (
                interrupts_held_back() as waiting,
                workers(judging, n_jobs) as pool,
                _bar(console, search, trials) as told,
            ):
                search.run(space, trials, pool, n_jobs, judging.n_rounds, told, waiting)
        except KeyboardInterrupt:
            complain(
                f"interrupted; the trials so far are in {storage}, and the same command goes on from there"
            )
            raise typer.Exit(INTERRUPTED) from None
        best = search.best
        if best is None:
            raise TrainingError(
                "no trial went through all its rounds; use more --trials, or fix what explodes by --set"
            )
        console.print(_trials_table(search.outcomes, metric.value, k))
        looked = search.count_test()
        comparison = compare(_candidates(family.value, best, search.default, seed), outer, k=k)
        summary = _summary(search, comparison, reading.name, sampler, judging.n_rounds, metric.value, looked)
    for line in rounds_lines(comparison):
        console.print(line, markup=False, soft_wrap=True)
    console.print(metrics_table(comparison, _columns(metric.value, comparison)))
    write_recipe(out, Recipe(family=family.value, config=best.config), summary)
    html_path.parent.mkdir(parents=True, exist_ok=True)
    report = TuningReport(
        title=f"{family.value} on {reading.name}",
        metric=heading(metric.value, k),
        better=MEASURES[metric.value].better or "higher",
        summary=summary,
        outcomes=search.outcomes,
        space=space,
    )
    html_path.write_text(render_tuning(report), encoding="utf-8")
    for line in summary:
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"wrote {out} and {html_path}; the trials are in {storage}", markup=False, soft_wrap=True)


def _candidates(family: str, best: Outcome, default: Outcome | None, seed: int) -> list[Candidate]:
    """The recipe that was found, the default one unless it is the same or went wrong, and popularity."""
    found = [candidate("tuned", family, best.config, seed)]
    if default is not None and not best.is_default:
        found.append(candidate("default", family, default.config, seed))
    return [*found, *(baseline for baseline in baselines(seed) if baseline.name == "popularity")]


def _columns(metric: str, comparison: Comparison) -> list[str]:
    """The searched metric first, and the usual ones beside it."""
    having = [
        name
        for name in ("ndcg", "recall", "rmse")
        if any(MEASURES[name].label(comparison.k) in result.metrics for result in comparison.results)
    ]
    return list(dict.fromkeys([metric, *having]))


def _summary(
    search: Search,
    comparison: Comparison,
    table: str,
    sampler: str,
    n_rounds: int,
    metric: str,
    looked: int,
) -> list[str]:
    """How the recipe was found and what it is worth, by lines."""
    outcomes, best, default = search.outcomes, search.best, search.default
    states = Counter(outcome.state for outcome in outcomes)
    shown, label = heading(metric, comparison.k), MEASURES[metric].label(comparison.k)
    in_trials = ", ".join(
        f"{name} {outcome.value:.4f}"
        for name, outcome in (("tuned", best), ("default", default))
        if outcome is not None
    )
    on_test = ", ".join(
        f"{result.name} {_estimate(result.metrics[label])}"
        for result in comparison.results
        if label in result.metrics
    )
    found = (
        f"Found by scripts.tune on {datetime.now(UTC):%Y-%m-%d}: the best {shown} of {len(outcomes)} trials "
        f"({states['pruned']} given up early, {states['failed']} went wrong), sampler {sampler}, "
        f"seed {comparison.split['seed']}."
    )
    lines = [
        found,
        f"Table {table}: {comparison.users:,} users, {comparison.items:,} items.",
        f"Test part: the first round of {next(rounds_lines(comparison))}.",
        f"In the trials (inner rounds: {n_rounds}): {in_trials}.",
        f"On the test part, which no trial saw: {on_test}.",
    ]
    if best is not None and best.is_default:
        lines.append("Nothing better than the defaults was found; more --trials may.")
    elif default is None:
        lines.append("The defaults went wrong in the trials, and are not compared.")
    else:
        lines += _verdict(*(result.metrics[label] for result in comparison.results[:2]))
    if looked > 1:
        lines.append(
            f"The test part has been looked at {looked} times: each time more trials were added, it was "
            "a little less unseen."
        )
    return lines


def _verdict(tuned: Estimate, default: Estimate) -> list[str]:
    """Whether it was worth the search, where the test part can tell."""
    if (tuned.best and default.tied) or (default.best and tuned.tied):
        return ["There tuned and default cannot be told apart (paired bootstrap, p > 0.05)."]
    if default.best:
        return ["There the defaults are better: what was found suits the inner rounds only."]
    return ["There tuned is better than default (paired bootstrap, p ≤ 0.05)."] if tuned.best else []


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f} ({estimate.low:.4f} – {estimate.high:.4f})"


def _trials_table(outcomes: Sequence[Outcome], metric: str, k: int) -> Table:
    """The best trials."""
    sign = -1 if MEASURES[metric].better == "higher" else 1
    complete = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome.state == "complete"]
    table = Table("trial", heading(metric, k), "hyperparameters", box=None)
    for number, outcome in sorted(complete, key=lambda pair: sign * pair[1].value)[:_SHOWN]:
        name = f"{number} (default)" if outcome.is_default else str(number)
        settings = ", ".join(f"{key} {value}" for key, value in outcome.config.items())
        table.add_row(name, f"{outcome.value:.4f}", settings)
    return table


@contextmanager
def _bar(console: Console, search: Search, trials: int) -> Iterator[Callable[[], None]]:
    columns = (
        TextColumn("trials"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("trials", total=trials, best="")

        def told() -> None:
            best, outcomes = search.best, search.outcomes
            given_up = sum(outcome.state == "pruned" for outcome in outcomes)
            shown = "" if best is None else f"best {best.value:.4f}, {given_up} given up early"
            progress.update(task, completed=len(outcomes), total=max(trials, len(outcomes)), best=shown)

        told()
        yield told


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see `scripts.terminal.run`."""
    return run(app, argv, name="scripts.tune")


if __name__ == "__main__":
    sys.exit(main())
