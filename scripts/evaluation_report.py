"""The report of an evaluation: one HTML file that needs nothing else, readable in light and dark."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel, Field

from models.evaluation.calibration import LEVELS
from models.evaluation.comparison import Comparison  # noqa: TC001 - pydantic reads it
from models.evaluation.curves import CurvePoint  # noqa: TC001 - pydantic reads it
from models.evaluation.measures import MEASURES, SYSTEM_MEASURES
from models.posterior_check import PosteriorCheck  # noqa: TC001 - pydantic reads it
from scripts import evaluation_plots as plots
from scripts.evaluation_table import heading, memory, totals
from scripts.figures import COLOURS


class LookedAt(BaseModel):
    """An item of the eye test."""

    title: str
    year: str | None = None
    image: str | None = None
    """A data URI."""


class EyeTest(BaseModel):
    """What each model takes to be similar to well-known items.

    Attributes:
        queries: the well-known items.
        lists: by model, one list for each of them.
    """

    queries: list[LookedAt] = Field(default_factory=list)
    lists: dict[str, list[list[LookedAt]]] = Field(default_factory=dict)


class Report(BaseModel):
    """Everything an evaluation came to."""

    dataset: str
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    comparison: Comparison
    curves: dict[str, list[CurvePoint]] = Field(default_factory=dict)
    posteriors: dict[str, PosteriorCheck] = Field(default_factory=dict)
    """Of the models whose scores have standard deviations."""
    eye_test: EyeTest = Field(default_factory=EyeTest)


def render_html(report: Report) -> str:
    """The whole page."""
    comparison = report.comparison
    k = comparison.k
    measures = MEASURES | SYSTEM_MEASURES
    columns = [
        (measures[name].label(k), heading(name), measures[name].better)
        for name in sorted(measures, key=lambda name: measures[name].of_lists)
        if any(measures[name].label(k) in result.metrics for result in comparison.results)
    ]
    environment = Environment(
        loader=PackageLoader("scripts", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("evaluation.html.jinja").render(
        report=report,
        comparison=comparison,
        columns=columns,
        has_rmse=any(label == "rmse" for label, _, _ in columns),
        totals={name: count for name, count in totals(comparison).items() if count},
        costs=[
            (result.name, median(result.fit_seconds), median(result.judge_seconds), memory(result))
            for result in comparison.results
        ],
        colours=COLOURS,
        figures={
            name: [Markup(svg) for svg in panels]  # noqa: S704 - drawn by us; matplotlib escapes names
            for name, panels in (
                ("metrics", plots.metric_bars(comparison)),
                ("popularity", plots.recall_by_popularity(comparison)),
                ("losses", plots.losses(comparison)),
                ("curves", plots.curves(comparison, report.curves)),
                ("costs", plots.costs(comparison)),
            )
        },
        levels=LEVELS,
        in_training=any(point.training for curve in report.curves.values() for point in curve),
    )
