"""SVD++: its fold-in against dense least squares, its explanations, and what it gains."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from pydantic import TypeAdapter

from models.families.funk_svd import FunkSVD, FunkSVDConfig
from models.families.svdpp import SVDPP, SVDPPConfig
from models.fold_in import FoldIn
from models.metrics import root_mean_squared_error
from models.row_rules import IMPLICIT_FACTORS, FixedSide, RowRule, SVDPPRule
from models.row_solve import Rows
from models.split import random_split
from tests import reference
from tests.models.strategies import make_dataset, row_problems


def side_of(factors, rng):
    """An item side of the given factors, whose last coordinate is the bias, and random y."""
    implicit = rng.normal(0, 0.3, (len(factors), factors.shape[1] - 1)).astype(np.float32)
    return FixedSide(factors, {IMPLICIT_FACTORS: implicit})


@st.composite
def histories(draw):
    """An item side, one history, and a rule."""
    factors, items, values = draw(row_problems())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    factors = np.column_stack([factors, rng.normal(size=len(factors))]).astype(np.float32)
    rule = SVDPPRule(global_mean=3.5, regularization=draw(st.floats(0.01, 2)))
    return side_of(factors, rng), Rows.one(items, values), rule


@given(histories())
def test_fold_in_is_the_dense_solution_plus_z(case):
    """[p + z, b] minimizes Σ(r − μ − bᵢ − b − q·(p + z))² + λn(|p|² + b²), by dense least squares."""
    side, history, rule = case
    q, b = side.factors[history.indices, :-1].astype(np.float64), side.factors[history.indices, -1]
    z = side.arrays[IMPLICIT_FACTORS][history.indices].sum(axis=0) / np.sqrt(len(q))
    targets = history.values - 3.5 - b - q @ z
    solution, _ = reference.biased_row(
        np.column_stack([q, np.ones(len(q))]), targets, rule.regularization * len(q)
    )
    folded = FoldIn(side, rule).solve(history).vector
    assert_allclose(folded, solution + np.append(z, 0), rtol=1e-3, atol=1e-3)  # float32 targets up to 30


@given(histories())
def test_explanations_sum_to_the_score(case):
    """Contributions and intercept of every item are its score."""
    side, history, rule = case
    fold_in = FoldIn(side, rule)
    row = fold_in.solve(history)
    items = np.arange(len(side.factors), dtype=np.int32)
    explained = fold_in.contributions(row, items).sum(axis=1) + fold_in.intercepts(row, items)
    scores = side.factors @ rule.query(row.vector) + rule.shift(row.vector)
    assert_allclose(explained, scores, rtol=1e-3, atol=1e-3)  # scores are sums of float32 products


def test_an_empty_history_folds_in_to_zeros():
    """Nobody's history has neither p nor z nor a bias."""
    rng = np.random.default_rng(0)
    side = side_of(rng.normal(size=(5, 4)).astype(np.float32), rng)
    nothing = Rows.one(np.zeros(0, np.int32), np.zeros(0, np.float32))
    assert not FoldIn(side, SVDPPRule(regularization=1)).solve(nothing).vector.any()


def test_the_rule_survives_the_manifest():
    """What the manifest's JSON holds is the rule again."""
    rule = SVDPPRule(global_mean=3.5, regularization=0.06)
    adapter = TypeAdapter(RowRule)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule


def test_which_items_were_rated_is_used():
    """Where taste decides what is rated and few ratings say how, SVD++ beats the same model without y."""
    rng = np.random.default_rng(7)
    taste, kind = rng.choice([-1, 1], size=(1000, 1)), rng.choice([-1, 1], size=80)
    table = 3 + taste * kind + rng.normal(0, 0.5, (1000, 80))
    table[rng.random(table.shape) > 0.02 + 0.08 * (taste == kind)] = np.nan
    table[np.arange(1000), np.arange(1000) % 80] = 3
    dataset = make_dataset(table)
    hidden = random_split(dataset, 0.2, rng)
    training, test = dataset.with_entries(~hidden), dataset.with_entries(hidden).histories
    common = {"factors": 4, "iterations": 20, "learning_rate": 0.02, "regularization": 0.1}
    with_y = SVDPP(SVDPPConfig(**common)).fit(training, rng=rng)
    without = FunkSVD(FunkSVDConfig(**common)).fit(training, rng=rng)
    error, plain = (root_mean_squared_error(model.predict(test), test.values) for model in (with_y, without))
    assert error < 0.9 * plain
