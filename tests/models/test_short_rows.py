"""Rows with few entries, solved among these, are what the definition says; and the axes that it takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from models.errors import TrainingError
from models.fold_in import FoldIn
from models.posterior import Posterior
from models.principal_axes import in_principal_axes, principal_axes, turned
from models.row_rules import BM25Weighting, FixedSide, ImplicitRule, SparkImplicitRule, UnobservedRule
from models.row_rules.weighting import LENGTH_NORM
from models.row_solve import (
    RowProblem,
    Rows,
    RowSolution,
    SingularRowError,
    gram_matrix,
    solve_row,
    solve_short_row,
)
from models.row_solve.short_rows import ShortRowSolution

RULES = [
    ImplicitRule(alpha=2.0, regularization=0.5),
    ImplicitRule(alpha=1.0, regularization=0.01),  # a value of 1 has no weight
    UnobservedRule(unobserved_weight=0.3, regularization=0.02, ridge_exponent=1.0, confidence_scale=0.4),
    UnobservedRule(unobserved_weight=0.1, regularization=0.2, ridge_exponent=0.5),
    SparkImplicitRule(alpha=2.0, regularization=0.07),
]


@st.composite
def short_problems(draw):
    """A diagonal, fewer rows of factors than those have coordinates, and weights from 0 to huge."""
    n_factors = draw(st.integers(2, 12))
    n_entries = draw(st.integers(1, n_factors - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = draw(
        st.lists(
            st.sampled_from([0.0, 1e-30, 1e-8, 0.5, 1.0, 39.0, 1e6]), min_size=n_entries, max_size=n_entries
        )
    )
    targets = rng.normal(size=n_entries).astype(np.float32)
    ridge = np.array([draw(st.sampled_from([1e-3, 0.5, 20.0]))])
    problem = RowProblem(
        draw(st.sampled_from([0.0, 0.2, 1.0])), np.array(weights, np.float32), targets, ridge
    )
    return rng.normal(size=(n_entries, n_factors)), rng.uniform(0, 50, n_factors), problem


@given(case=short_problems())
def test_solved_among_its_entries_a_row_is_that_of_the_definition(case):
    """p, and A⁻¹ times anything, are those of the d × d matrix; so no weight is too small or too large."""
    observed, diagonal, problem = case
    expected = solve_row(observed, problem.gram_weight * np.diag(diagonal), problem)
    short = solve_short_row(observed, diagonal, problem)
    assert_allclose(short.vector, expected.vector, rtol=1e-6, atol=1e-6 * np.abs(expected.vector).max())
    assert isinstance(expected, RowSolution)
    columns = np.random.default_rng(0).normal(size=(observed.shape[1], 3))
    inverse = expected.inverse_times(columns)
    assert_allclose(short.inverse_times(columns), inverse, rtol=1e-6, atol=1e-6 * np.abs(inverse).max())
    assert_allclose(
        short.inverse_times(columns[:, 0]), inverse[:, 0], rtol=1e-6, atol=1e-6 * np.abs(inverse).max()
    )


@given(case=short_problems())
def test_what_the_entries_respond_sums_to_the_score(case):
    """Σᵢ tᵢ·xᵀA⁻¹qᵢ is xᵀp to the last digits of float64, whatever the weights; A⁻¹ alone is not exact."""
    observed, diagonal, problem = case
    short = solve_short_row(observed, diagonal, problem)
    asked = np.random.default_rng(1).normal(size=(4, observed.shape[1]))
    parts = short.responses(asked, observed) * problem.targets
    assert_allclose(parts.sum(axis=1), asked @ short.vector, rtol=1e-10, atol=1e-12 * np.abs(parts).max())
    expected = (
        solve_row(observed, problem.gram_weight * np.diag(diagonal), problem).responses(asked, observed)
        * problem.targets
    )
    assert_allclose(parts, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_row_without_ridge_and_gram_matrix_is_refused(weight):
    """What is singular among the factors is singular among the entries."""
    problem = RowProblem(0.0, np.full(1, weight, np.float32), np.ones(1, np.float32), np.zeros(1))
    with pytest.raises(SingularRowError):
        solve_short_row(np.ones((1, 3)), np.zeros(3), problem)


def test_a_large_weight_is_borne_and_an_extreme_one_refused():
    """Both entries' scores are their targets over their weights, while float64 can tell A from singular."""
    observed = np.array([[1e3, 1.0, 0.0], [0.0, 2.0, 1.0]])
    large, extreme = (
        RowProblem(1.0, np.full(2, weight, np.float32), np.full(2, weight, np.float32), np.ones(1))
        for weight in (1e8, 3e38)
    )
    solution = solve_short_row(observed, np.ones(3), large)
    assert_allclose(observed @ solution.vector, 1, rtol=1e-7)
    with pytest.raises(SingularRowError):
        solve_short_row(observed, np.ones(3), extreme)


def test_factors_that_are_not_finite_have_no_axes():
    """An error with the remedy, not one of linear algebra."""
    with pytest.raises(TrainingError, match="not finite; raise the regularization"):
        principal_axes(np.full((3, 2), np.nan, dtype=np.float32))


