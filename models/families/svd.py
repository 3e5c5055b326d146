"""Truncated SVD of the centred table (PureSVD), by ARPACK.

X ≈ U Σ Vᵀ with the unobserved entries of the centred table taken as 0. Items keep the orthonormal V; a
user's factors are p = Vᵀx, which is both U Σ and the fold-in of the user's row.

References:
    Cremonesi, Koren, Turrin: Performance of Recommender Algorithms on Top-N Recommendation Tasks,
    RecSys 2010, sec. 4.2 (PureSVD).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import ArpackError, svds

from models.errors import DataError, TrainingError
from models.families.base import (
    FamilyConfig,
    FittedModel,
    LossWatch,
    check_cpu,
    check_factors,
    check_not_all_zero,
    closing_sweep,
    silent,
)
from models.row_rules import FixedSide, ProjectionRule

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.row_solve import Rows
    from models.types import Float32Array, Float64Array


_NEGLIGIBLE = 1e-6
"""Share of the largest value below which a centred one is the mean's rounding."""


class SVDConfig(FamilyConfig):
    """Hyperparameters of the truncated SVD."""

    factors: int = Field(default=50, ge=1)
    """d, the number of singular vectors."""
    centring: Literal["none", "global", "item", "user"] = "none"
    """Which mean is taken off the observed values before the decomposition, and added back to scores."""


class SVD:
    """Truncated singular value decomposition."""

    def __init__(self, config: SVDConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("svd", device)
        check_not_all_zero("svd", dataset)
        check_factors(self.config.factors, dataset.shape, spare=1)  # ARPACK cannot find them all
        self._centre(dataset)

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
        device: Device = "cpu",
    ) -> FittedModel:
        """Factorize; see `models.families.base.Family.fit`. There is one iteration."""
        config = self.config
        self.check(dataset, device=device)
        histories = dataset.histories
        rule, item_factors, centred = self._centre(dataset)
        table = csr_matrix(
            (centred.astype(np.float64), histories.indices, histories.indptr), shape=dataset.shape
        )
        watch = LossWatch(1, progress)
        try:
            _, singular_values, vectors = svds(
                table, k=config.factors, v0=rng.normal(size=min(dataset.shape)), solver="arpack"
            )
        except ArpackError as error:
            raise TrainingError(f"ARPACK found no decomposition ({error}); use fewer factors") from error
        item_factors[:, : config.factors] = _with_fixed_signs(vectors[np.argsort(-singular_values)])
        # |X − UΣVᵀ|² = |X|² − Σ σ², per observed entry.
        watch.record(float((centred @ centred - singular_values @ singular_values) / len(centred)))
        items = FixedSide(item_factors)
        return FittedModel(rule, closing_sweep(rule, histories, items), items, watch.losses)

    def _centre(self, dataset: Dataset) -> tuple[ProjectionRule, Float32Array, Float32Array]:
        """The rule, item factors that hold the means only, and the centred values, ``(n_entries,)``.

        Raises:
            DataError: the values are their means.
        """
        centring, histories = self.config.centring, dataset.histories
        biased = centring in {"item", "user"}
        rule = ProjectionRule(
            biased=biased,
            global_mean=float(histories.values.mean(dtype=np.float64)) if centring == "global" else 0.0,
            row_centred=centring == "user",
            needs_values=dataset.has_values,
        )
        item_factors = np.zeros((dataset.shape[1], self.config.factors + biased), dtype=np.float32)
        if centring == "item":
            item_factors[:, -1] = _item_means(histories, dataset.shape[1])
        centred = rule.problem(histories, FixedSide(item_factors)).targets
        if np.abs(centred).max() <= _NEGLIGIBLE * np.abs(histories.values).max():
            raise DataError(
                f"nothing is left of the values after centring by {centring}: all are equal to their means; "
                "use another --set centring=…, or family ials"
            )
        return rule, item_factors, centred


def _item_means(histories: Rows, n_items: int) -> Float32Array:
    counts = np.bincount(histories.indices, minlength=n_items)
    sums = np.bincount(histories.indices, weights=histories.values, minlength=n_items)
    return (sums / np.maximum(counts, 1)).astype(np.float32)


def _with_fixed_signs(vectors: Float64Array) -> Float64Array:
    """Turn each singular vector so that its largest entry is positive; returns shape ``(n_items, d)``."""
    largest = vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)]
    signed: Float64Array = vectors.T * np.sign(largest)
    return signed
