"""Funk's SVD: r ≈ μ + b_u + b_i + p_u·q_i by stochastic gradient descent, stopped early.

A random share of the entries is set aside; passes go on until its error has not fallen for `patience` of
them. The model is then trained again on all entries for the best number of passes: no rating is lost, and the
number of passes is the only thing taken from the validation split.

References:
    Funk: Netflix Update: Try This at Home, 2006.
    Koren, Bell, Volinsky: Matrix Factorization Techniques for Recommender Systems, IEEE Computer 2009.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from models.families.base import (
    FittedModel,
    LossWatch,
    check_cpu,
    check_factors,
    check_ratings,
    closing_sweep,
    silent,
)
from models.families.sgd import (
    Rates,
    SGDConfig,
    descend,
    initial_parameters,
    item_rows,
    untimed_entries,
)
from models.metrics import predict_entries, root_mean_squared_error
from models.row_rules import ExplicitRule, FixedSide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.families.sgd import Parameters


class FunkSVDConfig(SGDConfig):
    """Hyperparameters of Funk's SVD."""

    iterations: int = Field(default=100, ge=1)
    """The most passes over the entries; without a validation split, their number."""
    learning_rate: float = Field(default=0.02, gt=0)
    """η of the first pass, for the factors."""
    bias_learning_rate: float = Field(default=0.01, gt=0)
    """η of the first pass, for the biases."""
    decay: float = Field(default=0.97, gt=0, le=1)
    """What the learning rates are multiplied with after each pass."""
    regularization: float = Field(default=0.08, gt=0)
    """λ; the ridge of a row of n entries is λ·n."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the entries that decides when to stop; 0 trains for all iterations."""
    patience: int = Field(default=10, ge=1)
    """Passes without a lower validation error after which to stop."""


class FunkSVD:
    """Biased matrix factorization by SGD."""

    def __init__(self, config: FunkSVDConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("funk_svd", device)
        check_ratings("funk_svd", dataset)
        check_factors(self.config.factors, dataset.shape)

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
        device: Device = "cpu",
    ) -> FittedModel:
        """Factorize; see `models.families.base.Family.fit`."""
        config = self.config
        self.check(dataset, device=device)
        iterations = self._best_iterations(dataset, rng)
        watch = LossWatch(iterations, progress)
        parameters, losses = self._descent(dataset, rng)
        for loss in islice(losses, iterations):
            watch.record(loss)
        rule = ExplicitRule(
            global_mean=float(dataset.histories.values.mean(dtype=np.float64)),
            regularization=config.regularization,
            ridge="frequency",
        )
        items = FixedSide(item_rows(parameters, dataset))
        return FittedModel(rule, closing_sweep(rule, dataset.histories, items), items, watch.losses)

    def _descent(self, dataset: Dataset, rng: np.random.Generator) -> tuple[Parameters, Iterator[float]]:
        config = self.config
        parameters = initial_parameters(dataset.shape, config.factors, rng)
        rates = Rates(
            factors=np.float32(config.learning_rate),
            implicit=np.float32(0),
            biases=np.float32(config.bias_learning_rate),
            times=np.float32(0),
            ridge=np.float32(config.regularization),
            implicit_ridge=np.float32(0),
        )
        return parameters, descend(untimed_entries(dataset), parameters, rates, config.decay, rng)

    def _best_iterations(self, dataset: Dataset, rng: np.random.Generator) -> int:
        """The number of passes after which the validation error was lowest."""
        config = self.config
        held_out = rng.random(len(dataset.histories.values)) < config.validation_share
        if held_out.all() or not held_out.any():
            return config.iterations
        training, hidden = dataset.with_entries(~held_out), dataset.with_entries(held_out).histories
        mean = training.histories.values.mean(dtype=np.float64)
        parameters, losses = self._descent(training, rng)
        least, best = np.inf, 1
        for iteration, _ in enumerate(islice(losses, config.iterations), start=1):
            users = np.column_stack([parameters.user_factors, parameters.user_biases])
            predicted = mean + predict_entries(users, item_rows(parameters, training), hidden, biased=True)
            error = root_mean_squared_error(predicted, hidden.values)
            if error < least:
                least, best = error, iteration
            elif not iteration < best + config.patience:
                break
        return best
