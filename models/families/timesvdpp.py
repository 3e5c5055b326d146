"""timeSVD++: SVD++ with item biases per time bin, and users whose bias drifts and moves by period.

What is trained and served of Koren's model: b_{i,Bin(t)}, b_u + α_u·dev_u(t) + b_{u,Period(t)} and z_u. The
drift of p_u is left out, because it did not lower the error of held-out ratings, and the users' scale c_u(t).
A user is served as of their last entry, an item as of the last bin.

Reference:
    Koren: Collaborative Filtering with Temporal Dynamics, KDD 2009, sec. 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from models.errors import DataError
from models.families.base import (
    FittedModel,
    LossWatch,
    check_cpu,
    check_factors,
    check_ratings,
    row_solutions,
    silent,
)
from models.families.sgd import (
    Entries,
    Rates,
    SGDConfig,
    descend,
    initial_parameters,
    item_rows,
)
from models.row_rules import BIN_BIASES, IMPLICIT_FACTORS, FixedSide, Periods, TimeSVDPPRule

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.row_solve import Rows
    from models.types import Float32Array, FloatArray, PointerArray


class TimeSVDPPConfig(SGDConfig):
    """Hyperparameters of timeSVD++."""

    implicit_regularization: float = Field(default=0.01, ge=0)
    """λ_z, of what a user's items say by themselves."""
    bins: int = Field(default=10, ge=1)
    """Time bins of an item's bias, of equal length over the table's span."""
    bin_regularization: float = Field(default=80, gt=0)
    """κ_i, the ridge of an item's bias in one bin."""
    drift_power: float = Field(default=0.4, gt=0, le=1)
    """β of dev_u(t) = γ·sign(t − t̄_u)·|t − t̄_u|^β, in days."""
    drift_scale: float = Field(default=0.3, gt=0)
    """γ; the larger, the further a user's bias may drift under the same λ."""
    period_seconds: int = Field(default=86_400, ge=1)
    """Length of the periods, counted from the epoch, in each of which a user has a bias; Koren: a day."""
    period_regularization: float = Field(default=10, gt=0)
    """κ_u, the ridge of a user's bias in one period."""


@dataclass(frozen=True, slots=True)
class TimeSVDPPModel(FittedModel):
    """A fitted timeSVD++, which predicts entries at their own times.

    Attributes:
        solutions: [p, b, α] of every user, float64, shape ``(n_users, d + 2)``.
        histories: the users' training entries.
    """

    rule: TimeSVDPPRule
    solutions: FloatArray
    histories: Rows

    def predict(self, entries: Rows) -> Float32Array:
        """r̂ of every entry at its own time, whose rows are the training set's: ``(n_entries,)``."""
        return self.rule.predict(self.solutions, self.histories, entries, self.items)


class TimeSVDPP:
    """timeSVD++ by SGD."""

    def __init__(self, config: TimeSVDPPConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("timesvdpp", device)
        check_ratings("timesvdpp", dataset)
        _timestamps(dataset)
        check_factors(self.config.factors, dataset.shape)

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
        device: Device = "cpu",
    ) -> TimeSVDPPModel:
        """Factorize; see `models.families.base.Family.fit`."""
        config = self.config
        self.check(dataset, device=device)
        timestamps = _timestamps(dataset)
        histories = dataset.histories
        rule = TimeSVDPPRule(
            global_mean=float(histories.values.mean(dtype=np.float64)),
            regularization=config.regularization,
            drift_power=config.drift_power,
            drift_scale=config.drift_scale,
            period_seconds=config.period_seconds,
            period_regularization=config.period_regularization,
            bin_edges=_equal_bins(timestamps, config.bins),
        )
        periods = Periods.of(histories, config.period_seconds)
        bins = histories.indices.astype(np.int64) * config.bins + rule.bins(timestamps)
        bin_sizes = np.bincount(bins)
        entries = Entries(
            histories.indptr,
            histories.indices,
            histories.values,
            drifts=rule.drift(timestamps, histories.row_numbers, histories),
            periods=periods.of_entry,
            period_ridges=(config.period_regularization / periods.sizes[periods.of_entry]).astype(np.float32),
            bins=bins,
            bin_ridges=(config.bin_regularization / bin_sizes[bins]).astype(np.float32),
        )
        parameters = initial_parameters(
            dataset.shape, config.factors, rng, n_periods=len(periods.sizes), n_bins=config.bins
        )
        rates = Rates(
            factors=np.float32(config.learning_rate),
            implicit=np.float32(config.learning_rate),
            biases=np.float32(config.bias_learning_rate),
            times=np.float32(config.bias_learning_rate),
            ridge=np.float32(config.regularization),
            implicit_ridge=np.float32(config.implicit_regularization),
        )
        watch = LossWatch(config.iterations, progress)
        losses = descend(entries, parameters, rates, config.decay, rng)
        for loss in islice(losses, config.iterations):
            watch.record(loss)
        rows = item_rows(parameters, dataset)
        bin_biases = parameters.bin_biases.reshape(-1, config.bins) + rows[:, -1:]
        rows[:, -1] = bin_biases[:, -1]
        items = FixedSide(rows, {IMPLICIT_FACTORS: parameters.implicit_factors, BIN_BIASES: bin_biases})
        solutions = row_solutions(rule, histories, items)
        vectors = rule.complete(solutions, histories, items).astype(np.float32)
        return TimeSVDPPModel(rule, vectors, items, watch.losses, solutions, histories)


def _timestamps(dataset: Dataset) -> PointerArray:
    """When the entries were.

    Raises:
        DataError: nobody knows.
    """
    if dataset.timestamps is None:
        raise DataError(
            "family timesvdpp needs to know when: name the table's --time-column, or use family svdpp"
        )
    return dataset.timestamps


def _equal_bins(times: PointerArray, n_bins: int) -> tuple[int, ...]:
    """The edges between bins of equal length, in seconds since the epoch."""
    return tuple(np.linspace(times.min(), times.max(), n_bins + 1)[1:-1].astype(np.int64).tolist())