@given(seed=st.integers(0, 2**32), n_items=st.integers(1, 60), n_factors=st.integers(1, 9))
def test_principal_axes_keep_every_inner_product_and_make_the_gram_matrix_diagonal(seed, n_items, n_factors):
    """Turned together, factors score as before; V is orthogonal, and its signs are decided."""
    rng = np.random.default_rng(seed)
    items = (rng.normal(size=(n_items, n_factors)) * 10 ** rng.uniform(-3, 1, n_factors)).astype(np.float32)
    users = rng.normal(size=(7, n_factors)).astype(np.float32)
    axes = principal_axes(items)
    assert_allclose(axes.T @ axes, np.eye(n_factors), atol=1e-12)
    assert (axes.max(axis=0) >= -axes.min(axis=0) - 1e-12).all()
    after = turned(users, axes).astype(float) @ turned(items, axes).astype(float).T
    length = np.linalg.norm(users, axis=1)[:, None] * np.linalg.norm(items, axis=1)
    assert (np.abs(after - users.astype(float) @ items.astype(float).T) <= 1e-6 * length + 1e-30).all()
    gram = gram_matrix(in_principal_axes(items))
    diagonal = np.sqrt(np.maximum(gram.diagonal(), 0))
    rounding = 1e-14 * gram.max()  # of eigenvectors whose eigenvalues are nothing to the largest
    assert (np.abs(gram - np.diag(gram.diagonal())) <= 1e-6 * np.outer(diagonal, diagonal) + rounding).all()
    assert (np.diff(gram.diagonal()) <= 1e-6 * gram.max()).all()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.regularization}")
@given(seed=st.integers(0, 2**32), n_entries=st.integers(1, 70))
@settings(max_examples=30)
def test_a_history_folds_in_to_the_same_row_whichever_way_it_is_solved(rule, seed, n_entries):
    """In any axes, with few entries or many, the row is the same but for the turn."""
    rng = np.random.default_rng(seed)
    items = (rng.normal(size=(400, 48)) * np.linspace(1, 0.05, 48) @ _orthogonal(48, rng)).astype(np.float32)
    axes = principal_axes(items)
    history = Rows.one(
        np.sort(rng.choice(400, n_entries, replace=False)).astype(np.int32),
        rng.integers(1, 6, n_entries).astype(np.float32),
    )
    plain = FoldIn(FixedSide(items), rule).solve(history)
    quick = FoldIn(FixedSide(turned(items, axes)), rule).solve(history)
    assert isinstance(plain.solution.solution, RowSolution)
    assert isinstance(quick.solution.solution, ShortRowSolution if n_entries <= 32 else RowSolution)
    expected = plain.vector @ axes
    assert_allclose(quick.vector, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.regularization}")
def test_explanations_and_deviations_are_those_of_the_definition(rule):
    """Parts sum to the score, and a score is as sure, whichever way its row was solved."""
    rng = np.random.default_rng(3)
    items = (rng.normal(size=(400, 48)) * np.linspace(1, 0.05, 48) @ _orthogonal(48, rng)).astype(np.float32)
    history = Rows.one(np.arange(5, 20, dtype=np.int32), rng.integers(1, 6, 15).astype(np.float32))
    asked = np.array([0, 7, 399], dtype=np.int32)
    parts, deviations = [], []
    for factors in items, in_principal_axes(items):
        side = FixedSide(factors)
        fold_in = FoldIn(side, rule)
        row = fold_in.solve(history)
        parts.append(fold_in.contributions(row, asked))
        deviations.append(Posterior(side, rule, 0.7).deviations(row, asked))
        scores = factors[asked].astype(float) @ row.vector
        assert_allclose(parts[-1].sum(axis=1), scores, rtol=1e-5, atol=1e-6)
    assert isinstance(row.solution.solution, ShortRowSolution)
    assert_allclose(parts[1], parts[0], rtol=1e-3, atol=1e-5)
    assert_allclose(deviations[1], deviations[0], rtol=1e-4)


def test_a_negative_weight_takes_the_way_of_the_definition():
    """`implicit` counts a confidence below 1 as a negative weight, which has no root."""
    rng = np.random.default_rng(0)
    items = in_principal_axes(rng.normal(size=(100, 48)).astype(np.float32))
    fold_in = FoldIn(FixedSide(items), ImplicitRule(alpha=0.5, regularization=1.0))
    row = fold_in.solve(Rows.one(np.array([3, 7], np.int32), np.ones(2, np.float32)))
    assert isinstance(row.solution.solution, RowSolution)


def test_the_weighting_of_items_is_not_turned():
    """BM25 looks up lengths of rows, which no turn changes."""
    rng = np.random.default_rng(1)
    items = rng.normal(size=(90, 48)).astype(np.float32)
    axes = principal_axes(items)
    rule = ImplicitRule(alpha=2.0, regularization=1.0, weighting=BM25Weighting(k1=1.2, b=0.5))
    norms = {LENGTH_NORM: rng.uniform(0.5, 2, 90).astype(np.float32)}
    history = Rows.one(np.array([3, 7], np.int32), np.ones(2, np.float32))
    plain = FoldIn(FixedSide(items, norms), rule).solve(history).vector
    quick = FoldIn(FixedSide(turned(items, axes), norms), rule).solve(history).vector
    assert_allclose(quick, plain @ axes, rtol=1e-4, atol=1e-6)


def _orthogonal(n, rng):
    return np.linalg.qr(rng.normal(size=(n, n)))[0]
