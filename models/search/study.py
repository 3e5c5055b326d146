"""A search for hyperparameters that keeps every trial in a local file and goes on where it was stopped.

Trials are asked for in batches of as many as there are workers, and a batch goes through the inner rounds in
step and is noted as a whole, so that with the same seed and the same number of workers the same trials come
out, also when the search was killed and started again in between.

References:
    Bergstra, Bardenet, Bengio, Kégl: Algorithms for Hyper-Parameter Optimization, NIPS 2011 (TPE).
    Akiba, Sano, Yanase, Ohta, Koyama: Optuna, KDD 2019.
"""

from __future__ import annotations

import fcntl
import json
import warnings
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import optuna
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from models.errors import ConfigError, TrainingError
from models.evaluation.measures import MEASURES
from models.registry import EVALUATED
from models.search.spaces import SEARCH_SPACES, Dimension, Grid, Interval, SearchSpace
from models.search.trials import judge_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from pathlib import Path

    from optuna.samplers import BaseSampler

    from models.dataset import Dataset
    from models.evaluation.protocols import SplitDefinition

Sampler: TypeAlias = Literal["tpe", "random", "grid"]

_NAME: Final = "search"
_IDENTITY: Final = "identity"
_DEFAULT: Final = "default"
_CONFIG: Final = "config"
_PROBLEM: Final = "problem"
_TESTS: Final = "tests"
_STARTUP: Final = 5
"""Finished trials before any is pruned."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two searches the same, so that the one goes on where the other stopped."""

    family: str
    metric: str
    k: int
    sampler: Sampler
    seed: int
    fixed: str
    """Hyperparameters that are not searched for, as JSON."""
    rounds: int
    split: str
    """Fingerprint of the outer split."""
    dataset: str
    """sha256."""
    space: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished trial.

    Attributes:
        is_default: whether it is the default recipe, which is tried first.
        config: the hyperparameters that differ from the defaults, or were searched for.
        value: of the metric over the inner rounds that were judged; NaN where no fit succeeded.
        state: whether it went through all rounds, was given up as worse than the median, or went wrong.
        parameters: what was searched for.
    """

    is_default: bool
    config: dict[str, Any]
    value: float
    state: Literal["complete", "pruned", "failed"]
    parameters: dict[str, Any]


def check_metric(family: str, metric: str, dataset: Dataset, definition: SplitDefinition) -> None:
    """Refuse a metric that no trial could have.

    Raises:
        ConfigError: naming why, and what to use instead.
    """
    measure = MEASURES[metric]
    if measure.better is None:
        usable = ", ".join(name for name, other in MEASURES.items() if other.better)
        raise ConfigError(f"--metric {metric} describes lists, and is neither good nor bad; use {usable}")
    if measure.of_lists:
        return
    if not SEARCH_SPACES[family].predicts_values:
        able = ", ".join(name for name, space in SEARCH_SPACES.items() if space.predicts_values)
        raise ConfigError(
            f"--metric {metric}: family {family} ranks items and predicts no values; use --metric ndcg, or a "
            f"family that predicts them: {able}"
        )
    if not dataset.has_values:
        raise ConfigError(
            f"--metric {metric} needs ratings: name their column with --value-column, or use --metric ndcg"
        )
    if definition.name == "strong":
        raise ConfigError(
            f"--metric {metric}: --split strong hides entries of people without a row of their own, for whom "
            "only lists are judged; use --split folds, or --metric ndcg"
        )


@contextmanager
def opened(path: Path, identity: Identity, n_grid: int) -> Iterator[Search]:
    """The search in a file, which is made if it is not there; one process at a time.

    Args:
        path: an SQLite file.
        identity: of the search.
        n_grid: points of the grid along an interval.

    Raises:
        ConfigError: the file holds another search, is in use, or is something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{path}: another search is at work on it; wait for it, or use another --storage"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            storage = RDBStorage(f"sqlite:///{path}")
            study = optuna.create_study(
                storage=storage,
                study_name=_NAME,
                load_if_exists=True,
                direction="maximize" if MEASURES[identity.metric].better == "higher" else "minimize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
            )
        except (SQLAlchemyError, RuntimeError, AssertionError) as error:
            raise ConfigError(f"{path}: not the file of a search; use another --storage") from error
        try:
            _claim(study, identity, path)
            yield Search(study, identity, n_grid)
        finally:
            storage.remove_session()
            storage.engine.dispose()


