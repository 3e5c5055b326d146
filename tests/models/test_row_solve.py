"""The row problem: definition against dense oracle, sweep against definition, rules against conventions."""

from __future__ import annotations

import implicit.nearest_neighbours
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.sparse import csr_matrix

from models.errors import TrainingError
from models.fold_in import FoldIn
from models.row_rules import (
    BM25Weighting,
    ExplicitRule,
    FixedSide,
    ImplicitRule,
    LinearWeighting,
    LogWeighting,
    ProjectionRule,
    SparkExplicitRule,
    SparkImplicitRule,
    UnobservedRule,
)
from models.row_solve import RowProblem, Rows, SingularRowError, gram_matrix, solve_row
from models.row_solve.sweep import sweep
from tests import reference
from tests.models.strategies import clustered_table, make_dataset, row_problems

RULES = [
    ImplicitRule(alpha=2.0, regularization=0.5),
    ImplicitRule(alpha=3.0, regularization=0.1, weighting=LogWeighting(epsilon=0.5)),
    UnobservedRule(unobserved_weight=0.3, regularization=0.02, ridge_exponent=1.0, confidence_scale=0.4),
    UnobservedRule(unobserved_weight=0.1, regularization=0.2, ridge_exponent=0.5, weighting=LogWeighting()),
    ExplicitRule(global_mean=3.2, regularization=0.3, ridge="constant"),
    ExplicitRule(global_mean=3.2, regularization=0.3, ridge="frequency"),
    SparkImplicitRule(alpha=2.0, regularization=0.07),
    SparkExplicitRule(regularization=0.08),
]


@given(case=row_problems(), alpha=st.floats(0.5, 5), ridge=st.floats(0.01, 10))
def test_an_implicit_row_is_the_dense_least_squares_solution(case, alpha, ridge):
    """Fold-in of one implicit history equals dense weighted least squares over every item."""
    factors, items, values = case
    rule = ImplicitRule(alpha=alpha, regularization=ridge)
    row = FoldIn(FixedSide(factors), rule).solve(Rows.one(items, values))
    confidence = np.ones(len(factors))
    confidence[items] = np.abs(np.float32(alpha) * values)
    preference = np.zeros(len(factors))
    preference[items] = values > 0
    expected = reference.confidence_weighted_row(factors, confidence, preference, ridge)
    # The stored vector is float32; lstsq on the stacked design loses a few digits more.
    assert_allclose(row.vector, expected, rtol=1e-4, atol=1e-5)


@given(
    case=row_problems(), regularization=st.floats(0.05, 5), ridge=st.sampled_from(["constant", "frequency"])
)
def test_an_explicit_row_is_the_dense_ridge_solution(case, regularization, ridge):
    """Fold-in of one rating history equals dense ridge regression with the bias as a column of ones."""
    factors, items, values = case
    factors = np.concatenate([factors, np.linspace(-1, 1, len(factors), dtype=np.float32)[:, None]], axis=1)
    rule = ExplicitRule(global_mean=2.5, regularization=regularization, ridge=ridge)
    row = FoldIn(FixedSide(factors), rule).solve(Rows.one(items, values))
    design = np.concatenate([factors[:, :-1], np.ones((len(factors), 1))], axis=1)
    observed = np.zeros(len(factors))
    observed[items] = 1
    target = np.zeros(len(factors))
    target[items] = values - 2.5 - factors[items, -1]
    strength = regularization * (len(items) if ridge == "frequency" else 1)
    expected = reference.confidence_weighted_row(design, observed, target, strength)
    assert_allclose(row.vector, expected, rtol=1e-4, atol=1e-4)  # float32 targets, ratings up to 20


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.regularization}")
@given(seed=st.integers(0, 2**32), density=st.floats(0.02, 0.9))
@settings(max_examples=15)
def test_the_sweep_is_the_definition_for_every_row(rule, seed, density):
    """The compiled float64 sweep and the readable one-row definition agree on every row, even empty ones."""
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 6, size=(30, 20)).astype(float)
    table[rng.random(table.shape) > density] = np.nan
    rows = make_dataset(table).histories
    side = FixedSide(rng.normal(size=(20, 7)).astype(np.float32))
    fold_in = FoldIn(side, rule)
    swept = sweep(rows, rule.design(side).astype(np.float64), rule.problem(rows, side))
    one_by_one = [fold_in.solve(rows.only(number)).vector for number in range(len(rows))]
    assert_allclose(swept, one_by_one, rtol=1e-5, atol=1e-6)  # the definition's result is rounded to float32


def test_the_float32_sweep_follows_the_float64_sweep():
    """Training's float32 sweep differs from the float64 one by rounding only."""
    rng = np.random.default_rng(1)
    rows = make_dataset(clustered_table(80, 60, 5, rng)).histories
    side = FixedSide(rng.normal(size=(60, 17)).astype(np.float32))
    rule = RULES[2]
    problem = rule.problem(rows, side)
    design = rule.design(side)
    exact = sweep(rows, design.astype(np.float64), problem)
    assert_allclose(sweep(rows, design, problem), exact, rtol=1e-3, atol=1e-3)  # float32, condition ~1e3


