"""Trials: how good hyperparameters are on inner splits of what may be learnt from, judged by workers.

What a search decides by is never what its outcome is reported on: the outer split's hidden part is set aside
first, and trials are judged on rounds made of the rest (nested validation; Cawley and Talbot 2010).
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from models.errors import ConfigError, TrainingError
from models.evaluation.judge import judge
from models.evaluation.protocols import Split
from models.registry import EVALUATED, configure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from multiprocessing.connection import Connection

    from models.dataset import Dataset
    from models.evaluation.protocols import Round, SplitDefinition


@dataclass(frozen=True, slots=True)
class Judging:
    """How trials are judged.

    Attributes:
        training: what may be learnt from: the outer split's training set.
        definition: the protocol, as of the outer split; the inner rounds have seeds of their own.
        most_rounds: fits of one trial; a protocol that is not random has only one.
        metric: name of a measure.
        k: length of the lists.
        seed: of the fits.
    """

    training: Dataset
    definition: SplitDefinition
    most_rounds: int
    metric: str
    k: int
    seed: int

    @property
    def n_rounds(self) -> int:
        """Fits of one trial."""
        match self.definition.name:
            case "folds":
                return min(self.most_rounds, self.definition.folds)
            case "strong" | "cold-items":
                return self.most_rounds
            case "leave-k-out" if self.definition.leave_by == "random":
                return self.most_rounds
            case _:
                return 1

    def rounds(self) -> Iterator[Round]:
        """The inner rounds.

        Raises:
            DataError: what may be learnt from does not allow the protocol once more.
        """
        first_seed = self.definition.seed + 1
        if self.definition.name == "folds":
            yield from Split(self.training, self._seeded(first_seed), first=self.n_rounds).rounds()
        else:
            for number in range(self.n_rounds):
                yield from Split(self.training, self._seeded(first_seed + number)).rounds()

    def _seeded(self, seed: int) -> SplitDefinition:
        return self.definition.model_copy(update={"seed": seed})


@dataclass(frozen=True, slots=True)
class Judged:
    """What one round of a trial came to: the metric is a function of the ratio, which adds up over rounds."""

    numerator: float
    denominator: float
    problem: str | None = None
    """Why there is none, where the fit went wrong."""


class _Bench:
    """What a worker keeps between trials."""

    judging: Judging
    rounds: tuple[Round, ...]


@contextmanager
def workers(judging: Judging, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that judge trials, each with its share of the cores.

    They end with this process, and at once, in the middle of a fit, when the context is left by an exception.

    Raises:
        ConfigError: there are fewer cores than jobs.
    """
    cores = len(os.sched_getaffinity(0))
    if not 1 <= jobs <= cores:
        raise ConfigError(f"--jobs {jobs}: there are {cores} cores; use --jobs between 1 and {cores}")
    context = get_context("spawn")
    ended, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_prepare, initargs=(judging, cores // jobs, ended)
    )
    try:
        # Workers are started at what they are first given to do. Ctrl-C is for this process alone, from a
        # worker's first moment on: it inherits the mask.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(jobs):
                pool.submit(_started)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield pool
    except BaseException:
        held.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        held.close()
        ended.close()


def judge_trial(family: str, hyperparameters: Mapping[str, Any], number: int) -> Judged:
    """Fit and judge hyperparameters on one inner round; called in a worker.

    Raises:
        ConfigError, DataError: the family cannot be fitted at all.
    """
    judging, inner = _Bench.judging, _Bench.rounds[number]
    made = EVALUATED[family].make(configure(family, hyperparameters))
    try:
        model = made.fit(inner.training, rng=np.random.default_rng(judging.seed))
    except TrainingError as error:
        return Judged(np.nan, np.nan, str(error))
    numerator, denominator = judge(model, inner, judging.k).parts[judging.metric]
    return Judged(float(numerator.sum()), float(denominator.sum()))


def _prepare(judging: Judging, threads: int, ended: Connection) -> None:
    threading.Thread(target=_end_with, args=(ended,), daemon=True).start()
    numba.set_num_threads(threads)
    threadpool_limits(threads)
    _Bench.judging = judging
    _Bench.rounds = tuple(judging.rounds())


def _started() -> None:
    """Nothing: a worker is there."""


def _end_with(ended: Connection) -> None:
    """End this worker when nobody holds the pipe's other end: closed, or its process was killed."""
    wait([ended])
    os._exit(1)