def _claim(study: optuna.Study, identity: Identity, path: Path) -> None:
    """Note whose file it is, or refuse it.

    Raises:
        ConfigError: it is another search's; what differs is named.
    """
    mine = {name: getattr(identity, name) for name in Identity.__slots__}
    theirs = study.user_attrs.get(_IDENTITY)
    if theirs is None:
        study.set_user_attr(_IDENTITY, mine)
        return
    different = [
        f"{name} {_shortened(theirs.get(name))} there and {_shortened(value)} here"
        for name, value in mine.items()
        if theirs.get(name) != value
    ]
    if different:
        raise ConfigError(
            f"{path} holds another search: {'; '.join(different)}; use another --storage, or the options and "
            "data that it was begun with"
        )


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


class Search:
    """Trials so far, and more of them.

    Args:
        study: Optuna's.
        identity: of the search.
        n_grid: points of the grid along an interval.
    """

    def __init__(self, study: optuna.Study, identity: Identity, n_grid: int) -> None:
        self._study = study
        self._identity = identity
        self._n_grid = n_grid
        self._fixed: dict[str, Any] = json.loads(identity.fixed)
        self._better = max if study.direction is optuna.study.StudyDirection.MAXIMIZE else min

    @property
    def outcomes(self) -> list[Outcome]:
        """Finished trials, in their order."""
        return [
            _outcome(trial)
            for trial in self._study.get_trials(
                deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
            )
        ]

    @property
    def best(self) -> Outcome | None:
        """The best of those that went through all rounds; None as long as there is none."""
        complete = [outcome for outcome in self.outcomes if outcome.state == "complete"]
        return self._better(complete, key=lambda outcome: outcome.value) if complete else None

    @property
    def default(self) -> Outcome | None:
        """The trial of the family's defaults, if it has succeeded."""
        complete = (outcome for outcome in self.outcomes if outcome.state == "complete")
        return next((outcome for outcome in complete if outcome.is_default), None)

    def count_test(self) -> int:
        """Note that these trials are about to be judged on the outer split's hidden part.

        Returns:
            how many searches, each longer than the one before, have then been judged on it.
        """
        lengths = {*self._study.user_attrs.get(_TESTS, []), len(self.outcomes)}
        self._study.set_user_attr(_TESTS, sorted(lengths))
        return len(lengths)

    def run(
        self,
        space: SearchSpace,
        n_trials: int,
        pool: Executor,
        jobs: int,
        n_rounds: int,
        told: Callable[[], None],
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Go on until so many trials are finished, or the grid is exhausted.

        Args:
            space: what is searched.
            n_trials: finished trials to stop at, those of before included.
            pool: `models.search.trials.workers`.
            jobs: workers in it.
            n_rounds: inner rounds.
            told: called after each batch.
            waiting: entered around each wait for the workers, while the file is at rest.

        Raises:
            ConfigError, DataError: the family cannot be fitted at all.
            TrainingError: a worker was killed.
        """
        self._bury()
        grid: Grid | None = None
        limit = n_trials
        if self._identity.sampler == "grid":
            grid = Grid(space, self._n_grid, self._identity.seed)
            limit = min(n_trials, len(grid) + 1)
        while (done := len(self.outcomes)) < limit:
            self._study.sampler = self._sampler(done)
            batch = [self._ask(space, grid, done) for _ in range(min(jobs, limit - done))]
            try:
                self._judge(batch, pool, n_rounds, waiting)
            except BrokenProcessPool as error:
                raise TrainingError(
                    "a worker was killed, perhaps for want of memory; use fewer --jobs, or --set factors=…"
                ) from error
            told()

    def _bury(self) -> None:
        """Give up trials that were running when a search was killed: their like will be drawn again."""
        for trial in self._study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING), deepcopy=False):
            if trial.state is TrialState.WAITING:
                self._study.ask()
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _sampler(self, done: int) -> BaseSampler:
        """A sampler whose draws follow from the seed and the number of finished trials alone."""
        seed = int(np.random.SeedSequence([self._identity.seed, done]).generate_state(1)[0])
        if self._identity.sampler != "tpe":
            return RandomSampler(seed)
        with warnings.catch_warnings():
            # `group` lets trial 0 leave out what its family decides by the table.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(seed=seed, multivariate=True, group=True)

    def _ask(self, space: SearchSpace, grid: Grid | None, done: int) -> optuna.Trial:
        """A trial with its config chosen; the very first is the default recipe."""
        defaults = {
            name: default
            for name, dimension in space.dimensions.items()
            if (default := _default(self._identity.family, name, dimension)) in dimension
        }
        begun = done + len(self._study.get_trials(states=(TrialState.RUNNING,), deepcopy=False))
        if begun == 0:
            self._study.enqueue_trial(defaults, user_attrs={_DEFAULT: True})
        elif grid is not None:
            self._study.enqueue_trial(grid[begun - 1])
        trial = self._study.ask()
        of_default = bool(trial.user_attrs.get(_DEFAULT))
        config = dict(self._fixed)
        for name, dimension in space.dimensions.items():
            if of_default and name not in defaults:
                continue
            if not isinstance(dimension, Interval):
                config[name] = trial.suggest_categorical(name, dimension.values)
            elif dimension.integer:
                low, high = int(dimension.low), int(dimension.high)
                config[name] = trial.suggest_int(name, low, high, log=dimension.log)
            else:
                number = trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
                config[name] = dimension.rounded(number)
        trial.set_user_attr(_CONFIG, config)
        return trial

    def _judge(
        self,
        batch: list[optuna.Trial],
        pool: Executor,
        n_rounds: int,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Take the trials through the rounds in step, giving up the hopeless; then note what came out."""
        measure = MEASURES[self._identity.metric]
        sums = {trial.number: np.zeros(2) for trial in batch}
        values: dict[int, float] = {}
        running = list(batch)
        for number in range(n_rounds):
            futures = [
                pool.submit(judge_trial, self._identity.family, trial.user_attrs[_CONFIG], number)
                for trial in running
            ]
            with waiting():
                outcomes = [future.result() for future in futures]
            still = []
            for trial, judged in zip(running, outcomes, strict=True):
                sums[trial.number] += judged.numerator, judged.denominator
                value = float(measure.value(*sums[trial.number]))
                if not np.isfinite(value):
                    trial.set_user_attr(_PROBLEM, judged.problem or "the metric is no number")
                    continue
                trial.report(value, step=number)
                if number == n_rounds - 1:
                    values[trial.number] = value
                elif not trial.should_prune():
                    still.append(trial)
            running = still
        for trial in batch:
            if trial.number in values:
                self._study.tell(trial, values[trial.number])
            else:
                self._study.tell(trial, state=TrialState.PRUNED)


def _default(family: str, name: str, dimension: Dimension) -> object:
    """A family's default, or the nearest that the table allows; None where the family decides by it."""
    value = EVALUATED[family].config().model_dump(mode="json")[name]
    if isinstance(dimension, Interval) and value is not None:
        return min(max(value, dimension.low), dimension.high)
    return value["kind"] if isinstance(value, dict) else value


def _outcome(trial: optuna.trial.FrozenTrial) -> Outcome:
    reported = trial.intermediate_values
    value = trial.value if trial.value is not None else reported[max(reported)] if reported else float("nan")
    state: Literal["complete", "pruned", "failed"] = "pruned"
    if trial.state is TrialState.COMPLETE:
        state = "complete"
    elif _PROBLEM in trial.user_attrs:
        state = "failed"
    return Outcome(
        bool(trial.user_attrs.get(_DEFAULT)), trial.user_attrs[_CONFIG], value, state, dict(trial.params)
    )
