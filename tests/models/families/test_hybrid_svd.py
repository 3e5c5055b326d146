"""HybridSVD: against dense algebra with a Cholesky factor, and on items that nobody has had."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import cholesky, solve_triangular

from models.errors import ConfigError, DataError
from models.families import metadata_features as features_module
from models.families.metadata_features import Described, Similarity, feature_table
from models.fold_in import FoldIn
from models.registry import FAMILIES, configure
from tests.models.strategies import clustered_table, make_dataset

GENRES = ["drama", "comedy", "war", "noir"]


def described(table, rng, *, undescribed=()):
    """A dataset whose items have one to three genres each, but for some."""
    dataset = make_dataset(table)
    metadata = {
        f"i{item:05}": {
            "title": f"Title {item}",
            "genres": rng.permutation(GENRES)[: rng.integers(1, 4)].tolist(),
        }
        for item in range(table.shape[1])
        if item not in undescribed
    }
    return replace(dataset, metadata=metadata)


@pytest.fixture(scope="module")
def table():
    """50 users × 30 items of clustered ratings."""
    return clustered_table(50, 30, 3, np.random.default_rng(0))


@pytest.fixture(scope="module")
def dataset(table):
    """The table with genres for all items but three."""
    return described(table, np.random.default_rng(1), undescribed=(4, 11, 29))


@pytest.fixture(scope="module")
def with_users(dataset):
    """The same with an age and a trade for all users but two."""
    users = {
        f"u{user:05}": {"age": 20 + user % 3, "trade": "cook" if user % 5 else "poet"}
        for user in range(50)
        if user not in {7, 31}
    }
    return replace(dataset, user_metadata=users)


def item_features(dataset, members, least):
    """The features of the dataset's items."""
    return feature_table(Described("item", dataset.items, dataset.metadata, "", ""), members, least)


def fit(dataset, seed=0, **hyperparameters):
    """Fit as the training script does."""
    family = FAMILIES["hybrid_svd"].make(configure("hybrid_svd", hyperparameters))
    return family.fit(dataset, rng=np.random.default_rng(seed))


def dense_similarity(dataset, weight):
    """(1 − α)I + αZ, from the definition of the cosine; what has no genre is like itself."""
    genres = [set(dataset.metadata.get(item, {}).get("genres", [item])) for item in dataset.items]
    cosine = [[len(a & b) / np.sqrt(len(a) * len(b)) for b in genres] for a in genres]
    return (1 - weight) * np.eye(len(genres)) + weight * np.array(cosine)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9])
def test_scores_are_those_of_the_paper_with_a_cholesky_factor(table, dataset, weight):
    """Scores equal R V_l V_rᵀ from the dense Cholesky factor, so the square root does not matter."""
    ratings = np.nan_to_num(table)
    lower = cholesky(dense_similarity(dataset, weight), lower=True)
    vectors = np.linalg.svd(ratings @ lower)[2][:6].T
    expected = ratings @ (lower @ vectors) @ solve_triangular(lower.T, vectors, lower=False).T
    model = fit(dataset, factors=6, similarity_weight=weight)
    scores = model.score_users(np.arange(50, dtype=np.int32))
    assert_allclose(scores, expected, atol=2e-4)  # float32 factors of ratings up to 5


def dense_user_similarity(dataset, weight):
    """The same of the users, whose features are an age and a trade."""
    values = [set(dataset.user_metadata.get(user, {user: user}).values()) for user in dataset.users]
    cosine = [[len(a & b) / np.sqrt(len(a) * len(b)) for b in values] for a in values]
    return (1 - weight) * np.eye(len(values)) + weight * np.array(cosine)


WITH_USERS = {"factors": 6, "similarity_weight": 0.4, "user_features": ["age", "trade"]}


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9])
def test_user_similarity_is_that_of_the_paper_with_cholesky_factors(table, with_users, weight):
    """Scores are M⁻ᵀUΣV̂ᵀL⁻¹ from the dense Cholesky factors of K and S; the loss is what UΣV̂ᵀ leaves."""
    ratings = np.nan_to_num(table)
    of_users = cholesky(dense_user_similarity(with_users, weight), lower=True)
    of_items = cholesky(dense_similarity(with_users, 0.4), lower=True)
    left, values, right = np.linalg.svd(of_users.T @ ratings @ of_items, full_matrices=False)
    known = np.linalg.inv(of_users.T) @ (left[:, :6] * values[:6])
    expected = known @ right[:6] @ np.linalg.inv(of_items)
    model = fit(with_users, **WITH_USERS, user_similarity_weight=weight)
    assert_allclose(model.score_users(np.arange(50, dtype=np.int32)), expected, atol=2e-4)  # float32
    assert model.losses == pytest.approx([(values[6:] ** 2).sum() / np.count_nonzero(~np.isnan(table))])


