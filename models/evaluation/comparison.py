"""Compare models: fit each on every round of a split, judge it, and say how certain the differences are."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.errors import ConfigError, FoldrecError
from models.evaluation.judge import check_list_length, judge
from models.evaluation.measures import MEASURES, SYSTEM_MEASURES
from models.evaluation.memory import measured
from models.evaluation.uncertainty import holm, interval, p_value, resampled_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from models.dataset import Dataset
    from models.evaluation.judge import Outcome
    from models.evaluation.protocols import Round, Split, SplitDefinition
    from models.evaluation.ranker import Ranker
    from models.types import Float64Array

Fit: TypeAlias = "Callable[[Dataset, Callable[[Any], None]], Ranker]"
"""Fits a model on a training set; calls back after each iteration with what a family reports."""

_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to be compared.

    Attributes:
        name: in results; each another.
        fit: makes the model of a training set.
        family: its family, for the record.
        config: its hyperparameters, for the record.
        compares_items: whether it has an opinion on which items are alike.
    """

    name: str
    fit: Fit
    family: str
    config: dict[str, Any] = field(default_factory=dict)
    compares_items: bool = True


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Record):
    """One metric of one model."""

    value: float | None
    """None where nothing could be judged."""
    low: float | None = None
    """Of the 95 % bootstrap interval; None for metrics of all lists together."""
    high: float | None = None
    best: bool = False
    """Whether no other model has a better value."""
    p: float | None = None
    """Of "as good as the best one", paired bootstrap, adjusted by Holm for the number of models."""

    @property
    def tied(self) -> bool:
        """Whether it is worse than the best one, but not significantly so."""
        return self.p is not None and self.p > _SIGNIFICANT


class Step(_Record):
    """One iteration of the first round's fit."""

    iteration: int
    seconds: float
    loss: float
    holdout: float | None = None
    """The family's own validation metric, if it keeps one."""


class Result(_Record):
    """What came out for one model."""

    name: str
    family: str
    config: dict[str, Any]
    metrics: dict[str, Estimate]
    fit_seconds: list[float]
    """By round."""
    judge_seconds: list[float]
    """By round."""
    peak_bytes: int | None
    """Memory that fitting took at its peak, above what was in use before; None where it cannot be told."""
    recall_by_popularity: list[float | None]
    """Share of hidden entries that were listed, by group of items: the most popular first."""
    steps: list[Step]


class Comparison(_Record):
    """A whole run."""

    split: dict[str, str | int | float]
    fingerprint: str
    """sha256 of the split's definition, of the hidden entries, and of the dataset."""
    dataset_sha256: str
    users: int
    items: int
    rounds: list[dict[str, int]]
    """What each round trained on, hid, and left aside."""
    k: int
    resamples: int
    hidden_by_popularity: list[int]
    """Hidden entries in each popularity group."""
    results: list[Result]


class Watcher:
    """Told how a comparison goes. This one keeps it to itself."""

    def begin(self, what: str) -> None:
        """Something begins."""

    def advance(self, done: int, of: int, note: str = "") -> None:
        """Some of it is done."""

    def fitted(self, candidate: Candidate, ranker: Ranker, judged: Round) -> None:
        """A model has been fitted on the first round."""


@dataclass(slots=True)
class _Tally:
    """What is collected of one candidate over the rounds."""

    outcome: Outcome | None = None
    fit_seconds: list[float] = field(default_factory=list)
    judge_seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    steps: list[Step] = field(default_factory=list)


def compare(
    candidates: Sequence[Candidate],
    split: Split,
    *,
    k: int,
    resamples: int = 2000,
    watcher: Watcher | None = None,
) -> Comparison:
    """Fit and judge every candidate on every round.

    Args:
        candidates: the models, by distinct names.
        split: the rounds.
        k: length of the lists.
        resamples: of the bootstrap; its random draws follow from the split's seed.
        watcher: told how it goes.

    Raises:
        ConfigError: fewer than k items can be listed.
        FoldrecError: a candidate cannot be fitted; the message begins with its name.
    """
    watcher = watcher or Watcher()
    tallies = [_Tally() for _ in candidates]
    counts = []
    shape = (0, 0)
    for number, judged in enumerate(split.rounds()):
        shape = judged.training.shape
        check_list_length(k, judged.n_listable)
        counts.append(judged.counts)
        of = f" {number + 1}/{len(split)}" if len(split) > 1 else ""
        for candidate, tally in zip(candidates, tallies, strict=True):
            ranker = _fit(candidate, judged.training, tally, watcher, of, keep_steps=number == 0)
            if number == 0:
                watcher.fitted(candidate, ranker, judged)
            watcher.begin(f"judge {candidate.name}{of}")
            started = time.perf_counter()
            outcome = judge(ranker, judged, k, advance=watcher.advance)
            tally.judge_seconds.append(time.perf_counter() - started)
            if tally.outcome is None:
                tally.outcome = outcome
            else:
                tally.outcome.add(outcome)
    watcher.begin("bootstrap")
    outcomes = [tally.outcome for tally in tallies if tally.outcome is not None]
    metrics = estimates(outcomes, k, resamples, np.random.default_rng(split.definition.seed))
    return Comparison(
        split=split.definition.described(),
        fingerprint=split.fingerprint,
        dataset_sha256=split.dataset_sha256,
        users=shape[0],
        items=shape[1],
        rounds=counts,
        k=k,
        resamples=resamples,
        hidden_by_popularity=outcomes[0].hidden.tolist(),
        results=[
            Result(
                name=candidate.name,
                family=candidate.family,
                config=candidate.config,
                metrics=of_model,
                fit_seconds=tally.fit_seconds,
                judge_seconds=tally.judge_seconds,
                peak_bytes=tally.peak_bytes,
                recall_by_popularity=[
                    found / hidden if hidden else None
                    for found, hidden in zip(outcome.found.tolist(), outcome.hidden.tolist(), strict=True)
                ],
                steps=tally.steps,
            )
            for candidate, tally, outcome, of_model in zip(
                candidates, tallies, outcomes, metrics, strict=True
            )
        ],
    )


