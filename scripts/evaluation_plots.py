"""Plots of an evaluation as SVG that takes its colours from the page: light or dark."""

from __future__ import annotations

import io
import math
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from models.evaluation.measures import MEASURES, SYSTEM_MEASURES
from scripts.evaluation_table import heading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from models.evaluation.comparison import Comparison
    from models.evaluation.curves import CurvePoint

COLOURS: Final = (
    # (light, dark) of each series: told apart by lightness too, not only by hue.
    ("#2563b8", "#6ea8fe"),
    ("#c2570c", "#fb9a4b"),
    ("#187a4b", "#4fc98a"),
    ("#a21c6a", "#f27ab8"),
    ("#6b46c1", "#b39dfa"),
    ("#0e7490", "#48c6de"),
    ("#8a6d00", "#e2c044"),
    ("#b42318", "#ff8a80"),
    ("#4d5b6a", "#a9b6c4"),
    ("#5a3e1b", "#cdaa7d"),
)
_INK, _RULE = "#010203", "#040506"  # stand for colours of the page until `_svg` replaces them
_WIDTH = 10.4
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
_COLUMNS = 3

_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "foldrec",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _RULE,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.prop_cycle": cycler(color=[f"#0a0b{number:02x}" for number in range(len(COLOURS))]),
    "grid.color": _RULE,
    "grid.linewidth": 0.6,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "figure.constrained_layout.hspace": 0.07,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


def metric_bars(comparison: Comparison) -> str:
    """A panel for each metric, a bar for each model, with its interval."""
    measures = MEASURES | SYSTEM_MEASURES
    names = [
        name
        for name in _METRICS
        if any(measures[name].label(comparison.k) in result.metrics for result in comparison.results)
    ]
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(len(names), 0.7 + 0.27 * len(comparison.results))
        for panel, name in zip(panels, names, strict=False):
            _bars(panel, comparison, measures[name].label(comparison.k))
            arrow = {"higher": " ↑", "lower": " ↓", None: ""}[measures[name].better]
            panel.set_title(heading(name, comparison.k) + arrow)
        return _svg(figure)


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
            panel.plot([low, high], [place, place], color=_INK, linewidth=1.2, solid_capstyle="butt")
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
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
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
        return _svg(figure)


def losses(comparison: Comparison) -> str | None:
    """The training loss by iteration, each model on a scale of its own; None if no model iterates."""
    iterating = [(place, result) for place, result in enumerate(comparison.results) if len(result.steps) > 1]
    if not iterating:
        return None
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(len(iterating), 2.4)
        for panel, (place, result) in zip(panels, iterating, strict=False):
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
                other.plot(*zip(*validated, strict=True), "s--", color=_INK, linewidth=1.2)
                other.set_ylabel("the family's own validation (dashed)")
        return _svg(figure)


def curves(comparison: Comparison, points: Mapping[str, Sequence[CurvePoint]]) -> str | None:
    """Metrics of the first round's hidden entries by iterations; None if there are no curves."""
    labels = sorted({label for curve in points.values() for point in curve for label in point.metrics})
    if not labels:
        return None
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(len(labels), 3.0, columns=2)
        for panel, label in zip(panels, labels, strict=False):
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
        return _svg(figure)


def costs(comparison: Comparison) -> str:
    """Seconds and memory of a fit."""
    panels_of = {
        "seconds of a fit (median)": [median(result.fit_seconds) for result in comparison.results],
        "peak memory of a fit, MiB": [
            math.nan if result.peak_bytes is None else result.peak_bytes / 2**20
            for result in comparison.results
        ],
    }
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(2, 0.7 + 0.27 * len(comparison.results), columns=2)
        for panel, (title, values) in zip(panels, panels_of.items(), strict=True):
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
        return _svg(figure)


def _panels(count: int, height: float, *, columns: int = _COLUMNS) -> tuple[Figure, list[Axes]]:
    columns = max(1, min(columns, count))
    n_rows = math.ceil(count / columns)
    figure = Figure(figsize=(_WIDTH, n_rows * height), layout="constrained")
    panels = figure.subplots(n_rows, columns, squeeze=False).ravel().tolist()
    for unused in panels[count:]:
        unused.set_axis_off()
    return figure, panels[:count]


def _legend(figure: Figure, panel: Axes) -> None:
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right upper")


def _colour(place: int) -> str:
    return f"C{place % len(COLOURS)}"


def _short(name: str) -> str:
    """A name that fits, with nothing in it that matplotlib would take for mathematics."""
    return (name if len(name) <= 22 else f"{name[:21]}…").replace("$", r"\$")


def _svg(figure: Figure) -> str:
    """The figure as an inline SVG element, its colours as CSS variables."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    drawn = stream.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for number in range(len(COLOURS)):
        drawn = drawn.replace(f"#0a0b{number:02x}", f"var(--series-{number})")
    return drawn.replace(_INK, "var(--ink)").replace(_RULE, "var(--rule)")
