"""Learning curves: how good a model is after 1, 2, 4, … iterations, on hidden entries and on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pydantic import BaseModel, ConfigDict

from models.evaluation.comparison import named
from models.evaluation.judge import judge, value_errors
from models.evaluation.measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.evaluation.comparison import Candidate, Watcher
    from models.evaluation.measures import Parts
    from models.evaluation.protocols import Round

WithIterations: TypeAlias = "Callable[[int], Candidate]"


@dataclass(frozen=True, slots=True)
class Iterated:
    """A candidate whose number of iterations can be set.

    Attributes:
        name: the candidate's.
        iterations: what the candidate itself has.
        with_iterations: the same candidate with another number.
    """

    name: str
    iterations: int
    with_iterations: WithIterations


class CurvePoint(BaseModel):
    """Metrics of a fit of some number of iterations, on the first round."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iterations: int
    metrics: dict[str, float]
    """Of the hidden entries."""
    training: dict[str, float]
    """The same of the training entries, where that says anything: not of lists, which leave them out."""


def learning_curve(
    iterated: Iterated, judged: Round, k: int, watcher: Watcher, *, names: tuple[str, ...] = ("ndcg", "rmse")
) -> list[CurvePoint]:
    """Fit with 1, 2, 4, … iterations up to the candidate's own number, and judge each fit.

    Whole fits are compared, rather than the states of one, so that every family takes part and what is judged
    is what that number of iterations would publish. All of them cost less than three times the longest.
    """
    points = []
    for iterations in doubled(iterated.iterations):
        watcher.begin(f"curve {iterated.name}: {iterations} of {iterated.iterations} iterations")
        candidate = iterated.with_iterations(iterations)
        with named(candidate):
            ranker = candidate.fit(judged.training, lambda _: None)
        parts = judge(ranker, judged, k).parts
        shown = {name: parts[name] for name in names if name in parts}
        learnt = value_errors(ranker, judged.training.histories, judged.training) if "rmse" in shown else {}
        points.append(
            CurvePoint(
                iterations=iterations,
                metrics={MEASURES[name].label(k): _value(name, parts) for name, parts in shown.items()},
                training={
                    MEASURES[name].label(k): _value(name, learnt[name]) for name in shown if name in learnt
                },
            )
        )
    return points


def _value(name: str, parts: Parts) -> float:
    return float(MEASURES[name].value(*(part.sum() for part in parts)))


def doubled(most: int) -> list[int]:
    """1, 2, 4, … below `most`, and `most`."""
    return [2**power for power in range((most - 1).bit_length())] + [most]
