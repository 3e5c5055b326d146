"""Spark MLlib's two objectives on one machine, against dense oracles of Spark's own formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from models.fold_in import FoldIn
from models.item_side import item_rule
from models.registry import FAMILIES, configure
from models.row_rules import FixedSide, SparkExplicitRule, SparkImplicitRule
from models.row_solve import Rows
from tests import reference
from tests.models.strategies import clustered_table, make_dataset, row_problems


@given(case=row_problems(), alpha=st.floats(0.1, 5), regularization=st.floats(0.01, 2))
def test_an_implicit_row_is_the_dense_solution_over_every_item(case, alpha, regularization):
    """Confidence 1 + α·abs(r), preference only for r > 0, and λ times the number of positive values."""
    factors, items, values = case
    rule = SparkImplicitRule(alpha=alpha, regularization=regularization)
    row = FoldIn(FixedSide(factors), rule).solve(Rows.one(items, values))
    confidence, preference = np.ones(len(factors)), np.zeros(len(factors))
    confidence[items] += alpha * np.abs(values)
    preference[items] = values > 0
    ridge = regularization * np.count_nonzero(values > 0)
    expected = reference.confidence_weighted_row(factors, confidence, preference, ridge)
    assert_allclose(row.vector, expected, rtol=1e-4, atol=1e-5)  # float32 weights and factors
    if not (values > 0).any():
        assert not row.vector.any()


@given(case=row_problems(), regularization=st.floats(0.05, 2))
def test_a_rated_row_is_the_dense_solution_over_its_items(case, regularization):
    """Ridge regression of the ratings themselves, λ times their number."""
    factors, items, values = case
    rule = SparkExplicitRule(regularization=regularization)
    row = FoldIn(FixedSide(factors), rule).solve(Rows.one(items, values))
    observed, ratings = np.zeros(len(factors)), np.zeros(len(factors))
    observed[items], ratings[items] = 1, values
    expected = reference.confidence_weighted_row(factors, observed, ratings, regularization * len(items))
    assert_allclose(row.vector, expected, rtol=1e-4, atol=1e-4)  # float32 factors, ratings up to 20


@pytest.mark.parametrize(
    "rule", [SparkImplicitRule(alpha=2, regularization=0.1), SparkExplicitRule(regularization=1)]
)
def test_items_follow_the_convention_of_users(rule):
    """Spark solves both sides by the same code, so an item folds in by the users' rule."""
    assert item_rule(rule) == rule


@pytest.mark.parametrize(
    ("family", "hyperparameters"),
    [("spark_ials", {"alpha": 3, "regularization": 0.02}), ("spark_als", {"regularization": 0.02})],
)
def test_the_loss_is_the_dense_objective(family, hyperparameters):
    """The last loss equals the objective summed over a dense table, divided by that of factors of 0."""
    table = clustered_table(40, 30, 3, np.random.default_rng(0))
    table = table - 2 if family == "spark_ials" else table  # dislikes and zeros among them
    config = configure(family, {"factors": 4, "iterations": 30, **hyperparameters})
    model = FAMILIES[family].make(config).fit(make_dataset(table), rng=np.random.default_rng(1))
    observed = ~np.isnan(table)
    if family == "spark_ials":
        values = np.where(observed, table, 0)
        confidence, target = 1 + 3 * np.abs(values), (values > 0).astype(float)
        counted = values > 0
    else:
        confidence, target, counted = observed.astype(float), np.where(observed, table, 0), observed

    def objective(users, items):
        penalty = counted.sum(axis=1) @ (users**2).sum(axis=1) + counted.sum(axis=0) @ (items**2).sum(axis=1)
        return (confidence * (target - users @ items.T) ** 2).sum() + 0.02 * penalty

    users, items = model.user_factors.astype(float), model.items.factors.astype(float)
    nothing = objective(users * 0, items * 0)
    assert model.losses[-1] == pytest.approx(objective(users, items) / nothing, rel=1e-4)  # float32 sweeps
    assert all(
        after <= before * (1 + 1e-5) for before, after in zip(model.losses, model.losses[1:], strict=False)
    )
