"""iALS: implicit feedback with confidence weights, trained by the `implicit` package.

Minimizes Σ_ui max(|c_ui|, 1 if unobserved)·(x_ui − p_u·q_i)² + λ(Σ_u |p_u|² + Σ_i |q_i|²), with preference
x = 1 for c > 0 and 0 otherwise. The last half-step, over users, is our own.

References:
    Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008.
    Takács, Pilászy, Tikk: Applications of the Conjugate Gradient Method for Implicit Feedback
    Collaborative Filtering, RecSys 2011 (the trainer's inner solver).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import implicit.gpu
import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from pydantic import Field, field_validator
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from models.errors import ConfigError, DataError, TrainingError
from models.families.base import FamilyConfig, FittedModel, LossWatch, check_factors, closing_sweep, silent
from models.row_rules import BM25Weighting, FixedSide, ImplicitRule, LinearWeighting, Weighting
from models.row_rules.weighting import LENGTH_NORM

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress


class IALSConfig(FamilyConfig):
    """Hyperparameters of iALS."""

    factors: int = Field(default=64, ge=1)
    """d, the length of a factor row."""
    regularization: float = Field(default=30.0, gt=0)
    """λ, the same for every row."""
    alpha: float = Field(default=1.0, gt=0)
    """α, what a weighted interaction is worth against one unobserved entry."""
    iterations: int = Field(default=15, ge=1)
    """Pairs of half-steps, users then items."""
    weighting: Weighting = LinearWeighting()
    """How values become confidence: `linear`, `log` or `bm25`, by name or with their own parameters."""

    @field_validator("weighting", mode="before")
    @classmethod
    def _by_name(cls, weighting: object) -> object:
        return {"kind": weighting} if isinstance(weighting, str) else weighting


class IALS:
    """Implicit-feedback ALS."""

    def __init__(self, config: IALSConfig) -> None:
        self.config = config

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
        if device == "cuda" and not implicit.gpu.HAS_CUDA:
            raise ConfigError(
                "device cuda was asked for, but `implicit` finds no CUDA here; use --device cpu"
            )
        check_factors(config.factors, dataset)
        rule = ImplicitRule(
            alpha=config.alpha, regularization=config.regularization, weighting=config.weighting
        )
        histories = dataset.histories
        arrays = {}
        if isinstance(config.weighting, BM25Weighting):
            sums = np.bincount(histories.indices, np.abs(histories.values), minlength=dataset.shape[1])
            arrays[LENGTH_NORM] = config.weighting.length_norms(sums.astype(np.float64))
        # The weighting looks only at the number of items, so factors that do not exist yet are not needed.
        unfitted = FixedSide(np.empty((dataset.shape[1], 0), dtype=np.float32), arrays)
        confidence = rule.confidence(histories, unfitted)
        if not confidence.any():
            raise DataError(
                f"{config.weighting.kind} weighting gives every interaction the confidence 0 "
                "(bm25: every user has every item); use another --set weighting=…, or more data"
            )

        watch = LossWatch(config.iterations, progress)
        try:
            with threadpool_limits(limits=1, user_api="blas"):
                trainer = AlternatingLeastSquares(
                    factors=config.factors,
                    regularization=config.regularization,
                    alpha=1.0,  # the confidence above holds it already
                    iterations=config.iterations,
                    calculate_training_loss=True,
                    use_gpu=device == "cuda",
                    random_state=int(rng.integers(2**31)),
                )
                trainer.fit(
                    csr_matrix((confidence, histories.indices, histories.indptr), shape=dataset.shape),
                    show_progress=False,
                    callback=lambda _iteration, _seconds, loss: watch.record(float(loss)),
                )
        except ModelFitError as error:
            raise TrainingError(f"the factors became NaN ({error}); raise the regularization") from error
        factors = trainer.item_factors if device == "cpu" else trainer.item_factors.to_numpy()
        items = FixedSide(np.array(factors, dtype=np.float32, order="C"), arrays)
        # What nobody likes has the solution 0. The trainer's conjugate gradients leave a rest of 1e-12, whose
        # direction would be taken for a meaning by whoever looks for similar items.
        liked = np.bincount(histories.indices[confidence > 0], minlength=dataset.shape[1])
        items.factors[liked == 0] = 0
        return FittedModel(rule, closing_sweep(rule, histories, items), items, watch.losses)
