"""The history of a search: one HTML page that needs nothing else, in the look of the evaluation's report."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter

from models.search.spaces import Interval
from scripts.figures import COLOURS, INK, STYLE, WIDTH, panels, svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.search.spaces import SearchSpace
    from models.search.study import Outcome


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What is shown of a search.

    Attributes:
        title: family and table.
        metric: for people, such as nDCG@10.
        better: which way the metric is better.
        summary: what came out, by lines.
        outcomes: finished trials, in their order.
        space: what was searched.
    """

    title: str
    metric: str
    better: Literal["higher", "lower"]
    summary: Sequence[str]
    outcomes: Sequence[Outcome]
    space: SearchSpace

    @property
    def complete(self) -> list[tuple[int, Outcome]]:
        """Trials that went through all rounds, by number."""
        return [(number, each) for number, each in enumerate(self.outcomes) if each.state == "complete"]

    @property
    def pruned(self) -> list[tuple[int, Outcome]]:
        """Trials that were given up, by number."""
        return [(number, each) for number, each in enumerate(self.outcomes) if each.state == "pruned"]

    @property
    def ranked(self) -> list[tuple[int, Outcome]]:
        """Complete trials, the best first."""
        sign = -1 if self.better == "higher" else 1
        return sorted(self.complete, key=lambda pair: sign * pair[1].value)


def render_tuning(report: TuningReport) -> str:
    """The whole page."""
    environment = Environment(
        loader=PackageLoader("scripts", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("tuning.html.jinja").render(
        report=report,
        colours=COLOURS,
        names=list(report.space.dimensions),
        figures={
            "history": Markup(_history(report)),  # noqa: S704 - drawn by us
            "slices": Markup(_slices(report)),  # noqa: S704 - drawn by us
        },
    )


def _history(report: TuningReport) -> str:
    """The metric of every trial in their order, and the best so far."""
    choose = max if report.better == "higher" else min
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        panel = figure.add_subplot()
        numbers = [number for number, _ in report.complete]
        values = [each.value for _, each in report.complete]
        panel.step(
            numbers, list(accumulate(values, choose)), where="post", color="C0", label="the best so far"
        )
        panel.plot(numbers, values, "o", color="C0", label="went through all rounds")
        if report.pruned:
            given_up = [each.value for _, each in report.pruned]
            panel.plot([number for number, _ in report.pruned], given_up, "x", color="C1", label="given up")
        default = [each.value for _, each in report.complete if each.is_default]
        if default:
            panel.axhline(default[0], color=INK, linewidth=1, linestyle=":", label="the defaults")
        panel.set_xlabel("trial")
        panel.set_ylabel(report.metric)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(axis="y", alpha=0.5)
        figure.legend(*panel.get_legend_handles_labels(), loc="outside right upper")
        return svg(figure)


def _slices(report: TuningReport) -> str:
    """The metric against each hyperparameter by itself."""
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(report.space.dimensions), 2.2)
        for panel, (name, dimension) in zip(axes, report.space.dimensions.items(), strict=True):
            for trials, mark, colour in ((report.pruned, "x", "C1"), (report.complete, "o", "C0")):
                tried = [each for _, each in trials if name in each.parameters]
                panel.plot(
                    [each.parameters[name] for each in tried],
                    [each.value for each in tried],
                    mark,
                    color=colour,
                )
            if isinstance(dimension, Interval) and dimension.log:
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
                panel.xaxis.set_minor_formatter(NullFormatter())
            panel.set_title(name.replace("_", " "))
            panel.set_ylabel(report.metric)
            panel.grid(alpha=0.5)
        return svg(figure)
