"""HybridSVD: truncated SVD in which items, and users, that share metadata are near to begin with.

PureSVD decomposes the table R under the plain inner product. HybridSVD takes S = (1 − α)I + αZ in its place,
with Z the cosine of the items' features, and K of the same form for the users: for any MMᵀ = K and LLᵀ = S,

    Mᵀ R L ≈ U Σ V̂ᵀ,    V_l = L V̂,    V_r = L⁻ᵀ V̂,    p = V_lᵀ x,    scores = V_r p

The paper takes Cholesky factors. Scores are the same for every square root, and the symmetric one needs no
matrix of all pairs. The users' rows M⁻ᵀUΣ are R V_l exactly: what K says is in V̂, and p is the fold-in of the
user's own history. V_r = Rᵀ M U Σ⁻¹ is 0 for an item that nobody has had. Such an item gets the V_r that S
expects of it, given those of the others: it is recommended by its metadata.

References:
    Frolov, Oseledets: HybridSVD: When Collaborative Information is Not Enough, RecSys 2019.
    Cremonesi, Koren, Turrin: Performance of Recommender Algorithms on Top-N Recommendation Tasks,
    RecSys 2010 (PureSVD, which this is at α = 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import ArpackError, LinearOperator, svds

from models.errors import TrainingError
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
from models.families.metadata_features import Described, Similarity, feature_table
from models.row_rules import PROJECTION, FixedSide, ObliqueProjectionRule

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress


class HybridSVDConfig(FamilyConfig):
    """Hyperparameters of HybridSVD."""

    factors: int = Field(default=50, ge=1)
    """d, the number of singular vectors."""
    features: tuple[str, ...] = Field(default=("genres",), min_length=1)
    """Members of the items' metadata; items with a value in common are similar."""
    similarity_weight: float = Field(default=0.3, ge=0, lt=1)
    """α, how much the metadata say against the identity."""
    min_feature_items: int = Field(default=2, ge=1)
    """How many items must share a value for it to count."""
    user_features: tuple[str, ...] = ()
    """Members of the users' metadata; users with a value in common are similar. Without: nobody is."""
    user_similarity_weight: float = Field(default=0.3, ge=0, lt=1)
    """α of the users."""
    min_feature_users: int = Field(default=2, ge=1)
    """How many users must share a value for it to count."""


class HybridSVD:
    """Truncated SVD with item similarity."""

    def __init__(self, config: HybridSVDConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("hybrid_svd", device)
        check_not_all_zero("hybrid_svd", dataset)
        n_seen = int(np.count_nonzero(dataset.popularity()))
        check_factors(self.config.factors, (dataset.shape[0], n_seen), spare=1)  # ARPACK finds all but one
        self._item_features(dataset)
        self._user_features(dataset)

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
        values = histories.values.astype(np.float64)
        table = csr_matrix((values, histories.indices, histories.indptr), shape=dataset.shape)
        similarity = Similarity(self._item_features(dataset), config.similarity_weight)
        between_users = Similarity(self._user_features(dataset), config.user_similarity_weight)
        root, left = similarity.power(0.5), between_users.power(0.5)
        smoothed = LinearOperator(
            dataset.shape,
            matvec=lambda of_items: left @ (table @ (root @ of_items)),
            rmatvec=lambda of_users: root @ (table.T @ (left @ of_users)),
            matmat=lambda of_items: left @ (table @ (root @ of_items)),
            dtype=np.float64,
        )
        watch = LossWatch(1, progress)
        try:
            _, singular_values, transposed = svds(
                smoothed, k=config.factors, v0=rng.normal(size=min(dataset.shape)), solver="arpack"
            )
        except ArpackError as error:
            raise TrainingError(f"ARPACK found no decomposition ({error}); use fewer factors") from error
        vectors = transposed[np.argsort(-singular_values)].T
        # |MᵀRL − UΣV̂ᵀ|² = |MᵀRL|² − Σ σ², per observed entry.
        unexplained = similarity.squared_norm(between_users.spread(table)) - singular_values @ singular_values
        watch.record(float(unexplained / len(values)))
        factors = similarity.power(-0.5) @ vectors
        known = np.bincount(histories.indices[values != 0], minlength=dataset.shape[1]) > 0
        factors[~known] = similarity.expected(factors, known)
        rule = ObliqueProjectionRule(needs_values=dataset.has_values)
        items = FixedSide(
            factors.astype(np.float32), {PROJECTION: np.asarray(root @ vectors, dtype=np.float32)}
        )
        return FittedModel(rule, closing_sweep(rule, histories, items), items, watch.losses)

    def _item_features(self, dataset: Dataset) -> csr_matrix:
        described = Described("item", dataset.items, dataset.metadata, "features", "min_feature_items")
        return feature_table(described, self.config.features, self.config.min_feature_items)

    def _user_features(self, dataset: Dataset) -> csr_matrix:
        described = Described(
            "user", dataset.users, dataset.user_metadata, "user_features", "min_feature_users"
        )
        return feature_table(described, self.config.user_features, self.config.min_feature_users)
