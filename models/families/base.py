"""What every family has in common: a config, a fit, and the shape of what a fit returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.errors import ConfigError, DataError, TrainingError
from models.metrics import predict_entries
from models.row_rules import KLRule
from models.row_solve import Rows
from models.row_solve.kl_sweep import kl_sweep
from models.row_solve.sweep import sweep

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.row_rules import FixedSide, RowRule, Rule
    from models.types import Float32Array, Float64Array, RowArray

Device: TypeAlias = Literal["cpu", "cuda"]

_EXPLODED = 1e3
_ENTRIES_PER_BLOCK = 100_000
"""Entries whose own rows of a design are held at once."""


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
        items: the item side: float32 factors, shape ``(n_items, D)``, and what else the rule looks up.
        losses: the training loss after each iteration.
    """

    rule: RowRule
    user_factors: Float32Array
    items: FixedSide
    losses: list[float]

    @property
    def predicts_values(self) -> bool:
        """Whether `predict` means the value, rather than a preference."""
        return self.rule.predicts_values

    def score_users(self, users: RowArray) -> Float32Array:
        """What ranks the items for users of the training set: shape ``(len(users), n_items)``."""
        return self._scores(self.user_factors[users])

    def score_histories(self, histories: Rows) -> Float32Array:
        """What ranks the items for people never seen, folded in: shape ``(len(histories), n_items)``."""
        return self._scores(closing_sweep(self.rule, histories, self.items))

    def predict(self, entries: Rows) -> Float32Array:
        """μ + b_u + b_i + p_u·q_i of every entry, whose rows are the training set's: ``(n_entries,)``."""
        inner = predict_entries(self.user_factors, self.items.factors, entries, biased=self.rule.biased)
        return inner + np.float32(self.rule.global_mean)

    def item_vectors(self) -> Float32Array:
        """What items are compared by, as a view: float32, shape ``(n_items, d)``."""
        return self.rule.without_bias(self.items.factors)

    def _scores(self, vectors: Float32Array) -> Float32Array:
        return self.rule.query(vectors) @ self.items.factors.T


class Family(Protocol):
    """A family of factorizations."""

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse what `fit` would refuse before it trains.

        Raises:
            DataError: the family cannot take this dataset.
            ConfigError: a hyperparameter or the device does not fit this dataset or machine.
        """
        ...

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
            DataError, ConfigError: see `check`; nothing has been trained then.
            TrainingError: the loss became NaN or exploded.
        """
        ...


def check_cpu(family: str, device: Device) -> None:
    """Refuse another device than the CPU.

    Raises:
        ConfigError: it is another.
    """
    if device != "cpu":
        raise ConfigError(f"family {family} trains on the CPU only; use --device cpu instead of {device}")


def check_ratings(family: str, dataset: Dataset) -> None:
    """Refuse a table without ratings, or with nothing to tell them apart by.

    Raises:
        DataError: there are no values, or all are equal.
    """
    if not dataset.has_values:
        raise DataError(
            f"family {family} needs ratings: name their column with --value-column, or use family ials"
        )
    values = dataset.histories.values
    if values.min() == values.max():
        raise DataError(
            f"all {len(values)} ratings are {values[0]:g}, which leaves family {family} nothing to learn; "
            "name another --value-column, or use family ials"
        )


def check_not_all_zero(family: str, dataset: Dataset) -> None:
    """Refuse a table whose values are all 0, which reads as if nothing had happened.

    Raises:
        DataError: all are 0.
    """
    if not dataset.histories.values.any():
        raise DataError(
            f"family {family} finds only values of 0; name another --value-column, or leave it out, so that "
            "every interaction counts 1"
        )


def check_factors(factors: int, shape: tuple[int, int], *, spare: int = 0) -> None:
    """Refuse a table that is too small, and more factors than its smaller side has rows, less `spare`.

    Raises:
        DataError: there is only one user or one item with interactions.
        ConfigError: too many factors; names the largest number that works.
    """
    users, items = shape
    if min(users, items) < 2:
        raise DataError(
            f"{users} × {items} (users × items with interactions) are too few to factorize: it takes two of "
            "each; use more data, or family popularity"
        )
    most = min(users, items) - spare
    if factors > most:
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
                f"(it was {self.losses[0]:.6g} after the first); raise the regularization, lower alpha or "
                "the learning rate, or check the table for extreme values"
            )
        self.progress(Iteration(len(self.losses), self.iterations, loss, time.perf_counter() - self._started))


def closing_sweep(rule: RowRule, histories: Rows, items: FixedSide) -> Float32Array:
    """Solve every user's row in float64 against the final item factors.

    Fits end here, so that stored user factors and the fold-in of the same history are the same numbers.
    """
    if isinstance(rule, KLRule):
        return kl_sweep(histories, items.factors).astype(np.float32)
    return rule.complete(row_solutions(rule, histories, items), histories, items).astype(np.float32)


def row_solutions(rule: Rule, histories: Rows, items: FixedSide) -> Float64Array:
    """The solution of every row's problem, before it is completed: float64, shape ``(n_rows, d)``."""
    if not rule.timed:
        return _solutions(rule, histories, rule.design(items).astype(np.float64), histories, items)
    users = np.arange(len(histories), dtype=np.int32)
    n_blocks = 1 + len(histories.indices) // _ENTRIES_PER_BLOCK
    blocks = [histories.select(block) for block in np.array_split(users, n_blocks)]
    return np.concatenate([_solutions_by_entry(rule, block, items) for block in blocks])


def _solutions_by_entry(rule: Rule, histories: Rows, items: FixedSide) -> Float64Array:
    """The sweep with a row of the design for every entry."""
    numbered = Rows(
        histories.indptr, np.arange(len(histories.indices), dtype=np.int32), histories.values, histories.times
    )
    return _solutions(rule, numbered, rule.observed(histories, items).astype(np.float64), histories, items)


def _solutions(
    rule: Rule, entries: Rows, design: Float64Array, histories: Rows, items: FixedSide
) -> Float64Array:
    return np.asarray(sweep(entries, design, rule.problem(histories, items)), dtype=np.float64)
