"""Rankers that know nothing of the person: what every model has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Never

import numpy as np

from models.evaluation.comparison import Candidate

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.row_solve import Rows
    from models.types import Float32Array, RowArray


class Popularity:
    """Everybody is offered the items with the most interactions.

    Args:
        dataset: the training set.
    """

    predicts_values = False

    def __init__(self, dataset: Dataset) -> None:
        self._counts = dataset.popularity().astype(np.float32)

    def score_users(self, users: RowArray) -> Float32Array:
        """The counts, once per user: shape ``(len(users), n_items)``."""
        return np.tile(self._counts, (len(users), 1))

    def score_histories(self, histories: Rows) -> Float32Array:
        """The counts, once per history: shape ``(len(histories), n_items)``."""
        return np.tile(self._counts, (len(histories), 1))

    def predict(self, entries: Rows) -> Never:
        """Counts predict no values."""
        raise NotImplementedError


class Random:
    """Everybody is offered items drawn at random, others at every call.

    Args:
        n_items: number of items.
        rng: draws the scores.
    """

    predicts_values = False

    def __init__(self, n_items: int, rng: np.random.Generator) -> None:
        self._n_items = n_items
        self._rng = rng

    def score_users(self, users: RowArray) -> Float32Array:
        """Uniform random numbers: shape ``(len(users), n_items)``."""
        return self._rng.random((len(users), self._n_items), dtype=np.float32)

    def score_histories(self, histories: Rows) -> Float32Array:
        """Uniform random numbers: shape ``(len(histories), n_items)``."""
        return self._rng.random((len(histories), self._n_items), dtype=np.float32)

    def predict(self, entries: Rows) -> Never:
        """Random numbers predict no values."""
        raise NotImplementedError


def baselines(seed: int) -> list[Candidate]:
    """What every comparison includes."""
    return [
        Candidate("popularity", lambda data, _: Popularity(data), "popularity", compares_items=False),
        Candidate(
            "random",
            lambda data, _: Random(len(data.items), np.random.default_rng(seed)),
            "random",
            compares_items=False,
        ),
    ]