def test_no_small_step_from_the_solution_lowers_the_objective():
    """The explicit sweep ends in a minimum: random perturbations of any row only raise the loss."""
    rng = np.random.default_rng(2)
    table = clustered_table(25, 20, 3, rng)
    rows = make_dataset(table).histories
    items = rng.normal(size=(20, 5))
    rule = ExplicitRule(global_mean=3.0, regularization=0.2, ridge="frequency")
    side = FixedSide(items.astype(np.float32))
    users = sweep(rows, rule.design(side).astype(np.float64), rule.problem(rows, side))
    ridges = 0.2 * rows.lengths, np.zeros(20)
    least = reference.explicit_objective(table, 3.0, users, side.factors, ridges)
    for _ in range(50):
        step = users + 1e-3 * rng.normal(size=users.shape)
        assert reference.explicit_objective(table, 3.0, step, side.factors, ridges) > least


@given(case=row_problems(), rule=st.sampled_from(RULES), asked=st.integers(0, 24))
def test_contributions_and_intercept_sum_to_the_score(case, rule, asked):
    """An explanation is exact: its parts sum to the score of any item."""
    factors, items, values = case
    if factors.shape[1] < 2:
        factors = np.concatenate([factors, factors[:, ::-1]], axis=1)
    item = np.array([asked % len(factors)], dtype=np.int32)
    fold_in = FoldIn(FixedSide(factors), rule)
    row = fold_in.solve(Rows.one(items, values))
    parts = fold_in.contributions(row, item)
    p, q = row.vector.astype(np.float64), factors[item[0]].astype(np.float64)
    score = rule.global_mean + (p[:-1] @ q[:-1] + p[-1] + q[-1] if rule.biased else p @ q)
    assert parts.shape == (1, len(items))
    scale = 1 + np.abs(parts).sum()  # opposite parts may be far larger than their sum
    assert abs(parts.sum() + fold_in.intercepts(row, item)[0] - score) < 1e-5 * scale


@given(case=row_problems(), rule=st.sampled_from(RULES), order=st.randoms())
def test_the_order_of_a_history_does_not_matter(case, rule, order):
    """Shuffling a history changes its fold-in by rounding only."""
    factors, items, values = case
    shuffled = list(range(len(items)))
    order.shuffle(shuffled)
    fold_in = FoldIn(FixedSide(factors), rule)
    first = fold_in.solve(Rows.one(items, values)).vector
    second = fold_in.solve(Rows.one(items[shuffled], values[shuffled])).vector
    assert_allclose(first, second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", [*RULES, ProjectionRule()], ids=lambda rule: rule.kind)
def test_an_empty_history_folds_in_to_zeros(rule):
    """The empty history is decided in one place: zeros, as the training sweep leaves it."""
    side = FixedSide(np.eye(4, dtype=np.float32))
    row = FoldIn(side, rule).solve(Rows.one(np.empty(0, np.int32), np.empty(0, np.float32)))
    assert not row.vector.any()


def test_a_singular_row_is_refused_by_both():
    """A rank-deficient row without ridge is an error, never a vector of NaN."""
    problem = RowProblem(0.0, np.ones(1, np.float32), np.ones(1, np.float32), np.zeros(1))
    with pytest.raises(SingularRowError):
        solve_row(np.ones((1, 3), np.float32), None, problem)
    rows = Rows.one(np.zeros(1, np.int32), np.ones(1, np.float32))
    with pytest.raises(TrainingError, match=r"row 0 of 1 has no unique solution.*raise the regularization"):
        sweep(rows, np.ones((1, 3)), problem)


def test_the_gram_matrix_is_blockwise_and_in_float64():
    """QᵀQ summed block by block equals the dense product."""
    factors = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    wide = factors.astype(np.float64)
    assert_allclose(gram_matrix(factors, block=7), wide.T @ wide, rtol=1e-12)


def test_bm25_weighs_as_implicit_does():
    """Our BM25 of items × users equals `implicit.nearest_neighbours.bm25_weight` cell by cell."""
    rng = np.random.default_rng(3)
    table = clustered_table(40, 30, 4, rng)
    rows = make_dataset(table).histories
    weighting = BM25Weighting(k1=50, b=0.6)
    norms = weighting.length_norms(np.nansum(table, axis=0))
    ours = weighting.confidence(rows, FixedSide(np.zeros((30, 1), np.float32), {"length_norm": norms}))
    dense = np.nan_to_num(table)
    theirs = implicit.nearest_neighbours.bm25_weight(csr_matrix(dense.T), K1=50, B=0.6).toarray().T
    assert_allclose(ours, theirs[dense > 0], rtol=1e-5)


def test_weightings_keep_the_sign_of_a_dislike():
    """A negative value stays negative under every weighting, and mirrors the positive one."""
    rows = Rows.one(np.array([0, 1], np.int32), np.array([4.0, -4.0], np.float32))
    side = FixedSide(np.zeros((9, 1), np.float32), {"length_norm": np.ones(9, np.float32)})
    for weighting in (LinearWeighting(), LogWeighting(), BM25Weighting()):
        liked, disliked = weighting.confidence(rows, side)
        assert liked > 0
        assert disliked == -liked


def test_rows_transpose_and_select():
    """Transposing twice is the identity; selecting rows copies exactly those rows."""
    rows = make_dataset(clustered_table(12, 9, 2, np.random.default_rng(4))).histories
    back = rows.transposed(9).transposed(12)
    for name in ("indptr", "indices", "values"):
        assert_allclose(getattr(back, name), getattr(rows, name))
    some = rows.select(np.array([5, 2, 5], np.int32))
    assert [some.row(n)[0].tolist() for n in range(3)] == [rows.row(n)[0].tolist() for n in (5, 2, 5)]
