"""Popularity, plain and decayed: one factor that is the same for everybody."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.errors import ConfigError, DataError
from models.fold_in import FoldIn
from models.registry import FAMILIES, configure
from models.row_solve import Rows
from tests.models.strategies import clustered_table, make_dataset

DAY = 86_400


def fit(dataset, **hyperparameters):
    """Fit; nothing is random."""
    family = FAMILIES["popularity"].make(configure("popularity", hyperparameters))
    return family.fit(dataset, rng=np.random.default_rng(0))


def test_every_user_scores_an_item_by_its_number_of_interactions():
    """Stored users, unseen histories and empty ones give the same scores: the counts."""
    table = clustered_table(30, 20, 3, np.random.default_rng(0))
    model = fit(make_dataset(table))
    counts = (~np.isnan(table)).sum(axis=0)
    nobody = Rows.one(np.empty(0, np.int32), np.empty(0, np.float32))
    for scores in (
        model.score_users(np.arange(30, dtype=np.int32)),
        model.score_histories(Rows.one(np.array([3], np.int32), np.array([-1], np.float32))),
        model.score_histories(nobody),
    ):
        assert_array_equal(scores, np.tile(counts, (len(scores), 1)))


def test_fold_in_and_explanations_agree_with_what_is_stored():
    """Everybody folds in to the stored 1; no entry explains anything, and the intercept is the score."""
    dataset = make_dataset(clustered_table(30, 20, 3, np.random.default_rng(0)))
    model = fit(dataset)
    fold_in = FoldIn(model.items, model.rule)
    asked = np.arange(20, dtype=np.int32)
    for user in (0, 7):
        row = fold_in.solve(dataset.histories.only(user))
        assert_array_equal(row.vector, model.user_factors[user])
        assert not fold_in.contributions(row, asked).any()
        assert_array_equal(fold_in.intercepts(row, asked), dataset.popularity())


def test_an_interaction_counts_half_after_each_half_life():
    """Ages of 0, 1 and 3 half-lives count 1, 1/2 and 1/8."""
    table = np.array([[1, np.nan], [1, 1]], dtype=float)
    dataset = make_dataset(table, timestamps=np.array([0, 20, 30], dtype=np.int64) * DAY)
    assert_allclose(fit(dataset, half_life=10).items.factors[:, 0], [1 / 8 + 1 / 2, 1])


def test_a_half_life_without_timestamps_is_refused_with_the_remedy():
    """Decay needs to know when."""
    with pytest.raises(DataError, match="name their --time-column"):
        fit(make_dataset(np.ones((2, 2))), half_life=10)


def test_a_gpu_is_refused():
    """Asking for a GPU never counts on the CPU instead."""
    family = FAMILIES["popularity"].make(configure("popularity", {}))
    with pytest.raises(ConfigError, match="trains on the CPU only"):
        family.fit(make_dataset(np.ones((2, 2))), rng=np.random.default_rng(0), device="cuda")
