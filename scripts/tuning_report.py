"""The history of a search: one HTML page that needs nothing else, in the look of the evaluation's report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

from models.search.spaces import Interval
from scripts.figures import COLOURS, INK, STYLE, WIDE, panel, svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.search.spaces import SearchSpace
    from models.search.study import Outcome

_FULL, _PRUNED = "C0", "C1"


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
        history=Markup(_history(report)),  # noqa: S704 - drawn by us
        slices=[Markup(svg) for svg in _slices(report)],  # noqa: S704 - drawn by us
    )


def _history(report: TuningReport) -> str:
    """The metric of every trial in their order, and the best so far."""
    choose = max if report.better == "higher" else min
    with mpl.rc_context(STYLE):
        figure, axes = panel(3.2, width=WIDE)
        numbers = [number for number, _ in report.complete]
        values = [each.value for _, each in report.complete]
        axes.step(numbers, list(accumulate(values, choose)), where="post", color=_FULL)
        axes.plot(numbers, values, "o", color=_FULL)
        given_up = [each.value for _, each in report.pruned]
        axes.plot([number for number, _ in report.pruned], given_up, "x", color=_PRUNED)
        for default in (each.value for _, each in report.complete if each.is_default):
            axes.axhline(default, color=INK, linewidth=1, linestyle=":")
        axes.set_xlabel("trial")
        axes.set_ylabel(report.metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", alpha=0.5)
        return svg(figure)


def _slices(report: TuningReport) -> list[str]:
    """The metric against each hyperparameter by itself."""
    drawn = []
    for name, dimension in report.space.dimensions.items():
        with mpl.rc_context(STYLE):
            figure, axes = panel(2.3)
            for trials, mark, colour in ((report.pruned, "x", _PRUNED), (report.complete, "o", _FULL)):
                tried = [each for _, each in trials if name in each.parameters]
                axes.plot(
                    [each.parameters[name] for each in tried],
                    [each.value for each in tried],
                    mark,
                    color=colour,
                )
            if isinstance(dimension, Interval) and dimension.log:
                axes.set_xscale("log")
                decades = math.log10(dimension.high / dimension.low)
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
                axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
                axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(name.replace("_", " "))
            axes.set_ylabel(report.metric)
            axes.grid(alpha=0.5)
            drawn.append(svg(figure))
    return drawn
