"""iALS with a weight on the unobserved against the dense objective, and its half-steps against the sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from models.errors import ConfigError, TrainingError
from models.families.ials import IALS, IALSConfig
from models.fold_in import FoldIn
from models.registry import configure
from models.row_rules import FixedSide, LogWeighting, UnobservedRule
from models.row_solve import RowProblem, Rows
from models.row_solve.conjugate_gradients import descend
from models.row_solve.sweep import sweep
from tests import reference
from tests.models.strategies import clustered_table, make_dataset, row_problems


@pytest.fixture(scope="module")
def table():
    """60 users × 40 items of clustered ratings, a tenth of them dislikes."""
    rng = np.random.default_rng(0)
    table = clustered_table(60, 40, 3, rng)
    return np.where(rng.random(table.shape) < 0.1, -table, table)


@pytest.fixture(scope="module")
def dataset(table):
    """The table as a dataset."""
    return make_dataset(table)


def fit(dataset, **hyperparameters):
    """A fit with seed 0."""
    return IALS(IALSConfig(**hyperparameters)).fit(dataset, rng=np.random.default_rng(0))


def ridges(dataset, rule):
    """λ(α₀·N + n)^ν of every user and of every item, from the table's shape and lengths."""
    n_users, n_items = dataset.shape
    alpha, nu = rule.unobserved_weight, rule.ridge_exponent
    of_users = rule.regularization * (alpha * n_items + dataset.histories.lengths) ** nu
    of_items = rule.regularization * (alpha * n_users + dataset.popularity()) ** nu
    return of_users, of_items


# the row problem


