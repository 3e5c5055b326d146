"""Items by what their metadata say: features, and the vectors that they lead to expect.

References:
    Frolov, Oseledets: HybridSVD: When Collaborative Information is Not Enough, RecSys 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic import JsonValue

    from models.types import BoolArray, Float64Array, FloatArray

Feature: TypeAlias = tuple[str, str]
"""A metadata member and one of its values, as text."""


def encoded(
    records: Iterable[Mapping[str, JsonValue]], members: Sequence[str]
) -> tuple[csr_matrix, dict[Feature, int]]:
    """Which record has which feature, 1 or 0, ``(n_records, n_features)``, and the columns by feature."""
    numbers: dict[Feature, int] = {}
    columns: list[int] = []
    ends = [0]
    for record in records:
        columns += [numbers.setdefault(feature, len(numbers)) for feature in features(record, members)]
        ends.append(len(columns))
    table = csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(ends) - 1, len(numbers)))
    return table, numbers


def features(record: Mapping[str, JsonValue], members: Sequence[str]) -> Iterable[Feature]:
    """The features of a record, each once. A list has each of its values; any other value is one."""
    return dict.fromkeys((member, value) for member in members for value in _values(record.get(member)))


def _values(value: JsonValue) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str | int | float):
            yield str(each)


def unit_rows(table: csr_matrix) -> tuple[csr_matrix, BoolArray]:
    """The rows of a table of 1 and 0 at length 1, and which of them have any feature."""
    lengths = np.sqrt(np.asarray(table.sum(axis=1)).ravel())
    described = lengths > 0
    return csr_matrix(table.multiply(1 / np.where(described, lengths, 1)[:, np.newaxis])), described


def regression(unit: csr_matrix, vectors: FloatArray, weight: float) -> Float64Array:
    """What features say of vectors, ``(n_features, d)``: ridge regression with the ridge (1 − α)/α.

    It is what a Gaussian process with the covariance (1 − α)I + αZ expects (kriging), Z the rows' cosine.

    Args:
        unit: features of rows with vectors, at length 1, ``(n, n_features)``.
        vectors: of the same rows, ``(n, d)``.
        weight: α, in [0, 1).
    """
    if weight == 0:
        return np.zeros((unit.shape[1], vectors.shape[1]))
    gram = (unit.T @ unit).toarray()
    gram.flat[:: len(gram) + 1] += (1 - weight) / weight
    return np.asarray(np.linalg.solve(gram, unit.T @ vectors))


class DescribedItems:
    """What vector to expect of an item that has nothing but metadata.

    Args:
        records: the metadata of a model's items.
        members: names of metadata members.
        least: how many items must share a value for it to be a feature.
        weight: α.
        vectors: of the items, ``(n_items, d)``.
        known: which of them interactions have made, bool, ``(n_items,)``.
    """

    def __init__(
        self,
        records: Iterable[Mapping[str, JsonValue]],
        members: Sequence[str],
        *,
        least: int,
        weight: float,
        vectors: FloatArray,
        known: BoolArray,
    ) -> None:
        self.members = tuple(members)
        table, numbers = encoded(records, members)
        shared = np.bincount(table.indices, minlength=len(numbers)) >= least
        self._columns = {feature: number for feature, number in numbers.items() if shared[number]}
        self._says = np.zeros((len(numbers), vectors.shape[1]))
        unit, _ = unit_rows(table[:, shared])
        self._says[shared] = regression(unit[known], vectors[known], weight)

    def expected(self, record: Mapping[str, JsonValue]) -> Float64Array:
        """The vector of a new item with these metadata: float64, ``(d,)``; 0 where they say nothing."""
        found = [self._columns[each] for each in features(record, self.members) if each in self._columns]
        vector: Float64Array = self._says[found].sum(axis=0) / np.sqrt(max(len(found), 1))
        return vector
