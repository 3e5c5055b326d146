"""Plots of an evaluation as SVG that takes its colours from the page: light or dark."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from models.evaluation.curves import doubled
from models.evaluation.measures import MEASURES, SYSTEM_MEASURES
from scripts.evaluation_table import heading
from scripts.figures import COLOURS, INK, STYLE, WIDE, panel, svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from models.evaluation.comparison import Comparison
    from models.evaluation.curves import CurvePoint

_METRICS = (
    "rmse",
    "ndcg",
    "recall",
    "map",
    "mrr",
    "hit_rate",
    "coverage",
    "novelty",
    "popularity_lift",
)
_BESIDE_BAR: Final[dict[str, Any]] = {"textcoords": "offset points", "va": "center"}
_BESIDE_AXIS: Final[dict[str, Any]] = {**_BESIDE_BAR, "xycoords": ("axes fraction", "data")}


def metric_bars(comparison: Comparison) -> list[str]:
    """A panel for each metric, a bar for each model, with its interval."""
    measures = MEASURES | SYSTEM_MEASURES
    drawn = []
    for name in _METRICS:
        label = measures[name].label(comparison.k)
        if not any(label in result.metrics for result in comparison.results):
            continue
        with mpl.rc_context(STYLE):
            figure, axes = panel(0.75 + 0.25 * len(comparison.results))
            _bars(axes, comparison, label)
            arrow = {"higher": " ↑", "lower": " ↓", None: ""}[measures[name].better]
            axes.set_title(heading(name, comparison.k) + arrow)
            drawn.append(svg(figure))
    return drawn


def _bars(axes: Axes, comparison: Comparison, label: str) -> None:
    edges = []
    for place, result in enumerate(comparison.results):
        estimate = result.metrics.get(label)
        if estimate is None or estimate.value is None:
            axes.annotate("–", (0, place), (4, 0), **_BESIDE_AXIS)
            continue
        axes.barh(place, estimate.value, color=_colour(place), height=0.7, alpha=0.9)
        low, high = estimate.low, estimate.high
        edges.append(estimate.value)
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
            edges += [low, high]
    _name_bars(axes, comparison)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if label == "rmse" and edges:  # nothing is near 0: show what differs
        axes.set_xlim(0.95 * min(edges), 1.02 * max(edges))


def recall_by_popularity(comparison: Comparison) -> list[str]:
    """The share of hidden entries that is found, from the most popular items to the long tail."""
    with mpl.rc_context(STYLE):
        figure, axes = panel(3.2, width=WIDE)
        for place, result in enumerate(comparison.results):
            recalls = [math.nan if recall is None else recall for recall in result.recall_by_popularity]
            axes.plot(range(1, len(recalls) + 1), recalls, "o-", color=_colour(place))
        axes.set_xticks(range(1, len(comparison.hidden_by_popularity) + 1))
        axes.set_xlabel("tenth of the training interactions, most popular items first")
        axes.set_ylabel(f"found in the top {comparison.k}")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.5)
        return [svg(figure)]


def losses(comparison: Comparison) -> list[str]:
    """The training loss by iteration, each model on a scale of its own."""
    drawn = []
    for place, result in enumerate(comparison.results):
        if len(result.steps) < 2:
            continue
        with mpl.rc_context(STYLE):
            figure, axes = panel(2.4)
            numbers = [step.iteration for step in result.steps]
            axes.plot(numbers, [step.loss for step in result.steps], "o-", color=_colour(place))
            axes.set_title(f"training loss of {_short(result.name)}")
            axes.set_xlabel("iteration")
            axes.grid(axis="y", alpha=0.5)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            validated = [(step.iteration, step.holdout) for step in result.steps if step.holdout is not None]
            if validated:
                other = axes.twinx()
                other.plot(*zip(*validated, strict=True), "s--", color=INK, linewidth=1.2)
                other.set_ylabel("its own validation (dashed)")
            drawn.append(svg(figure))
    return drawn


def curves(comparison: Comparison, points: Mapping[str, Sequence[CurvePoint]]) -> list[str]:
    """Metrics of the first round by iterations: held out, and where there is such a thing in training."""
    drawn = []
    for label in sorted({label for curve in points.values() for point in curve for label in point.metrics}):
        with mpl.rc_context(STYLE):
            figure, axes = panel(2.8)
            most = 1
            for place, result in enumerate(comparison.results):
                curve = [point for point in points.get(result.name, ()) if label in point.metrics]
                numbers = [point.iterations for point in curve]
                axes.plot(numbers, [point.metrics[label] for point in curve], "o-", color=_colour(place))
                learnt = [
                    (point.iterations, point.training[label]) for point in curve if label in point.training
                ]
                if learnt:
                    axes.plot(*zip(*learnt, strict=True), "o--", color=_colour(place), markerfacecolor="none")
                most = max(most, *numbers, 1)
            axes.set_xscale("log", base=2)
            axes.set_xticks(doubled(most), [str(number) for number in doubled(most)], minor=False)
            axes.set_title(heading(label.partition("@")[0], comparison.k))
            axes.set_xlabel("iterations")
            axes.grid(alpha=0.5)
            drawn.append(svg(figure))
    return drawn


def costs(comparison: Comparison) -> list[str]:
    """Seconds and memory of a fit."""
    panels_of = {
        "seconds of a fit (median)": (
            "{:,.2f}",
            [median(result.fit_seconds) for result in comparison.results],
        ),
        "peak memory of a fit, MiB": (
            "{:,.0f}",
            [math.nan if each.peak_bytes is None else each.peak_bytes / 2**20 for each in comparison.results],
        ),
    }
    drawn = []
    for title, (form, values) in panels_of.items():
        with mpl.rc_context(STYLE):
            figure, axes = panel(0.75 + 0.25 * len(comparison.results))
            for place, value in enumerate(values):
                axes.barh(place, value, color=_colour(place), height=0.7, alpha=0.9)
                if math.isfinite(value):
                    axes.annotate(form.format(value), (value, place), (4, 0), **_BESIDE_BAR)
            _name_bars(axes, comparison)
            axes.margins(x=0.2)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.set_title(title)
            drawn.append(svg(figure))
    return drawn


def _name_bars(axes: Axes, comparison: Comparison) -> None:
    """The models' names beside their bars, the first on top."""
    names = [_short(result.name) for result in comparison.results]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.5)


def _colour(place: int) -> str:
    return f"C{place % len(COLOURS)}"


def _short(name: str) -> str:
    """A name that fits, with nothing in it that matplotlib would take for mathematics."""
    return (name if len(name) <= 22 else f"{name[:21]}…").replace("$", r"\$")
