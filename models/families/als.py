"""ALS for explicit feedback: r ≈ μ + b_u + b_i + p_u·q_i.

Minimizes Σ (r − μ − b_u − b_i − p_u·q_i)² over the observed entries, plus λ(|p_u|² + b_u²) and
λ(|q_i|² + b_i²) for every row, each times the number of the row's entries where the ridge is `frequency`.
A row's bias is one more coordinate of its factors, so both half-steps are the plain row problem.

References:
    Zhou, Wilkinson, Schreiber, Pan: Large-Scale Parallel Collaborative Filtering for the Netflix Prize,
    AAIM 2008.
    Koren, Bell, Volinsky: Matrix Factorization Techniques for Recommender Systems, IEEE Computer 2009.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from models.families.base import (
    FamilyConfig,
    FittedModel,
    LossWatch,
    check_cpu,
    check_factors,
    check_ratings,
    closing_sweep,
    silent,
)
from models.metrics import predict_entries
from models.row_rules import ExplicitRule, FixedSide
from models.row_solve.sweep import sweep

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.row_solve import Rows
    from models.types import Float32Array

_INITIAL_SCALE = 0.1


class ALSConfig(FamilyConfig):
    """Hyperparameters of explicit ALS."""

    factors: int = Field(default=60, ge=1)
    """d, the length of a factor row without its bias."""
    regularization: float = Field(default=0.12, gt=0)
    """λ."""
    ridge: Literal["constant", "frequency"] = "frequency"
    """Whether a row's ridge is λ, or λ times the number of its entries."""
    iterations: int = Field(default=15, ge=1)
    """Pairs of half-steps, users then items."""


class ALS:
    """Explicit-feedback ALS with biases."""

    def __init__(self, config: ALSConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("als", device)
        check_ratings("als", dataset)
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
        users = dataset.histories
        items = users.transposed(dataset.shape[1])
        rule = ExplicitRule(
            global_mean=float(users.values.mean(dtype=np.float64)),
            regularization=config.regularization,
            ridge=config.ridge,
        )
        scale = _INITIAL_SCALE / np.sqrt(config.factors)
        item_factors = rng.normal(0, scale, (dataset.shape[1], config.factors + 1)).astype(np.float32)
        item_factors[:, -1] = 0
        watch = LossWatch(config.iterations, progress)
        for _ in range(config.iterations):
            user_factors = _half_step(rule, users, item_factors)
            item_factors = _half_step(rule, items, user_factors)
            watch.record(_loss(rule, users, user_factors, item_factors))
        fixed = FixedSide(item_factors)
        return FittedModel(rule, closing_sweep(rule, users, fixed), fixed, watch.losses)


def _half_step(rule: ExplicitRule, rows: Rows, other: Float32Array) -> Float32Array:
    side = FixedSide(other)
    return sweep(rows, rule.design(side), rule.problem(rows, side)).astype(np.float32, copy=False)


def _loss(rule: ExplicitRule, users: Rows, user_factors: Float32Array, item_factors: Float32Array) -> float:
    """The mean squared error on the training entries; the ridge is left out, so it reads as RMSE²."""
    predicted = rule.global_mean + predict_entries(user_factors, item_factors, users, biased=True)
    return float(np.mean((predicted - users.values) ** 2, dtype=np.float64))