def test_user_similarity_changes_the_items_and_never_the_fold_in(with_users):
    """Who is like whom is in the item factors; a user's vector is still the fold-in of their own history."""
    model = fit(with_users, **WITH_USERS)
    assert not np.allclose(
        model.items.factors, fit(with_users, factors=6, similarity_weight=0.4).items.factors
    )
    fold_in = FoldIn(model.items, model.rule)
    folded = [fold_in.solve(with_users.histories.only(user)).vector for user in range(50)]
    assert_allclose(folded, model.user_factors, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("hyperparameters", "complaint"),
    [
        (
            {"user_features": ["height"]},
            "no user has metadata 'height'; there are age, trade: name some with",
        ),
        (
            {"user_features": ["age"], "min_feature_users": 40},
            "0 values of age are shared by 40 users or more",
        ),
    ],
)
def test_user_features_that_there_are_not_are_refused(with_users, hyperparameters, complaint):
    """The error names what is there and the remedy."""
    with pytest.raises(ConfigError, match=complaint):
        fit(with_users, factors=3, **hyperparameters)


def test_user_features_without_a_table_of_users_are_refused(dataset):
    """Asking for them without metadata names the option."""
    with pytest.raises(DataError, match="metadata of the users: name their table with --users"):
        fit(dataset, factors=3, user_features=["age"])


def test_without_similarity_it_is_the_truncated_svd(dataset):
    """At α = 0 scores are those of family svd."""
    users = np.arange(50, dtype=np.int32)
    svd = FAMILIES["svd"].make(configure("svd", {"factors": 5}))
    plain = svd.fit(dataset, rng=np.random.default_rng(0)).score_users(users)
    assert_allclose(
        fit(dataset, factors=5, similarity_weight=0).score_users(users), plain, atol=2e-4
    )  # float32


def test_the_loss_is_what_the_factors_leave_of_the_smoothed_table(table, dataset):
    """|R S^½ − U Σ V̂ᵀ|², by the dense singular values that are not kept."""
    lower = cholesky(dense_similarity(dataset, 0.4), lower=True)
    left = np.linalg.svd(np.nan_to_num(table) @ lower, compute_uv=False)[6:]
    model = fit(dataset, factors=6, similarity_weight=0.4)
    assert model.losses == pytest.approx([(left**2).sum() / np.count_nonzero(~np.isnan(table))])


def test_powers_of_the_similarity_are_those_of_the_dense_matrix(dataset):
    """S^½ times itself is S, and S^(−½) undoes S^½."""
    similarity = Similarity(item_features(dataset, ["genres"], 1), 0.6)
    identity, dense = np.eye(30), dense_similarity(dataset, 0.6)
    root = similarity.power(0.5)
    assert_allclose(similarity.power(1) @ identity, dense, atol=1e-12)
    assert_allclose(root @ (root @ identity), dense, atol=1e-12)
    assert_allclose(similarity.power(-0.5) @ (root @ identity), identity, atol=1e-12)


def test_an_unseen_item_gets_the_factors_that_the_similarity_expects(dataset, table):
    """Factors of items without interactions are S_uk S_kk⁻¹ V_k, by dense algebra."""
    unseen = np.zeros(30, dtype=bool)
    unseen[[2, 17, 23, 29]] = True
    hidden = np.where(unseen, np.nan, table)
    model = fit(replace(make_dataset(hidden), metadata=dataset.metadata), factors=5, similarity_weight=0.4)
    similarity = dense_similarity(dataset, 0.4)
    factors = model.items.factors.astype(float)
    expected = similarity[unseen][:, ~unseen] @ np.linalg.solve(
        similarity[~unseen][:, ~unseen], factors[~unseen]
    )
    assert_allclose(factors[unseen], expected, atol=1e-5)  # float32
    assert not factors[29].any()  # without genres there is nothing to expect
    assert factors[[2, 17, 23]].any(axis=1).all()


