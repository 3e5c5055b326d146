"""What every family has in common: a config, a fit, and the shape of what a fit returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.errors import ConfigError, TrainingError
from models.row_solve.sweep import sweep

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.row_rules import FixedSide, RowRule
    from models.row_solve import Rows
    from models.types import Float32Array

Device: TypeAlias = Literal["cpu", "cuda"]

_EXPLODED = 1e3


class FamilyConfig(BaseModel):
    """Hyperparameters of a family: frozen, JSON-able, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Iteration:
    """Progress of a fit: one finished iteration."""

    number: int
    of: int
    loss: float
    seconds: float


Progress: TypeAlias = Callable[[Iteration], None]


def silent(_: Iteration) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The outcome of a fit: all that serving needs.

    Attributes:
        rule: the row problem's convention.
        user_factors: float32, shape ``(n_users, D)``; equal to the fold-in of each user's own history.
        items: the item side: float32 factors, shape ``(n_items, D)``, and BM25's norms if any.
        losses: the training loss after each iteration.
    """

    rule: RowRule
    user_factors: Float32Array
    items: FixedSide
    losses: list[float]


class Family(Protocol):
    """A family of factorizations."""

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
        device: Device = "cpu",
    ) -> FittedModel:
        """Factorize.

        Raises:
            DataError: the family cannot take this dataset; the message says why, before training starts.
            ConfigError: a hyperparameter does not fit this dataset.
            TrainingError: the loss became NaN or exploded.
        """
        ...


def check_factors(factors: int, dataset: Dataset, *, spare: int = 0) -> None:
    """Refuse more factors than the smaller side has rows, less `spare`.

    Raises:
        ConfigError: naming the largest value that works.
    """
    most = min(dataset.shape) - spare
    if most < 1:
        users, items = dataset.shape
        raise ConfigError(f"{users} users × {items} items are too few to factorize; use more data")
    if factors > most:
        users, items = dataset.shape
        raise ConfigError(
            f"factors={factors} is more than {users} users × {items} items can have; "
            f"use --set factors={most} or fewer, or more data"
        )


@dataclass(slots=True)
class LossWatch:
    """Keeps the losses, reports them, and stops a fit that goes wrong."""

    iterations: int
    progress: Progress
    losses: list[float] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)

    def record(self, loss: float) -> None:
        """Note the loss of the iteration that has just ended.

        Raises:
            TrainingError: it is NaN or infinite, or a thousand times what it was at first.
        """
        self.losses.append(loss)
        if not np.isfinite(loss) or loss > _EXPLODED * abs(self.losses[0]):
            raise TrainingError(
                f"the loss is {loss:.6g} after iteration {len(self.losses)} of {self.iterations} "
                f"(it was {self.losses[0]:.6g} after the first); raise the regularization, lower alpha, "
                "or check the table for extreme values"
            )
        self.progress(Iteration(len(self.losses), self.iterations, loss, time.perf_counter() - self._started))


def closing_sweep(rule: RowRule, histories: Rows, items: FixedSide) -> Float32Array:
    """Solve every user's row in float64 against the final item factors.

    Fits end here, so that stored user factors and the fold-in of the same history are the same numbers.
    """
    solution = sweep(histories, rule.design(items.factors).astype(np.float64), rule.problem(histories, items))
    return rule.complete(solution, histories).astype(np.float32)
