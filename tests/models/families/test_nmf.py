"""NMF with the Kullback–Leibler loss: what its factors mean, and which tables it takes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.errors import DataError
from models.registry import FAMILIES, configure
from tests.models.strategies import clustered_table, make_dataset


def fit(table, **hyperparameters):
    """Fit with seed 0."""
    family = FAMILIES["nmf"].make(configure("nmf", hyperparameters))
    return family.fit(make_dataset(table), rng=np.random.default_rng(0))


def dense_divergence(table, estimate):
    """Σ x log(x/y) − x + y over every cell, the unobserved as 0."""
    observed = np.nan_to_num(table)
    logs = np.where(observed > 0, observed * np.log(np.where(observed > 0, observed, 1) / estimate), 0)
    return (logs - observed + estimate).sum()


def test_factors_are_shares_of_items_and_amounts_of_users():
    """Columns sum to 1 over the items, and a user's weights sum to the user's values (PLSA)."""
    table = clustered_table(50, 30, 3, np.random.default_rng(0))
    model = fit(table, factors=4)
    assert (model.items.factors >= 0).all()
    assert (model.user_factors >= 0).all()
    assert_allclose(model.items.factors.sum(axis=0), np.ones(4), rtol=1e-5)  # float32
    assert_allclose(model.user_factors.sum(axis=1), np.nansum(table, axis=1), rtol=1e-5)


def test_the_loss_is_the_divergence_and_the_closing_sweep_lowers_it():
    """The reported loss is that of the dense table; solving the users' rows to the end never raises it."""
    table = clustered_table(50, 30, 3, np.random.default_rng(0))
    model = fit(table, factors=4, iterations=30)
    closed = dense_divergence(table, model.user_factors.astype(float) @ model.items.factors.T)
    n_entries = np.count_nonzero(~np.isnan(table))
    assert closed / n_entries <= model.losses[-1] + 1e-6
    assert closed / n_entries == pytest.approx(model.losses[-1], rel=0.02)
    assert (np.diff(model.losses) <= 1e-6).all()


def test_planted_groups_are_found():
    """Two groups of users with items of their own become two factors without items in common."""
    table = np.full((20, 12), np.nan)
    table[:10, :6] = 2
    table[10:, 6:] = 3
    items = fit(table, factors=2, iterations=200).items.factors
    first = items[0].argmax()
    assert_allclose(items[:, first], [1 / 6] * 6 + [0] * 6, atol=1e-3)  # the updates end near, not at, 0
    assert_allclose(items[:, 1 - first], [0] * 6 + [1 / 6] * 6, atol=1e-3)


def test_dislikes_are_refused_by_name():
    """A negative value is an error that names the user, the item and what to do."""
    table = clustered_table(20, 10, 2, np.random.default_rng(0))
    table[3, 7] = -2
    with pytest.raises(DataError, match=r"'u00003' has -2 for item 'i00007'; leave .* or use family ials"):
        fit(table, factors=2)


def test_nothing_but_zeros_is_refused():
    """A table that says nothing is an error before training."""
    with pytest.raises(DataError, match="only values of 0"):
        fit(np.zeros((5, 4)), factors=2)