def test_unseen_items_are_ranked_by_their_metadata_above_chance():
    """Of items whose every interaction was held out, users are offered those of the genres that they like."""
    rng = np.random.default_rng(5)
    genre_of_item, genre_of_user = np.arange(80) % 4, np.arange(100) % 4
    chance = np.where(genre_of_user[:, np.newaxis] == genre_of_item, 0.6, 0.1)
    liked = rng.random((100, 80)) < chance
    unseen = np.arange(60, 80)
    table = np.where(liked, 1.0, np.nan)
    table[:, unseen] = np.nan
    metadata = {f"i{item:05}": {"genres": [GENRES[genre]]} for item, genre in enumerate(genre_of_item)}
    model = fit(replace(make_dataset(table), metadata=metadata), factors=6)
    scores = model.score_users(np.arange(100, dtype=np.int32))[:, unseen]
    best = np.argsort(-scores, axis=1)[:, :5]
    hit_rate = np.take_along_axis(liked[:, unseen], best, axis=1).mean()
    assert hit_rate > 0.5  # by chance 0.225; 0.6 at best
    assert liked[:, unseen].mean() < 0.3


def test_an_interaction_with_an_unseen_item_folds_in(dataset, table):
    """A history of an item that training had only metadata of leads to items that share them."""
    hidden = table.copy()
    hidden[:, 2] = np.nan
    model = fit(replace(make_dataset(hidden), metadata=dataset.metadata), factors=8, similarity_weight=0.5)
    row = make_dataset(np.where(np.arange(30) == 2, 1.0, np.nan)[np.newaxis]).histories
    fold_in = FoldIn(model.items, model.rule)
    folded = fold_in.solve(row)
    assert folded.vector.any()
    asked = np.arange(30, dtype=np.int32)
    contributions = fold_in.contributions(folded, asked)[:, 0]
    assert_allclose(contributions, model.items.factors @ folded.vector, rtol=1e-4, atol=1e-5)  # float32


def test_features_are_the_shared_values_of_the_members():
    """Lists give each value once, other values are one; what too few items share is left out."""
    metadata = {
        "i00000": {"tags": ["a", "b", "a"], "year": 1999},
        "i00001": {"tags": ["b"], "year": 1999},
        "i00002": {"tags": "b", "director": {"name": "x"}},
    }
    dataset = replace(make_dataset(np.ones((2, 4))), metadata=metadata)
    assert_array_equal(
        item_features(dataset, ["tags", "year"], 1).toarray(),
        [[1, 1, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0]],
    )
    assert_array_equal(
        item_features(dataset, ["tags", "year"], 2).toarray(), [[1, 1], [1, 1], [1, 0], [0, 0]]
    )


@pytest.mark.parametrize(
    ("hyperparameters", "complaint"),
    [
        (
            {"features": ["tags"]},
            r"no item has metadata 'tags'; there are genres, title: name some with --set",
        ),
        ({"min_feature_items": 31}, r"0 values of genres are shared by 31 items or more"),
        ({"similarity_weight": 1}, "similarity_weight=1: .*less than 1"),
        ({"features": []}, "features=.*at least 1 item"),
        ({"factors": 30}, r"--set factors=29 or fewer"),
    ],
)
def test_hyperparameters_that_do_not_fit_the_metadata_are_refused(dataset, hyperparameters, complaint):
    """Each error names what is there and the remedy."""
    with pytest.raises(ConfigError, match=complaint):
        fit(dataset, **{"factors": 3, **hyperparameters})


def test_too_many_features_are_refused(dataset, monkeypatch):
    """More values than can be decomposed are an error that names both numbers."""
    monkeypatch.setattr(features_module, "MOST_FEATURES", 3)
    with pytest.raises(ConfigError, match=r"4 values of genres .* of which 3 can be used; raise --set"):
        fit(dataset, factors=3)


def test_data_that_it_cannot_take_is_refused(table, dataset):
    """No metadata, nothing but zeros, one user or one item: an error with the remedy before training."""
    with pytest.raises(DataError, match="name their table with --items"):
        fit(make_dataset(table), factors=3)
    with pytest.raises(DataError, match="only values of 0"):
        fit(replace(make_dataset(np.zeros((5, 30))), metadata=dataset.metadata), factors=3)
    for shape in ((1, 30), (30, 1)):
        with pytest.raises(DataError, match="too few to factorize"):
            fit(
                replace(make_dataset(np.ones(shape)), metadata=dataset.metadata),
                factors=1,
                min_feature_items=1,
            )
