"""The outcome of a comparison as a table in the terminal."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from models.evaluation.measures import MEASURES, SYSTEM_MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from models.evaluation.comparison import Comparison, Estimate, Result

_COLUMNS = ("rmse", "ndcg", "recall", "coverage", "popularity_lift")
_HEADINGS = {
    "popularity_lift": "pop. lift",
    "ndcg": "nDCG",
    "map": "MAP",
    "mrr": "MRR",
    "rmse": "RMSE",
    "mae": "MAE",
}


def heading(name: str, k: int | None = None) -> str:
    """A metric's name for people, such as nDCG@10; without k, nDCG."""
    measure = (MEASURES | SYSTEM_MEASURES)[name]
    shown = _HEADINGS.get(name, name.replace("_", " "))
    return f"{shown}@{k}" if measure.of_lists and k is not None else shown


def rounds_lines(comparison: Comparison) -> Iterator[str]:
    """What was split how, and what the rounds came to."""
    numbers = ", ".join(f"{name} {value}" for name, value in comparison.split.items() if name != "name")
    yield f"split {comparison.split['name']} ({numbers}), fingerprint {comparison.fingerprint[:16]}"
    for name, count in totals(comparison).items():
        if count:
            yield f"  {name}: {count:,}"


def totals(comparison: Comparison) -> dict[str, int]:
    """The rounds' counts; where there are several rounds, their sums."""
    return {name: sum(counts[name] for counts in comparison.rounds) for name in comparison.rounds[0]}


def metrics_table(comparison: Comparison, names: Sequence[str] = ()) -> Table:
    """One row for each model: values with their intervals, and what fitting cost.

    Args:
        comparison: the outcome.
        names: of the metrics to show; without any, the usual ones that some model has.
    """
    k = comparison.k
    measures = MEASURES | SYSTEM_MEASURES
    shown = list(names) or [
        name
        for name in _COLUMNS
        if any(measures[name].label(k) in result.metrics for result in comparison.results)
    ]
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),  # so that the usual columns fit into a terminal of 80
        caption=f"Lists of {k}. ±: half of the 95 % bootstrap interval over users. Bold: the best. =: not "
        "significantly worse than the best (paired bootstrap, Holm, p > 0.05). s: median seconds of a fit "
        "(the first may hold compilation). MiB: its peak.",
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    for name in shown:
        table.add_column(heading(name), justify="right", no_wrap=True)
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("MiB", justify="right", no_wrap=True)
    for result in comparison.results:
        cells = [_cell(result.metrics.get(measures[name].label(k))) for name in shown]
        table.add_row(Text(result.name), *cells, f"{median(result.fit_seconds):.2f}", memory(result))
    return table


def memory(result: Result) -> str:
    """Peak memory of a fit in MiB."""
    return "–" if result.peak_bytes is None else f"{result.peak_bytes / 2**20:,.0f}"


def _cell(estimate: Estimate | None) -> Text:
    if estimate is None or estimate.value is None:
        return Text("–")
    text = Text(f"{estimate.value:.4f}", style="bold" if estimate.best else "")
    text.append(" =" if estimate.tied else "  ")
    if estimate.low is not None and estimate.high is not None:
        text.append(f"\n±{(estimate.high - estimate.low) / 2:.3f}  ", style="dim not bold")
    return text
