"""Item-to-item baselines: each against its definition on a dense table."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.errors import ConfigError, DataError
from models.families import ease
from models.metrics import ranking_metrics
from models.registry import BASELINES, FAMILIES, check_served, configure
from models.row_solve import Rows
from models.split import random_split
from tests.models.strategies import clustered_table, make_dataset


@pytest.fixture(scope="module")
def table():
    """60 users × 40 items of clustered ratings."""
    return clustered_table(60, 40, 3, np.random.default_rng(0))


@pytest.fixture(scope="module")
def dataset(table):
    """The table as a dataset."""
    return make_dataset(table)


def fit(family, dataset, device="cpu", **hyperparameters):
    """Fit with seed 0."""
    made = BASELINES[family].make(configure(family, hyperparameters))
    return made.fit(dataset, rng=np.random.default_rng(0), device=device)


def weights_of(model, n_items):
    """B, read off the scores of somebody who has one item."""
    items = np.arange(n_items, dtype=np.int32)
    return model.score_histories(Rows(np.arange(n_items + 1), items, np.ones(n_items, np.float32)))


def test_cosine_neighbours_are_those_of_the_dense_table(table, dataset):
    """Scores are sums of the cosines of the history's items with their most similar ones."""
    x = np.nan_to_num(table)
    cosines = (x.T @ x) / np.outer(np.linalg.norm(x, axis=0), np.linalg.norm(x, axis=0))
    least = np.sort(cosines, axis=1)[:, -6][:, np.newaxis]  # five, and the item itself
    expected = np.where(cosines >= least, cosines, 0)
    model = fit("item_knn", dataset, neighbours=5)
    assert_allclose(weights_of(model, 40), expected, atol=1e-6)  # float32
    users = np.array([4, 9], dtype=np.int32)
    assert_allclose(model.score_users(users), x[users] @ expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "tfidf", "bm25"])
def test_an_item_of_zeros_alone_is_like_nothing(table, similarity):
    """A value of 0 is no direction: the item's similarities are 0, not undefined."""
    with_zeros = table.copy()
    with_zeros[:, 7] = np.where(np.isnan(table[:, 7]), np.nan, 0)
    weights = weights_of(fit("item_knn", make_dataset(with_zeros), similarity=similarity, neighbours=39), 40)
    assert not weights[7].any()
    assert not weights[:, 7].any()
    assert np.isfinite(weights).all()


def test_tfidf_weighs_down_users_who_have_everything(table, dataset):
    """TF-IDF similarities are cosines of the table with each user's row times its inverse frequency."""
    x = np.nan_to_num(table)
    weighted = np.sqrt(x) * np.log(40 / (1 + (x > 0).sum(axis=1, keepdims=True)))
    norms = np.linalg.norm(weighted, axis=0)
    expected = (weighted.T @ weighted) / np.outer(norms, norms)
    model = fit("item_knn", dataset, similarity="tfidf", neighbours=39)
    assert_allclose(weights_of(model, 40), expected, atol=1e-5)


def test_bm25_saturates_and_weighs_down_long_items_and_users_who_have_everything(table, dataset):
    """BM25 similarities are products of columns weighted as text retrieval does, K₁ = 1.2, b = .75."""
    x = np.nan_to_num(table)
    inverse_frequency = np.log(40 / (1 + (x > 0).sum(axis=1, keepdims=True)))
    length = x.sum(axis=0) / x.sum(axis=0).mean()
    weighted = inverse_frequency * x * 2.2 / (1.2 * (0.25 + 0.75 * length) + x)
    model = fit("item_knn", dataset, similarity="bm25", neighbours=39)
    assert_allclose(weights_of(model, 40), weighted.T @ weighted, rtol=1e-5, atol=1e-5)


def test_ease_is_the_closed_form_of_its_constrained_regression(table, dataset):
    """Each column of B is the ridge regression of an item on all the others."""
    x = (np.nan_to_num(table) > 0).astype(float)
    weights = weights_of(fit("ease", dataset, regularization=3.0), 40)
    assert not np.diag(weights).any()
    for item in (0, 17, 39):
        others = np.delete(np.arange(40), item)
        normal = x[:, others].T @ x[:, others] + 3 * np.eye(39)
        regression = np.linalg.solve(normal, x[:, others].T @ x[:, item])
        assert_allclose(weights[others, item], regression, atol=1e-5)  # float32


@pytest.mark.parametrize(
    ("family", "hyperparameters"),
    [
        ("ease", {"regularization": 10}),
        ("item_knn", {"similarity": "cosine"}),
        ("item_knn", {"similarity": "tfidf"}),
        ("item_knn", {"similarity": "bm25"}),
    ],
)
def test_held_out_entries_are_found_better_than_by_popularity(family, hyperparameters):
    """On clustered likes every baseline ranks unseen entries better than counts do, dislikes left out."""
    liked = clustered_table(120, 90, 4, np.random.default_rng(0), density=0.4)
    liked[liked < 4] = np.nan
    dataset = make_dataset(liked)
    held_out = random_split(dataset, 0.2, np.random.default_rng(1))
    training, hidden = dataset.with_entries(~held_out), dataset.with_entries(held_out).histories
    model, popularity = fit(family, training, **hyperparameters), training.popularity()
    ours = ranking_metrics(model.score_users, training.histories, hidden, 10)
    counts = ranking_metrics(
        lambda users: np.tile(popularity, (len(users), 1)), training.histories, hidden, 10
    )
    assert ours["ndcg@10"] > counts["ndcg@10"]
    assert not model.predicts_values
    with pytest.raises(NotImplementedError):
        model.predict(hidden)


def test_ease_refuses_a_catalogue_whose_matrix_would_not_fit(dataset, monkeypatch):
    """More items than the limit are an error that names both numbers and the remedy."""
    monkeypatch.setattr(ease, "MOST_ITEMS", 39)
    with pytest.raises(DataError, match=r"39 items at most, but there are 40; raise --min-item-interactions"):
        fit("ease", dataset)


@pytest.mark.parametrize("family", list(BASELINES))
def test_baselines_are_not_served(family):
    """An artifact of a baseline is refused with what can be done instead; families are let through."""
    with pytest.raises(ConfigError, match=rf"{family} is evaluated only, not served.*scripts.evaluate.*als"):
        check_served(family)
    for served in FAMILIES:
        check_served(served)


@pytest.mark.parametrize("family", list(BASELINES))
def test_a_gpu_is_refused(family, dataset):
    """Asking for a GPU never runs on the CPU instead."""
    with pytest.raises(ConfigError, match="on the CPU only"):
        fit(family, dataset, device="cuda")
