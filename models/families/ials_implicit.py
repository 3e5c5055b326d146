"""iALS as the `implicit` package trains it: the constant objective of Hu, Koren and Volinsky, also on a GPU.

Minimizes Σ_ui max(|c_ui|, 1 if unobserved)·(x_ui − p_u·q_i)² + λ(Σ_u |p_u|² + Σ_i |q_i|²), with preference
x = 1 for c > 0 and 0 otherwise. The last half-step, over users, is our own.

References:
    Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008.
    Takács, Pilászy, Tikk: Applications of the Conjugate Gradient Method for Implicit Feedback
    Collaborative Filtering, RecSys 2011 (the trainer's inner solver).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import implicit.gpu
import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from pydantic import Field
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from models.errors import ConfigError, TrainingError
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
from models.row_rules import FixedSide, ImplicitRule, LinearWeighting

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.types import Float32Array, FloatArray


class IALSImplicitConfig(FamilyConfig):
    """Hyperparameters of iALS by `implicit`."""

    factors: int = Field(default=64, ge=1)
    """d, the length of a factor row."""
    regularization: float = Field(default=30.0, gt=0)
    """λ, the same for every row."""
    alpha: float = Field(default=1.0, gt=0)
    """α, what a weighted interaction is worth against one unobserved entry."""
    iterations: int = Field(default=15, ge=1)
    """Pairs of half-steps, users then items."""
    weighting: NamedWeighting = LinearWeighting()
    """How values become confidence: `linear`, `log` or `bm25`, by name or with their own parameters."""


def _why_no_cuda() -> str:
    """What keeps `implicit` from using a GPU."""
    if not implicit.gpu.HAS_RMM:
        return "rmm-cu13 is not installed"
    try:
        importlib.import_module("implicit.gpu._cuda").get_device_count()
    except (ImportError, RuntimeError) as error:
        return str(error)
    return "there was none when this process started"


class IALSImplicit:
    """Implicit-feedback ALS by `implicit`."""

    def __init__(self, config: IALSImplicitConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        if device == "cuda" and not implicit.gpu.HAS_CUDA:
            raise ConfigError(
                f"device cuda was asked for, but `implicit` finds no CUDA here: {_why_no_cuda()}; "
                "see docs/algorithms.md for what it needs, or use --device cpu"
            )
        check_not_all_zero("ials_implicit", dataset)
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
        histories = dataset.histories
        rule = self._rule()
        arrays, signed = self._weighed(dataset)
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
                    csr_matrix((signed, histories.indices, histories.indptr), shape=dataset.shape),
                    show_progress=False,
                    callback=lambda _iteration, _seconds, loss: watch.record(float(loss)),
                )
        except ModelFitError as error:
            raise TrainingError(f"the factors became NaN ({error}); raise the regularization") from error
        factors = trainer.item_factors if device == "cpu" else trainer.item_factors.to_numpy()
        factors = np.array(factors, dtype=np.float32, order="C")
        factors[unliked(dataset, signed)] = 0
        items = FixedSide(in_principal_axes(factors), arrays)
        return FittedModel(rule, closing_sweep(rule, histories, items), items, watch.losses)

    def _rule(self) -> ImplicitRule:
        config = self.config
        return ImplicitRule(
            alpha=config.alpha, regularization=config.regularization, weighting=config.weighting
        )

    def _weighed(self, dataset: Dataset) -> tuple[dict[str, FloatArray], Float32Array]:
        """What the weighting looks up per item, and the signed confidence."""
        weighting = self.config.weighting
        arrays = item_arrays(dataset, weighting)
        return arrays, confidence(dataset, self._rule(), weighting, arrays)
