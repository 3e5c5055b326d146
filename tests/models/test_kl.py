"""The Kullback–Leibler row problem: against a general optimizer, the textbook's steps, the compiled sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from models.errors import TrainingError
from models.fold_in import FoldIn
from models.row_rules import FixedSide, KLRule
from models.row_solve import Rows, SingularRowError, inverse_sums, solve_kl_row
from models.row_solve.kl_sweep import kl_sweep


@st.composite
def kl_problems(draw):
    """Non-negative factors with zeros in them, and one history of amounts: `(factors, items, values)`."""
    n_items, n_factors = draw(st.integers(2, 20)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    factors = rng.gamma(0.5, size=(n_items, n_factors)) * (rng.random((n_items, n_factors)) < 0.8)
    items = draw(st.lists(st.integers(0, n_items - 1), min_size=1, unique=True).map(sorted))
    values = draw(st.lists(st.integers(-2, 20).map(float), min_size=len(items), max_size=len(items)))
    return factors.astype(np.float32), np.array(items, dtype=np.int32), np.array(values, dtype=np.float32)


def divergence(p, factors, items, values):
    """Σₖ sₖpₖ − Σᵢ xᵢ log(p·qᵢ), over the entries that have a part in it."""
    q = factors[items].astype(np.float64)
    told = (values > 0) & q.any(axis=1)
    with np.errstate(divide="ignore"):
        return factors.sum(axis=0, dtype=np.float64) @ p - values[told] @ np.log(q[told] @ p)


@given(kl_problems())
def test_the_solution_is_the_minimum(problem):
    """No feasible direction lowers the convex objective: its gradient is 0 inside and not negative at 0."""
    factors, items, values = problem
    p = solve_kl_row(factors[items], values, inverse_sums(factors)).sum(axis=0)
    q = factors[items].astype(np.float64)
    told = (values > 0) & q.any(axis=1)
    sums = factors.sum(axis=0, dtype=np.float64)
    assert (p >= 0).all()
    if not told.any():
        assert not p.any()
        return
    gradient = (sums - (values[told] / (q[told] @ p)) @ q[told]) / np.where(sums > 0, sums, 1)
    mass = sums * p / values[told].sum()
    # The barrier that is left is 1e-10 of the values' sum.
    assert gradient.min() > -1e-7
    assert np.abs(gradient * mass).max() < 1e-8
    assert mass.sum() == pytest.approx(1, rel=1e-9)


def test_the_solution_is_what_a_general_optimizer_finds():
    """SciPy's bounded quasi-Newton method ends at no lower divergence, and near the same row."""
    rng = np.random.default_rng(0)
    factors = rng.gamma(0.5, size=(40, 5)).astype(np.float32)
    items, values = np.arange(0, 40, 3), rng.integers(1, 6, 14).astype(np.float32)
    ours = solve_kl_row(factors[items], values, inverse_sums(factors)).sum(axis=0)
    found = minimize(
        divergence, np.ones(5), (factors, items, values), bounds=[(1e-12, None)] * 5, options={"ftol": 1e-15}
    )
    assert divergence(ours, factors, items, values) <= found.fun + 1e-9
    assert_allclose(ours, found.x, atol=1e-3)  # its gradient is a difference quotient


def test_the_solution_is_where_the_steps_of_plsa_lead():
    """Expectation–maximization from uniform weights comes ever nearer to the same row."""
    rng = np.random.default_rng(1)
    factors = rng.gamma(0.5, size=(30, 4))
    items, values = np.arange(12), rng.integers(1, 6, 12).astype(float)
    g = factors[items] / factors.sum(axis=0)
    u = np.full(4, values.sum() / 4)
    for _ in range(20_000):
        u *= (values / (g @ u)) @ g
    ours = solve_kl_row(factors[items], values, inverse_sums(factors)).sum(axis=0)
    assert_allclose(ours * factors.sum(axis=0), u, atol=1e-6 * values.sum())


@given(st.lists(kl_problems(), min_size=1, max_size=3))
def test_the_compiled_sweep_is_the_definition(problems):
    """Row by row, the sweep gives what the NumPy definition gives."""
    factors = problems[0][0]
    histories = [(items[items < len(factors)], values[items < len(factors)]) for _, items, values in problems]
    rows = Rows(
        np.cumsum([0, *(len(items) for items, _ in histories)]).astype(np.int64),
        np.concatenate([items for items, _ in histories]),
        np.concatenate([values for _, values in histories]),
    )
    swept = kl_sweep(rows, factors)
    for row, (items, values) in zip(swept, histories, strict=True):
        defined = solve_kl_row(factors[items], values, inverse_sums(factors)).sum(axis=0)
        # Both stop at the same gap; rounding decides in which round.
        scale = np.maximum(values, 0).sum() * inverse_sums(factors).max()
        assert_allclose(row, defined, rtol=1e-6, atol=1e-8 * scale)


@given(kl_problems())
def test_contributions_sum_to_the_score(problem):
    """Each entry's part of each score, summed, is the score; what is not positive has no part."""
    factors, items, values = problem
    fold_in = FoldIn(FixedSide(factors), KLRule())
    row = fold_in.solve(Rows.one(items, values))
    asked = np.arange(len(factors), dtype=np.int32)
    parts = fold_in.contributions(row, asked)
    scores = factors.astype(np.float64) @ row.vector
    assert_allclose(parts.sum(axis=1) + fold_in.intercepts(row, asked), scores, rtol=1e-5, atol=1e-5)
    assert not parts[:, values <= 0].any()
    assert (parts >= 0).all()


def test_a_factor_that_nobody_has_stays_zero():
    """A column of zeros neither divides by zero nor gets a weight; an item of zeros explains nothing."""
    factors = np.array([[1, 0], [2, 0], [0, 0]], dtype=np.float32)
    values = np.array([3, 3, 5], dtype=np.float32)
    parts = solve_kl_row(factors, values, inverse_sums(factors))
    assert_allclose(parts, [[1, 0], [1, 0], [0, 0]], rtol=1e-9)
    rows = Rows.one(np.arange(3, dtype=np.int32), values)
    assert_allclose(kl_sweep(rows, factors), [[2, 0]], rtol=1e-9)


def test_an_empty_row_is_zeros():
    """Nothing observed folds in to nothing, in the definition and in the sweep."""
    factors = np.ones((3, 2), dtype=np.float32)
    empty = Rows.one(np.empty(0, np.int32), np.empty(0, np.float32))
    assert_array_equal(FoldIn(FixedSide(factors), KLRule()).solve(empty).vector, [0, 0])
    assert_array_equal(kl_sweep(empty, factors), [[0, 0]])


def test_extreme_values_are_errors():
    """What float64 or float32 cannot hold is refused, never NaN."""
    factors = np.full((2, 1), 1e-30, dtype=np.float32)
    huge = Rows.one(np.arange(2, dtype=np.int32), np.full(2, 3e38, dtype=np.float32))
    with pytest.raises(SingularRowError, match="not finite"):
        FoldIn(FixedSide(factors), KLRule()).solve(huge)
    broken = Rows.one(np.arange(2, dtype=np.int32), np.array([np.inf, 1], dtype=np.float32))
    with pytest.raises(TrainingError, match="extreme values"), np.errstate(invalid="ignore"):
        kl_sweep(broken, factors)
