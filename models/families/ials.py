"""iALS: implicit feedback with a weight on the unobserved and a ridge that grows with a row's entries.

Minimizes, with scores s_ui = p_u·q_i over all cells and confidence c over the observed ones,

    α₀ Σ_ui s_ui² + Σ_observed |c_ui|(x_ui − s_ui)² + λ(Σ_u (α₀·N + n_u)^ν |p_u|² + Σ_i (α₀·M + n_i)^ν |q_i|²)

for M users and N items, preference x = 1 for c > 0 and 0 otherwise. Confidence is scaled to the mean 1, so
that α₀ is what an unobserved cell is worth against an average observed one. Half-steps are a few conjugate
gradients for every row; the last one, over users, is exact.

References:
    Rendle, Krichene, Zhang, Koren: Revisiting the Performance of iALS on Item Recommendation Benchmarks,
    RecSys 2022 (arXiv 2110.14037).
    Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008.
    Takács, Pilászy, Tikk: Applications of the Conjugate Gradient Method for Implicit Feedback
    Collaborative Filtering, RecSys 2011.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from models.errors import ConfigError
from models.families.base import (
    FamilyConfig,
    FittedModel,
    LossWatch,
    check_factors,
    check_not_all_zero,
    closing_sweep,
    silent,
)
from models.families.confidence import NamedWeighting, confidence, item_arrays, unliked
from models.principal_axes import in_principal_axes
from models.row_rules import FixedSide, LinearWeighting, UnobservedRule
from models.row_solve import gram_matrix
from models.row_solve.conjugate_gradients import descend, observed_scores

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.row_solve import RowProblem, Rows
    from models.types import Float32Array, FloatArray

_INITIAL_SCALE = 0.1
_UNOBSERVED_SCALE = 1.5


class IALSConfig(FamilyConfig):
    """Hyperparameters of iALS."""

    factors: int = Field(default=64, ge=1)
    """d, the length of a factor row."""
    regularization: float = Field(default=6.0, gt=0)
    """How strong the ridge is, in the unit that `ridge` says."""
    ridge: Literal["relative", "absolute"] = "relative"
    """`relative`: λ is such that √(mean ridge of users · mean ridge of items) is `regularization`, which
    suits tables of any size. `absolute`: λ is `regularization`, as papers give it."""
    ridge_exponent: float = Field(default=1.0, ge=0)
    """ν: how a row's ridge grows with its entries. 0: the same ridge for every row."""
    unobserved_weight: float | None = Field(default=None, gt=0)
    """α₀; None: 1.5·√(share of the cells that are observed)."""
    iterations: int = Field(default=15, ge=1)
    """Pairs of half-steps, users then items."""
    weighting: NamedWeighting = LinearWeighting()
    """How values become confidence: `linear`, `log` or `bm25`, by name or with their own parameters."""


class IALS:
    """Implicit-feedback ALS."""

    def __init__(self, config: IALSConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        if device != "cpu":
            raise ConfigError(
                f"family ials trains on the CPU only; use --device cpu instead of {device}, or "
                "--family ials_implicit, which the `implicit` package trains"
            )
        check_not_all_zero("ials", dataset)
        check_factors(self.config.factors, dataset.shape)
        self._weighed(dataset)

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
        arrays, weighed = self._weighed(dataset)
        rule = self._rule(dataset, 1 / float(np.abs(weighed).mean(dtype=np.float64)))
        signed = rule.scaled(weighed)
        users = _Side.of(
            rule, replace(dataset.histories, values=signed), dataset.shape[1], config.factors, rng
        )
        items = _Side.of(rule, users.rows.transposed(dataset.shape[1]), dataset.shape[0], config.factors, rng)
        watch = LossWatch(config.iterations, progress)
        for _ in range(config.iterations):
            descend(users.rows, items.factors, users.problem, users.factors)
            descend(items.rows, users.factors, items.problem, items.factors)
            watch.record(_loss(users, items))
        items.factors[unliked(dataset, signed)] = 0
        fixed = FixedSide(in_principal_axes(items.factors), arrays)
        return FittedModel(rule, closing_sweep(rule, dataset.histories, fixed), fixed, watch.losses)

    def _weighed(self, dataset: Dataset) -> tuple[dict[str, FloatArray], Float32Array]:
        """What the weighting looks up per item, and the weighted values."""
        weighting = self.config.weighting
        arrays = item_arrays(dataset, weighting)
        return arrays, confidence(dataset, weighting, weighting, arrays)

    def _rule(self, dataset: Dataset, confidence_scale: float) -> UnobservedRule:
        config = self.config
        n_users, n_items = dataset.shape
        alpha_0, nu = config.unobserved_weight, config.ridge_exponent
        if alpha_0 is None:
            alpha_0 = float(_UNOBSERVED_SCALE * np.sqrt(len(dataset.histories.indices) / (n_users * n_items)))
        regularization = config.regularization
        if config.ridge == "relative":
            of_users = np.mean((alpha_0 * n_items + dataset.histories.lengths) ** nu)
            of_items = np.mean((alpha_0 * n_users + dataset.popularity()) ** nu)
            regularization /= float(np.sqrt(of_users * of_items))
        return UnobservedRule(
            unobserved_weight=alpha_0,
            regularization=regularization,
            ridge_exponent=nu,
            confidence_scale=confidence_scale,
            weighting=config.weighting,
        )


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the table: its entries with confidence for values, its row problems, its factors."""

    rows: Rows
    problem: RowProblem
    factors: Float32Array

    @classmethod
    def of(
        cls, rule: UnobservedRule, rows: Rows, n_fixed: int, n_factors: int, rng: np.random.Generator
    ) -> _Side:
        """With random factors of standard deviation 0.1/√d, as in the paper."""
        scale = _INITIAL_SCALE / np.sqrt(n_factors)
        return cls(
            rows,
            rule.problem_of(rows.values, rows.lengths, n_fixed),
            rng.normal(0, scale, (len(rows), n_factors)).astype(np.float32),
        )

    @property
    def penalty(self) -> float:
        """Σ ρ·|p|²."""
        return float(self.problem.ridge @ np.einsum("nd,nd->n", self.factors, self.factors, dtype=np.float64))


def _loss(users: _Side, items: _Side) -> float:
    """The objective over that of all factors 0: 1 is a model that knows nothing."""
    scores = observed_scores(users.rows, items.factors, users.factors).astype(np.float64)
    weights, targets = users.problem.weights, users.problem.targets
    observed = weights @ scores**2 - 2 * (targets @ scores) + targets.sum(dtype=np.float64)
    unobserved = users.problem.gram_weight * np.sum(gram_matrix(users.factors) * gram_matrix(items.factors))
    penalty = users.penalty + items.penalty
    return float((observed + unobserved + penalty) / targets.sum(dtype=np.float64))
