"""Plots of an evaluation as SVG that takes its colours from the page: light or dark."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from models.evaluation.measures import MEASURES, SYSTEM_MEASURES
from scripts.evaluation_table import heading
from scripts.figures import COLOURS, INK, STYLE, WIDTH, panels, svg

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


def metric_bars(comparison: Comparison) -> str:
    """A panel for each metric, a bar for each model, with its interval."""
    measures = MEASURES | SYSTEM_MEASURES
    names = [
        name
        for name in _METRICS
        if any(measures[name].label(comparison.k) in result.metrics for result in comparison.results)
    ]
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(names), 0.7 + 0.27 * len(comparison.results))
        for panel, name in zip(axes, names, strict=False):
            _bars(panel, comparison, measures[name].label(comparison.k))
            arrow = {"higher": " ↑", "lower": " ↓", None: ""}[measures[name].better]
            panel.set_title(heading(name, comparison.k) + arrow)
        return svg(figure)


def _bars(panel: Axes, comparison: Comparison, label: str) -> None:
    edges = []
    for place, result in enumerate(comparison.results):
        estimate = result.metrics.get(label)
        if estimate is None or estimate.value is None:
            panel.text(0, place, " –", va="center", transform=panel.get_yaxis_transform())
            continue
        panel.barh(place, estimate.value, color=_colour(place), height=0.7, alpha=0.9)
        low, high = estimate.low, estimate.high
        edges.append(estimate.value)
        if low is not None and high is not None:
            panel.plot([low, high], [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
            edges += [low, high]
    panel.set_yticks(range(len(comparison.results)), [_short(result.name) for result in comparison.results])
    panel.set_ylim(len(comparison.results) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x", alpha=0.5)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    if label == "rmse" and edges:  # nothing is near 0: show what differs
        panel.set_xlim(0.95 * min(edges), 1.02 * max(edges))


def recall_by_popularity(comparison: Comparison) -> str:
    """The share of hidden entries that is found, from the most popular items to the long tail."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        panel = figure.add_subplot()
        for place, result in enumerate(comparison.results):
            recalls = [math.nan if recall is None else recall for recall in result.recall_by_popularity]
            panel.plot(
                range(1, len(recalls) + 1), recalls, "o-", color=_colour(place), label=_short(result.name)
            )
        panel.set_xticks(range(1, len(comparison.hidden_by_popularity) + 1))
        panel.set_xlabel("tenth of the training interactions, from the most popular items to the rarest")
        panel.set_ylabel(f"found in the top {comparison.k}")
        panel.set_ylim(bottom=0)
        panel.grid(axis="y", alpha=0.5)
        _legend(figure, panel)
        return svg(figure)


def losses(comparison: Comparison) -> str | None:
    """The training loss by iteration, each model on a scale of its own; None if no model iterates."""
    iterating = [(place, result) for place, result in enumerate(comparison.results) if len(result.steps) > 1]
    if not iterating:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(iterating), 2.4)
        for panel, (place, result) in zip(axes, iterating, strict=False):
            numbers = [step.iteration for step in result.steps]
            panel.plot(numbers, [step.loss for step in result.steps], "o-", color=_colour(place))
            panel.set_title(_short(result.name))
            panel.set_xlabel("iteration")
            panel.set_ylabel("training loss")
            panel.grid(axis="y", alpha=0.5)
            panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            validated = [(step.iteration, step.holdout) for step in result.steps if step.holdout is not None]
            if validated:
                other = panel.twinx()
                other.plot(*zip(*validated, strict=True), "s--", color=INK, linewidth=1.2)
                other.set_ylabel("the family's own validation (dashed)")
        return svg(figure)


def curves(comparison: Comparison, points: Mapping[str, Sequence[CurvePoint]]) -> str | None:
    """Metrics of the first round's hidden entries by iterations; None if there are no curves."""
    labels = sorted({label for curve in points.values() for point in curve for label in point.metrics})
    if not labels:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(labels), 3.0, columns=2)
        for panel, label in zip(axes, labels, strict=False):
            for place, result in enumerate(comparison.results):
                curve = [point for point in points.get(result.name, ()) if label in point.metrics]
                if curve:
                    panel.plot(
                        [point.iterations for point in curve],
                        [point.metrics[label] for point in curve],
                        "o-",
                        color=_colour(place),
                        label=_short(result.name),
                    )
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
            panel.set_title(f"held-out {heading(label.partition('@')[0], comparison.k)}")
            panel.set_xlabel("iterations")
            panel.grid(alpha=0.5)
            panel.legend()
        return svg(figure)


def costs(comparison: Comparison) -> str:
    """Seconds and memory of a fit."""
    panels_of = {
        "seconds of a fit (median)": [median(result.fit_seconds) for result in comparison.results],
        "peak memory of a fit, MiB": [
            math.nan if result.peak_bytes is None else result.peak_bytes / 2**20
            for result in comparison.results
        ],
    }
    with mpl.rc_context(STYLE):
        figure, axes = panels(2, 0.7 + 0.27 * len(comparison.results), columns=2)
        for panel, (title, values) in zip(axes, panels_of.items(), strict=True):
            for place, value in enumerate(values):
                panel.barh(place, value, color=_colour(place), height=0.7, alpha=0.9)
                panel.text(value, place, f" {value:,.2f}", va="center")
            names = [_short(result.name) for result in comparison.results]
            panel.set_yticks(range(len(values)), names)
            panel.invert_yaxis()
            panel.tick_params(axis="y", length=0)
            panel.margins(x=0.15)
            panel.set_title(title)
            panel.grid(axis="x", alpha=0.5)
        return svg(figure)


def _legend(figure: Figure, panel: Axes) -> None:
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right upper")


def _colour(place: int) -> str:
    return f"C{place % len(COLOURS)}"


def _short(name: str) -> str:
    """A name that fits, with nothing in it that matplotlib would take for mathematics."""
    return (name if len(name) <= 22 else f"{name[:21]}…").replace("$", r"\$")
