"""Item-to-item models: scores of a history x are x·B, with one weight for every pair of items.

B has no low rank, so these models are no inner products of factors: they are evaluated, not served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Never, Protocol

import numpy as np
from scipy.sparse import csr_matrix, issparse

from models.families.base import silent

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.evaluation.ranker import Ranker
    from models.families.base import Device, Progress
    from models.row_solve import Rows
    from models.types import Float32Array, RowArray


class Baseline(Protocol):
    """A family that is evaluated only."""

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse what `fit` would refuse; see `models.families.base.Family.check`."""
        ...

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
        device: Device = "cpu",
    ) -> Ranker:
        """Learn from a training set.

        Raises:
            DataError, ConfigError: see `check`.
        """
        ...


class ItemToItemModel:
    """A weight for every pair of items. Satisfies `models.evaluation.ranker.Ranker`.

    Args:
        weights: B, sparse or dense, shape ``(n_items, n_items)``.
        histories: those of the training set.
        binary: whether a history only says which items had a positive value, rather than the values.
    """

    predicts_values = False

    def __init__(self, weights: csr_matrix | Float32Array, histories: Rows, *, binary: bool = False) -> None:
        self._weights = weights
        self._histories = histories
        self._binary = binary

    def score_users(self, users: RowArray) -> Float32Array:
        """Scores of all items for rows of the training set: shape ``(len(users), n_items)``."""
        return self.score_histories(self._histories.select(users))

    def score_histories(self, histories: Rows) -> Float32Array:
        """Scores of all items for histories: shape ``(len(histories), n_items)``."""
        scores = as_table(histories, self._weights.shape[0], binary=self._binary) @ self._weights
        return np.asarray(scores.toarray() if issparse(scores) else scores, dtype=np.float32)

    def predict(self, entries: Rows) -> Never:
        """A sum of similarities predicts no value."""
        raise NotImplementedError


def as_table(rows: Rows, n_items: int, *, binary: bool = False) -> csr_matrix:
    """The histories as a sparse matrix: float32, ``(n_rows, n_items)``; where `binary`, 1 if positive."""
    values = (rows.values > 0).astype(np.float32) if binary else rows.values
    return csr_matrix((values, rows.indices, rows.indptr), shape=(len(rows), n_items))
