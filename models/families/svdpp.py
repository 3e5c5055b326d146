"""SVD++: r ≈ μ + b_u + b_i + q_i·(p_u + z_u), where z_u comes from which items a user has rated.

Reference:
    Koren: Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model,
    KDD 2008, eq. 15.
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
from models.row_rules import IMPLICIT_FACTORS, FixedSide, SVDPPRule

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress


class SVDPPConfig(SGDConfig):
    """Hyperparameters of SVD++."""

    implicit_regularization: float = Field(default=0.01, ge=0)
    """λ_z, of what a user's items say by themselves."""


class SVDPP:
    """SVD++ by SGD."""

    def __init__(self, config: SVDPPConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("svdpp", device)
        check_ratings("svdpp", dataset)
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
        parameters = initial_parameters(dataset.shape, config.factors, rng)
        rates = Rates(
            factors=np.float32(config.learning_rate),
            implicit=np.float32(config.learning_rate),
            biases=np.float32(config.bias_learning_rate),
            times=np.float32(0),
            ridge=np.float32(config.regularization),
            implicit_ridge=np.float32(config.implicit_regularization),
        )
        watch = LossWatch(config.iterations, progress)
        losses = descend(untimed_entries(dataset), parameters, rates, config.decay, rng)
        for loss in islice(losses, config.iterations):
            watch.record(loss)
        rule = SVDPPRule(
            global_mean=float(dataset.histories.values.mean(dtype=np.float64)),
            regularization=config.regularization,
        )
        items = FixedSide(item_rows(parameters, dataset), {IMPLICIT_FACTORS: parameters.implicit_factors})
        return FittedModel(rule, closing_sweep(rule, dataset.histories, items), items, watch.losses)
