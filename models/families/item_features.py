"""Features of items from their metadata, and the similarity of items that they give."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csr_matrix

from models.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue

    from models.dataset import Dataset
    from models.types import BoolArray, Float64Array

MOST_FEATURES: Final = 5_000
"""Their square is decomposed: 200 MB."""
_NEGLIGIBLE: Final = 1e-10
"""Share of the largest eigenvalue below which one is rounding."""


def item_features(dataset: Dataset, members: Sequence[str], least_items: int) -> csr_matrix:
    """Which item has which value of the given metadata members: 1 or 0, shape ``(n_items, n_features)``.

    A list has each of its values; any other value is one.

    Args:
        dataset: with metadata.
        members: names of metadata members.
        least_items: how many items must share a value for it to be a feature.

    Raises:
        DataError: there is no metadata.
        ConfigError: no item has one of the members, or there are no features, or too many.
    """
    if not dataset.metadata:
        raise DataError("family hybrid_svd needs metadata of the items: name their table with --items")
    numbers: dict[tuple[str, str], int] = {}
    rows, columns = [], []
    for row, item_id in enumerate(dataset.items):
        record = dataset.metadata.get(item_id, {})
        features = [(member, value) for member in members for value in _values(record.get(member))]
        for feature in dict.fromkeys(features):  # a list may repeat a value
            rows.append(row)
            columns.append(numbers.setdefault(feature, len(numbers)))
    _check_members(dataset, members, {member for member, _ in numbers})
    table = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(dataset.items), len(numbers)))
    shared = np.bincount(columns, minlength=len(numbers)) >= least_items
    n_shared = np.count_nonzero(shared)
    what = f"{n_shared:,} values of {', '.join(members)} are shared by {least_items} items or more"
    if n_shared == 0:
        raise ConfigError(f"{what}; name other --set features=…, or lower --set min_feature_items=…")
    if n_shared > MOST_FEATURES:
        raise ConfigError(
            f"{what}, of which {MOST_FEATURES:,} can be used; raise --set min_feature_items=…, or name fewer"
        )
    return table[:, shared]


def _values(value: JsonValue) -> Iterator[str]:
    """The values of a metadata member, as text."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str | int | float):
            yield str(each)


def _check_members(dataset: Dataset, members: Sequence[str], found: set[str]) -> None:
    for member in members:
        if member not in found:
            present = Counter(name for record in (dataset.metadata or {}).values() for name in record)
            raise ConfigError(
                f"no item has metadata {member!r}; there are {', '.join(sorted(present)) or 'none'}: "
                """name some with --set 'features=["…"]'"""
            )


@dataclass(frozen=True, slots=True)
class _Spectral:
    """A function of S, as a diagonal plus F K Fᵀ: no matrix of all pairs of items."""

    diagonal: Float64Array
    features: csr_matrix
    kernel: Float64Array

    def __matmul__(self, right: Float64Array) -> Float64Array:
        """Times a vector ``(n_items,)`` or the columns of ``(n_items, m)``."""
        scaled = (self.diagonal * right.T).T
        product: Float64Array = scaled + self.features @ (self.kernel @ (self.features.T @ right))
        return product


class ItemSimilarity:
    """S = (1 − α)I + αZ, with Z the cosine of feature vectors; an item without features is like itself only.

    With F the features at length 1 and FᵀF = VΛVᵀ, the vectors U = FVΛ^(−½) are orthonormal and Z = UΛUᵀ, so
    functions of S are functions of Λ: algebra of the size of the features.

    Args:
        features: 1 or 0, shape ``(n_items, n_features)``.
        weight: α, in [0, 1).
    """

    def __init__(self, features: csr_matrix, weight: float) -> None:
        lengths = np.sqrt(np.asarray(features.sum(axis=1)).ravel())
        described = lengths > 0
        self._features = csr_matrix(features.multiply(1 / np.where(described, lengths, 1)[:, np.newaxis]))
        self._weight = weight
        self._diagonal = np.where(described, 1 - weight, 1.0)
        eigenvalues, vectors = np.linalg.eigh((self._features.T @ self._features).toarray())
        kept = eigenvalues > _NEGLIGIBLE * eigenvalues[-1]
        self._eigenvalues, self._vectors = eigenvalues[kept], vectors[:, kept]

    def power(self, exponent: float) -> _Spectral:
        """S^exponent."""
        own = (1 - self._weight) ** exponent
        raised = (1 - self._weight + self._weight * self._eigenvalues) ** exponent
        kernel = (self._vectors * ((raised - own) / self._eigenvalues)) @ self._vectors.T
        return _Spectral(self._diagonal**exponent, self._features, kernel)

    def squared_norm(self, table: csr_matrix) -> float:
        """|R S^½|² = tr(R S Rᵀ) of a table ``(n_users, n_items)``."""
        own = (table.multiply(table) @ self._diagonal).sum()
        shared = table @ self._features
        return float(own + self._weight * shared.multiply(shared).sum())

    def expected(self, vectors: Float64Array, known: BoolArray) -> Float64Array:
        """Vectors for the items that are not known: S_uk S_kk⁻¹ V_k, shape ``(n_unknown, d)``.

        It is what a Gaussian process with covariance S expects (kriging), which is the ridge regression of
        the known vectors on the features with the ridge (1 − α)/α.
        """
        if self._weight == 0:
            return np.zeros((np.count_nonzero(~known), vectors.shape[1]))
        seen, unseen = self._features[known], self._features[~known]
        gram = (seen.T @ seen).toarray()
        gram.flat[:: len(gram) + 1] += (1 - self._weight) / self._weight
        return np.asarray(unseen @ np.linalg.solve(gram, seen.T @ vectors[known]))