@given(
    case=row_problems(),
    alpha=st.floats(0.01, 2),
    regularization=st.floats(0.005, 1),
    nu=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_row_is_the_dense_least_squares_solution(case, alpha, regularization, nu):
    """Fold-in equals dense least squares over every cell, with the ridge λ(α₀·N + n)^ν and dislikes as 0."""
    factors, items, values = case
    rule = UnobservedRule(
        unobserved_weight=alpha, regularization=regularization, ridge_exponent=nu, confidence_scale=0.5
    )
    row = FoldIn(FixedSide(factors), rule).solve(Rows.one(items, values))
    # α₀·s² + c(x − s)² is (α₀ + c)(y − s)² + a constant, with y = c·x/(α₀ + c).
    confidence = np.zeros(len(factors))
    confidence[items] = np.abs(values) / 2
    preference = np.zeros(len(factors))
    preference[items] = values > 0
    weight = alpha + confidence
    expected = reference.confidence_weighted_row(
        factors,
        weight,
        confidence * preference / weight,
        regularization * (alpha * len(factors) + len(items)) ** nu,
    )
    # The stored vector is float32; lstsq on the stacked design loses a few digits more.
    assert_allclose(row.vector, expected, rtol=1e-4, atol=1e-5)


# the fit


HYPERPARAMETERS = [
    {"factors": 6, "regularization": 1},
    {"factors": 6, "regularization": 1, "ridge_exponent": 0.5, "unobserved_weight": 0.3},
    {"factors": 6, "regularization": 0.02, "ridge": "absolute", "weighting": "log"},
]


@pytest.mark.parametrize("hyperparameters", HYPERPARAMETERS)
def test_the_users_gradient_of_the_dense_objective_is_zero(hyperparameters, table, dataset):
    """After the closing sweep the dense objective is stationary in every user's factors."""
    model = fit(dataset, **hyperparameters)
    confidence = np.nan_to_num(dense_confidence(table, model.rule))
    users, items = model.user_factors.astype(float), model.items.factors.astype(float)
    scores = users @ items.T
    slope = np.abs(confidence) * (scores - (confidence > 0)) + model.rule.unobserved_weight * scores
    gradient = slope @ items + ridges(dataset, model.rule)[0][:, None] * users
    assert np.abs(users).max() > 0.1
    assert_allclose(gradient, 0, atol=1e-5)  # float32 factors of size 1, sums over 40 items


@pytest.mark.parametrize("hyperparameters", HYPERPARAMETERS)
def test_no_small_step_lowers_the_dense_objective(hyperparameters, table, dataset):
    """Converged, neither users nor items can move a little without raising the objective."""
    model = fit(dataset, iterations=200, **hyperparameters)
    confidence = np.nan_to_num(dense_confidence(table, model.rule))
    users, items = model.user_factors.astype(float), model.items.factors.astype(float)

    def objective(users, items):
        return reference.unobserved_objective(
            confidence, users, items, model.rule.unobserved_weight, ridges(dataset, model.rule)
        )

    least = objective(users, items)
    rng = np.random.default_rng(9)
    for _ in range(30):
        assert objective(users + 1e-2 * rng.normal(size=users.shape), items) > least
        assert objective(users, items + 1e-2 * rng.normal(size=items.shape)) > least


def dense_confidence(table, rule):
    """Signed confidence of mean size 1 over the observed cells, NaN elsewhere."""
    weighed = np.sign(table) * np.log1p(np.abs(table)) if isinstance(rule.weighting, LogWeighting) else table
    return weighed / np.nanmean(np.abs(weighed))


def test_the_loss_is_the_dense_objective_over_that_of_nothing(table, dataset):
    """What progress reports falls with every iteration, to the factors' objective over that of zeros."""
    model = fit(dataset, factors=6, regularization=1, iterations=60)
    confidence = np.nan_to_num(dense_confidence(table, model.rule))
    users, items = model.user_factors.astype(float), model.items.factors.astype(float)
    settings = (model.rule.unobserved_weight, ridges(dataset, model.rule))
    nothing = reference.unobserved_objective(confidence, 0 * users, 0 * items, *settings)
    found = reference.unobserved_objective(confidence, users, items, *settings)
    assert (np.diff(model.losses) < 1e-6).all()  # sums of float32 terms
    # The closing sweep comes after the last loss and lowers it by what is left to converge.
    assert model.losses[-1] == pytest.approx(found / nothing, rel=1e-4)


def test_values_in_another_unit_give_the_same_model(table):
    """Ratings up to 5 or up to 5e30, the confidence has the mean 1."""
    small = fit(make_dataset(table), factors=4, regularization=1)
    large = fit(make_dataset(table * 2.0**100), factors=4, regularization=1)
    assert_allclose(large.items.factors, small.items.factors, rtol=1e-4, atol=1e-5)


def test_a_relative_ridge_is_the_geometric_mean_of_the_mean_ridges(dataset):
    """`regularization` is √(mean user ridge · mean item ridge), whatever α₀ and ν are."""
    for alpha, nu in ((0.01, 1.0), (1.0, 1.0), (0.3, 0.5), (0.3, 0.0)):
        rule = fit(
            dataset, factors=2, regularization=7, unobserved_weight=alpha, ridge_exponent=nu, iterations=1
        ).rule
        of_users, of_items = ridges(dataset, rule)
        assert np.sqrt(of_users.mean() * of_items.mean()) == pytest.approx(7)


def test_the_weight_of_the_unobserved_follows_the_density(dataset):
    """Unless it is given, α₀ is 1.5 times the square root of the share of observed cells."""
    density = len(dataset.histories.indices) / np.prod(dataset.shape)
    assert fit(dataset, factors=2).rule.unobserved_weight == pytest.approx(1.5 * np.sqrt(density))
    assert fit(dataset, factors=2, unobserved_weight=0.125).rule.unobserved_weight == 0.125


def test_a_ridge_that_leaves_nothing_ends_in_zeros(dataset):
    """Where the ridge outweighs all that was observed, factors shrink towards 0 and never become NaN."""
    model = fit(dataset, factors=4, regularization=1000, iterations=40)
    assert_allclose(model.items.factors, 0, atol=1e-6)
    assert model.losses[-1] == pytest.approx(1)


def test_hyperparameters_of_the_other_objective_are_refused():
    """`alpha` belongs to ials_implicit, α₀ to ials; each says what it has instead."""
    with pytest.raises(ConfigError, match=r"alpha=4.*hyperparameters are .*unobserved_weight"):
        configure("ials", {"alpha": 4})
    with pytest.raises(ConfigError, match=r"unobserved_weight=0\.1.*hyperparameters are .*alpha"):
        configure("ials_implicit", {"unobserved_weight": 0.1})


# conjugate gradients


@given(seed=st.integers(0, 2**32), density=st.floats(0.05, 0.9))
@settings(max_examples=20)
def test_as_many_steps_as_factors_solve_every_row(seed, density):
    """Enough conjugate gradients from anywhere arrive where the exact sweep does; empty rows become zeros."""
    rows, design, problem, start = drawn(seed, density)
    exact = sweep(rows, design.astype(np.float64), problem)
    descend(rows, design, problem, start, steps=2 * design.shape[1])
    assert_allclose(start, exact, rtol=2e-3, atol=2e-4)  # float32, condition numbers up to about 1e3
    assert not start[rows.lengths == 0].any()


@given(seed=st.integers(0, 2**32), density=st.floats(0.05, 0.9))
@settings(max_examples=20)
def test_every_step_lowers_the_rows_objective(seed, density):
    """More steps never leave a row further from its minimum, in the norm of its own matrix."""
    rows, design, problem, start = drawn(seed, density)
    exact = sweep(rows, design.astype(np.float64), problem)
    excess = []
    for steps in range(4):
        factors = start.copy()
        descend(rows, design, problem, factors, steps=steps)
        excess.append([distance(row, rows, design, problem, factors - exact) for row in range(len(rows))])
    assert (np.diff(excess, axis=0) <= 1e-4 * np.max(excess)).all()  # float32


def drawn(seed, density):
    """A random row problem of 30 rows against 20 fixed ones with 6 factors, and where to start."""
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 6, size=(30, 20)).astype(float)
    table[rng.random(table.shape) > density] = np.nan
    rows = make_dataset(table).histories
    design = rng.normal(size=(20, 6)).astype(np.float32)
    problem = RowProblem(
        gram_weight=0.3,
        weights=rows.values,
        targets=rows.values,
        ridge=0.1 * (0.3 * 20 + rows.lengths.astype(np.float64)),
    )
    return rows, design, problem, rng.normal(size=(30, 6)).astype(np.float32)


def distance(row, rows, design, problem, difference):
    """vᵀAv of one row's difference v; 0 for an empty row, which is not solved for."""
    entries = slice(rows.indptr[row], rows.indptr[row + 1])
    if rows.lengths[row] == 0:
        return 0.0
    observed = design[rows.indices[entries]].astype(np.float64)
    matrix = problem.gram_weight * design.astype(np.float64).T @ design
    matrix += (observed.T * problem.weights[entries]) @ observed + problem.ridge[row] * np.eye(6)
    return float(difference[row] @ matrix @ difference[row])


def test_factors_that_overflow_are_an_error_with_the_remedy():
    """Targets near the end of float32 stop the training."""
    rows, design, problem, start = drawn(0, 0.5)
    extreme = RowProblem(problem.gram_weight, problem.weights, problem.targets * 6e37, problem.ridge)
    with pytest.raises(TrainingError, match="no finite solution; raise the regularization"):
        descend(rows, design, extreme, start)
