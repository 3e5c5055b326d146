"""The two objectives of Spark MLlib's ALS, fitted on this machine; `models.engines.spark` has Spark fit them.

`spark_ials` minimizes, over every cell of the table, with confidence c = 1 + α·abs(r) and preference x = 1
for r > 0 and 0 otherwise (r = 0 where nothing was observed),

    Σ_ui c_ui(x_ui − p_u·q_i)² + λ(Σ_u n_u|p_u|² + Σ_i n_i|q_i|²),    n: positive entries of the row

and `spark_als`, over the observed entries,

    Σ_ui (r_ui − p_u·q_i)² + λ(Σ_u n_u|p_u|² + Σ_i n_i|q_i|²),        n: entries of the row

Like Spark's, a fit begins with users of random direction and length 1, and solves items first.

References:
    Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008.
    Zhou, Wilkinson, Schreiber, Pan: Large-Scale Parallel Collaborative Filtering for the Netflix Prize,
    AAIM 2008.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from models.errors import DataError
from models.families.base import (
    FamilyConfig,
    FittedModel,
    LossWatch,
    check_cpu,
    check_factors,
    check_not_all_zero,
    check_ratings,
    closing_sweep,
    silent,
)
from models.row_rules import FixedSide, SparkExplicitRule, SparkImplicitRule
from models.row_solve import gram_matrix
from models.row_solve.conjugate_gradients import observed_scores
from models.row_solve.sweep import sweep

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.row_solve import RowProblem, Rows
    from models.types import Float32Array


class SparkALSConfig(FamilyConfig):
    """Hyperparameters of Spark's ALS on ratings."""

    factors: int = Field(default=20, ge=1)
    """d, the length of a factor row; Spark's `rank`."""
    regularization: float = Field(default=0.1, gt=0)
    """λ, times the number of the row's entries; Spark's `regParam`."""
    iterations: int = Field(default=15, ge=1)
    """Pairs of half-steps, items then users; Spark's `maxIter`."""


class SparkIALSConfig(FamilyConfig):
    """Hyperparameters of Spark's ALS on implicit feedback."""

    factors: int = Field(default=64, ge=1)
    """d, the length of a factor row; Spark's `rank`."""
    regularization: float = Field(default=0.1, gt=0)
    """λ, times the number of the row's positive entries; Spark's `regParam`."""
    alpha: float = Field(default=1.0, gt=0)
    """α, what a value of 1 adds to the confidence 1 of an unobserved cell; Spark's `alpha`."""
    iterations: int = Field(default=15, ge=1)
    """Pairs of half-steps, items then users; Spark's `maxIter`."""


class _SparkMLlib:
    """What both objectives have in common."""

    config: SparkALSConfig | SparkIALSConfig

    @property
    @abstractmethod
    def rule(self) -> SparkImplicitRule | SparkExplicitRule:
        """The convention of the rows, of users and of items alike."""

    @abstractmethod
    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
        device: Device = "cpu",
    ) -> FittedModel:
        """Factorize; see `models.families.base.Family.fit`."""
        self.check(dataset, device=device)
        config, rule = self.config, self.rule
        users = dataset.histories
        items = users.transposed(dataset.shape[1])
        directions = rng.normal(size=(dataset.shape[0], config.factors))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        user_factors = directions.astype(np.float32)
        watch = LossWatch(config.iterations, progress)
        for _ in range(config.iterations):
            item_factors, of_items = _half_step(rule, items, user_factors)
            user_factors, of_users = _half_step(rule, users, item_factors)
            watch.record(_loss(users, (of_users, user_factors), (of_items, item_factors)))
        fixed = FixedSide(item_factors)
        return FittedModel(rule, closing_sweep(rule, users, fixed), fixed, watch.losses)


class SparkALS(_SparkMLlib):
    """Spark's ALS on ratings, without biases."""

    def __init__(self, config: SparkALSConfig) -> None:
        self.config: SparkALSConfig = config

    @property
    def rule(self) -> SparkExplicitRule:
        """The convention of the rows, of users and of items alike."""
        return SparkExplicitRule(regularization=self.config.regularization)

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("spark_als", device)
        check_ratings("spark_als", dataset)
        check_factors(self.config.factors, dataset.shape)


class SparkIALS(_SparkMLlib):
    """Spark's ALS on implicit feedback."""

    def __init__(self, config: SparkIALSConfig) -> None:
        self.config: SparkIALSConfig = config

    @property
    def rule(self) -> SparkImplicitRule:
        """The convention of the rows, of users and of items alike."""
        return SparkImplicitRule(alpha=self.config.alpha, regularization=self.config.regularization)

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("spark_ials", device)
        check_not_all_zero("spark_ials", dataset)
        check_factors(self.config.factors, dataset.shape)
        if not dataset.histories.values.max() > 0:
            raise DataError(
                "no value is positive, and negative values are dislikes: there is nothing to recommend; "
                "name another --value-column"
            )


def _half_step(
    rule: SparkImplicitRule | SparkExplicitRule, rows: Rows, other: Float32Array
) -> tuple[Float32Array, RowProblem]:
    """The rows' factors, and the problem that they solve."""
    problem = rule.problem(rows, FixedSide(other))
    return sweep(rows, other, problem).astype(np.float32, copy=False), problem


def _loss(
    entries: Rows, users: tuple[RowProblem, Float32Array], items: tuple[RowProblem, Float32Array]
) -> float:
    """The objective over that of all factors 0: 1 is a model that knows nothing."""
    (of_users, user_factors), (_, item_factors) = users, items
    scores = observed_scores(entries, item_factors, user_factors).astype(np.float64)
    targets = of_users.targets.astype(np.float64)
    # Σ c(x − s)² at s = 0 is Σ t²/c, as t = c·x and c = g + w.
    weights = of_users.gram_weight + of_users.weights.astype(np.float64)
    at_zero = float(np.sum(targets**2 / weights))
    loss = at_zero + of_users.weights @ scores**2 - 2 * (targets @ scores)
    if of_users.gram_weight:
        loss += float(np.sum(gram_matrix(user_factors) * gram_matrix(item_factors)))
    for problem, factors in users, items:
        loss += float(problem.ridge @ np.einsum("nd,nd->n", factors, factors, dtype=np.float64))
    return float(loss / at_zero)
