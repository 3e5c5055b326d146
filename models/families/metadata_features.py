"""Features of items or users from their metadata, and the similarity that they give."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from scipy.sparse import csr_matrix, diags_array, vstack

from models.described import encoded, regression, unit_rows
from models.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.dataset import Metadata
    from models.ids import IdMap
    from models.types import BoolArray, Float64Array

MOST_FEATURES: Final = 5_000
"""Their square is decomposed: 200 MB."""
_NEGLIGIBLE: Final = 1e-10
"""Share of the largest eigenvalue below which one is rounding."""


@dataclass(frozen=True, slots=True)
class Described:
    """One side of a dataset and its metadata, and what a command line calls its settings.

    Attributes:
        side: what a row is.
        ids: of the rows.
        metadata: JSON objects by id, or None.
        members_setting: the hyperparameter that names metadata members.
        least_setting: the hyperparameter that says how many rows must share a value.
    """

    side: Literal["item", "user"]
    ids: IdMap
    metadata: Metadata | None
    members_setting: str
    least_setting: str


def feature_table(described: Described, members: Sequence[str], least: int) -> csr_matrix:
    """Which row has which value of the given metadata members: 1 or 0, shape ``(n_rows, n_features)``.

    A list has each of its values; any other value is one.

    Args:
        described: the rows and their metadata.
        members: names of metadata members; none: there are no features.
        least: how many rows must share a value for it to be a feature.

    Raises:
        DataError: there is no metadata.
        ConfigError: no row has one of the members, or there are no features, or too many.
    """
    if not members:
        return csr_matrix((len(described.ids), 0))
    side = described.side
    if not described.metadata:
        raise DataError(f"family hybrid_svd needs metadata of the {side}s: name their table with --{side}s")
    table, numbers = encoded((described.metadata.get(each, {}) for each in described.ids), members)
    _check_members(described, members, {member for member, _ in numbers})
    shared = np.bincount(table.indices, minlength=len(numbers)) >= least
    n_shared = np.count_nonzero(shared)
    what = f"{n_shared:,} values of {', '.join(members)} are shared by {least} {side}s or more"
    if n_shared == 0:
        raise ConfigError(
            f"{what}; name other --set {described.members_setting}=…, or lower "
            f"--set {described.least_setting}=…"
        )
    if n_shared > MOST_FEATURES:
        raise ConfigError(
            f"{what}, of which {MOST_FEATURES:,} can be used; raise --set {described.least_setting}=…, or "
            "name fewer"
        )
    return table[:, shared]


def _check_members(described: Described, members: Sequence[str], found: set[str]) -> None:
    for member in members:
        if member not in found:
            present = Counter(name for record in (described.metadata or {}).values() for name in record)
            raise ConfigError(
                f"no {described.side} has metadata {member!r}; there are "
                f"{', '.join(sorted(present)) or 'none'}: name some with --set "
                f"""'{described.members_setting}=["…"]'"""
            )


@dataclass(frozen=True, slots=True)
class _Spectral:
    """A function of S, as a diagonal plus F K Fᵀ: no matrix of all pairs of rows."""

    diagonal: Float64Array
    features: csr_matrix
    kernel: Float64Array

    def __matmul__(self, right: Float64Array) -> Float64Array:
        """Times a vector ``(n_rows,)`` or the columns of ``(n_rows, m)``."""
        scaled = (self.diagonal * right.T).T
        product: Float64Array = scaled + self.features @ (self.kernel @ (self.features.T @ right))
        return product


class Similarity:
    """S = (1 − α)I + αZ, with Z the cosine of feature vectors; what has no features is like itself only.

    With F the features at length 1 and FᵀF = VΛVᵀ, the vectors U = FVΛ^(−½) are orthonormal and Z = UΛUᵀ, so
    functions of S are functions of Λ: algebra of the size of the features.

    Args:
        features: 1 or 0, shape ``(n_rows, n_features)``.
        weight: α, in [0, 1).
    """

    def __init__(self, features: csr_matrix, weight: float) -> None:
        self._features, described = unit_rows(features)
        self._weight = weight
        self._diagonal = np.where(described, 1 - weight, 1.0)
        eigenvalues, vectors = np.linalg.eigh((self._features.T @ self._features).toarray())
        kept = eigenvalues > _NEGLIGIBLE * eigenvalues.max(initial=0)
        self._eigenvalues, self._vectors = eigenvalues[kept], vectors[:, kept]

    def power(self, exponent: float) -> _Spectral:
        """S^exponent."""
        own = (1 - self._weight) ** exponent
        raised = (1 - self._weight + self._weight * self._eigenvalues) ** exponent
        kernel = (self._vectors * ((raised - own) / self._eigenvalues)) @ self._vectors.T
        return _Spectral(self._diagonal**exponent, self._features, kernel)

    def spread(self, table: csr_matrix) -> csr_matrix:
        """A table T with TᵀT = RᵀSR for a table R of ``n_rows`` rows: sparse, with a row more a feature."""
        own = diags_array(np.sqrt(self._diagonal)) @ table
        shared = np.sqrt(self._weight) * (self._features.T @ table)
        return csr_matrix(vstack([own, shared]))

    def squared_norm(self, table: csr_matrix) -> float:
        """|R S^½|² = tr(R S Rᵀ) of a table of ``n_rows`` columns."""
        own = (table.multiply(table) @ self._diagonal).sum()
        shared = table @ self._features
        return float(own + self._weight * shared.multiply(shared).sum())

    def expected(self, vectors: Float64Array, known: BoolArray) -> Float64Array:
        """Vectors for the rows that are not known: S_uk S_kk⁻¹ V_k, shape ``(n_unknown, d)``.

        It is what a Gaussian process with covariance S expects (kriging), which is the ridge regression of
        the known vectors on the features with the ridge (1 − α)/α.
        """
        says = regression(self._features[known], vectors[known], self._weight)
        return np.asarray(self._features[~known] @ says)
