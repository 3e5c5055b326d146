"""An item folded in from its users, against dense oracles and against the item that training made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.item_side import ItemFoldIn, item_rule
from models.registry import FAMILIES, configure
from models.row_rules import (
    BM25Weighting,
    ExplicitRule,
    ImplicitRule,
    KLRule,
    LogWeighting,
    ObliqueProjectionRule,
    PopularityRule,
    ProjectionRule,
    UnobservedRule,
)
from models.row_solve import Rows
from tests import reference
from tests.models.strategies import clustered_table, make_dataset, row_problems


def folding(rule, users, histories=None, n_items=10):
    """An item side with these users' factors."""
    empty = Rows(np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    return ItemFoldIn(rule, users, histories or empty, n_items)


@given(problem=row_problems())
def test_implicit_items_are_the_dense_solution_over_all_users(problem):
    """Both implicit conventions: confidence-weighted least squares over every user."""
    users, rows, values = problem
    first = Rows.one(rows, values)
    found = folding(ImplicitRule(alpha=2.0, regularization=0.7), users).solve(first).vector
    confidence, preference = np.ones(len(users)), np.zeros(len(users))
    confidence[rows], preference[rows] = 2 * np.abs(values), values > 0
    expected = reference.confidence_weighted_row(users, confidence, preference, 0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)  # float32 factors
    rule = UnobservedRule(
        unobserved_weight=0.3, regularization=0.2, ridge_exponent=0.5, weighting=LogWeighting(epsilon=2.0)
    )
    found = folding(rule, users).solve(first).vector
    weighted = np.log1p(np.abs(values) / 2.0)
    confidence, preference = np.full(len(users), 0.3), np.zeros(len(users))
    confidence[rows] += weighted
    preference[rows] = weighted * (values > 0) / confidence[rows]
    ridge = 0.2 * (0.3 * len(users) + len(rows)) ** 0.5
    expected = reference.confidence_weighted_row(users, confidence, preference, ridge)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@given(problem=row_problems(negatives=False), mean=st.floats(1, 5))
def test_rated_items_are_the_dense_biased_solution(problem, mean):
    """Ratings less the users' biases, on the users' factors and a column of ones."""
    users, rows, values = problem
    rule = ExplicitRule(global_mean=mean, regularization=0.4, ridge="frequency")
    found = folding(rule, users).solve(Rows.one(rows, values)).vector
    design = users.astype(np.float64)[rows]
    targets = values - mean - design[:, -1]
    design[:, -1] = 1
    ridge = 0.4 * len(rows) * np.eye(design.shape[1])
    expected = np.linalg.solve(design.T @ design + ridge, design.T @ targets)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # float32 targets


RECIPES = [
    ("svd", {"factors": 5}),
    ("svd", {"factors": 5, "centring": "global"}),
    ("svd", {"factors": 5, "centring": "item"}),
    ("svd", {"factors": 5, "centring": "user"}),
    ("hybrid_svd", {"factors": 5}),
    ("als", {"factors": 4, "iterations": 200}),
    ("ials", {"factors": 4, "iterations": 200}),
    ("ials", {"factors": 4, "iterations": 200, "weighting": "log"}),
    ("ials", {"factors": 4, "iterations": 200, "weighting": "bm25"}),
    ("ials_implicit", {"factors": 4, "iterations": 200, "weighting": "bm25"}),
    ("nmf", {"factors": 4, "iterations": 500}),
]


@pytest.mark.parametrize(
    ("family", "hyperparameters"),
    RECIPES,
    ids=lambda each: each if isinstance(each, str) else "-".join(map(str, each.values())),
)
def test_an_item_of_the_table_is_itself(family, hyperparameters):
    """Folded in from all of its users, an item is what training made of it, as far as training went."""
    dataset = make_dataset(clustered_table(60, 30, 3, np.random.default_rng(0), density=0.4))
    metadata = {f"i{item:05}": {"genres": [f"genre {item % 3}"]} for item in range(30)}
    dataset = type(dataset)(dataset.users, dataset.items, dataset.histories, True, metadata)
    model = (
        FAMILIES[family].make(configure(family, hyperparameters)).fit(dataset, rng=np.random.default_rng(0))
    )
    side = ItemFoldIn(model.rule, model.user_factors, dataset.histories, 30)
    items = dataset.histories.transposed(30)
    scale = np.abs(model.items.factors).max()
    for item in range(30):
        found = side.solve(items.only(item)).vector
        # SVD is exact in float32; alternating fits end on a user sweep, near a minimum, to which the
        # multiplicative updates of nmf creep
        tolerance = {"svd": 1e-4, "hybrid_svd": 1e-4, "nmf": 0.05}.get(family, 0.02)
        np.testing.assert_allclose(found, model.items.factors[item], atol=tolerance * scale)


def test_bm25_measures_the_items_length():
    """The same plays weigh less in an item of more of them."""
    rng = np.random.default_rng(4)
    histories = Rows(
        np.arange(0, 66, 5, dtype=np.int64), np.tile(np.arange(5, dtype=np.int32), 13),
        rng.integers(1, 9, 65).astype(np.float32),
    )  # fmt: skip
    rule = ImplicitRule(alpha=1.0, regularization=0.1, weighting=BM25Weighting(k1=20.0, b=0.9))
    side = folding(rule, rng.normal(size=(13, 2)).astype(np.float32), histories, 40)
    short = side.weighed(Rows.one(np.array([3], np.int32), np.array([4.0], np.float32)))
    longer = side.weighed(Rows.one(np.array([3, 7], np.int32), np.array([4.0, 90.0], np.float32)))
    assert 0 < longer.values[0] < short.values[0]


def test_popularity_has_no_row_problem():
    """Every other rule has one."""
    side = folding(PopularityRule(), np.ones((3, 1), np.float32))
    assert not side.is_possible
    with pytest.raises(TypeError, match="popularity rule have no row problem"):
        side.solve(Rows.one(np.array([0], np.int32), np.ones(1, np.float32)))
    for rule in (KLRule(), ObliqueProjectionRule(), ProjectionRule()):
        assert folding(rule, np.ones((3, 1), np.float32)).is_possible
    assert isinstance(item_rule(ObliqueProjectionRule()), ProjectionRule)