def _fit(
    candidate: Candidate, training: Dataset, tally: _Tally, watcher: Watcher, of: str, *, keep_steps: bool
) -> Ranker:
    def progress(step: Any) -> None:  # noqa: ANN401 - families.base.Iteration, which this package does not know
        watcher.advance(step.number, step.of, f"loss {step.loss:.6g}")
        if keep_steps:
            tally.steps.append(
                Step(
                    iteration=step.number,
                    seconds=step.seconds,
                    loss=step.loss,
                    holdout=getattr(step, "holdout", None),
                )
            )

    watcher.begin(f"fit {candidate.name}{of}")
    with measured() as peak, named(candidate):
        started = time.perf_counter()
        ranker = candidate.fit(training, progress)
        tally.fit_seconds.append(time.perf_counter() - started)
    if peak.extra_bytes is not None:
        tally.peak_bytes = max(tally.peak_bytes or 0, peak.extra_bytes)
    return ranker


@contextmanager
def named(candidate: Candidate) -> Iterator[None]:
    """Let errors of a fit begin with the candidate's name."""
    try:
        yield
    except FoldrecError as error:
        raise type(error)(f"{candidate.name}: {error}") from error


def check_possible(names: Sequence[str], dataset: Dataset, definition: SplitDefinition) -> None:
    """Refuse, before anything is fitted, metrics that no model can have a value for.

    Raises:
        ConfigError: naming the metric and why.
    """
    if not dataset.has_values or definition.name == "strong":
        _refuse([name for name in names if not (MEASURES | SYSTEM_MEASURES)[name].of_lists])


def check_measures(names: Sequence[str], results: Sequence[Result], k: int) -> None:
    """Refuse metrics that no model has a value for.

    Raises:
        ConfigError: naming the metric and why.
    """
    labels = {label for result in results for label in result.metrics}
    _refuse([name for name in names if (MEASURES | SYSTEM_MEASURES)[name].label(k) not in labels])


def _refuse(names: Sequence[str]) -> None:
    for name in names:
        raise ConfigError(
            f"no model here has a value for {name}: it judges predicted values, which needs a table with "
            "values, a family that predicts them (such as als) and a split other than strong; "
            "choose another --metric"
        )


def estimates(
    outcomes: Sequence[Outcome], k: int, resamples: int, rng: np.random.Generator
) -> list[dict[str, Estimate]]:
    """Values, intervals and comparisons of every metric, by model, from outcomes on the same people."""
    draws = resampled_parts([outcome.parts for outcome in outcomes], resamples, rng)
    table: list[dict[str, Estimate]] = [{} for _ in outcomes]
    for name, measure in MEASURES.items():
        having = [number for number, outcome in enumerate(outcomes) if name in outcome.parts]
        values = [
            _value(float(measure.value(*(part.sum() for part in outcomes[number].parts[name]))))
            for number in having
        ]
        drawn = [measure.value(*draws[number][name]) for number in having]
        best = _best(values, measure.better)
        p_values = _p_values(drawn, best)
        for place, number in enumerate(having):
            low, high = interval(drawn[place])
            table[number][measure.label(k)] = Estimate(
                value=values[place], low=_value(low), high=_value(high), best=place == best, p=p_values[place]
            )
    for name, measure in SYSTEM_MEASURES.items():
        values = [_value(np.mean(getattr(outcome, name))) for outcome in outcomes]
        best = _best(values, measure.better)
        for number, value in enumerate(values):
            table[number][measure.label(k)] = Estimate(value=value, best=number == best)
    return table


def _p_values(drawn: Sequence[Float64Array], best: int | None) -> list[float | None]:
    """Adjusted p of each model against the best one; None of the best one itself."""
    if best is None:
        return [None] * len(drawn)
    others = [place for place in range(len(drawn)) if place != best]
    adjusted = holm([p_value(drawn[place] - drawn[best]) for place in others])
    return [None if place == best else adjusted[others.index(place)] for place in range(len(drawn))]


def _best(values: Sequence[float | None], better: str | None) -> int | None:
    known = [place for place, value in enumerate(values) if value is not None]
    if better is None or len(known) < 2:
        return None
    choose = max if better == "higher" else min
    return choose(known, key=lambda place: values[place] or 0.0)


def _value(number: float | np.floating[Any]) -> float | None:
    """A number for JSON, which has no NaN."""
    number = float(number)
    return number if np.isfinite(number) else None
