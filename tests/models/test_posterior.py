"""The posterior of a row against dense algebra and simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.fold_in import FoldIn
from models.noise import estimated_posterior, movement_variance, residual_variance
from models.posterior import Posterior
from models.row_rules import (
    ExplicitRule,
    FixedSide,
    ImplicitRule,
    KLRule,
    ObliqueProjectionRule,
    PopularityRule,
    ProjectionRule,
    SparkExplicitRule,
    SparkImplicitRule,
    SVDPPRule,
    TimeSVDPPRule,
    UnobservedRule,
)
from models.row_solve import Rows, SingularRowError
from tests.models.strategies import row_problems

UNOBSERVED = UnobservedRule(unobserved_weight=0.3, regularization=0.2, ridge_exponent=0.5)
IMPLICIT = ImplicitRule(alpha=2.0, regularization=0.7)
EXPLICIT = ExplicitRule(global_mean=3.0, regularization=0.4, ridge="frequency")
RULES = [UNOBSERVED, IMPLICIT, EXPLICIT]


def dense(rule, factors, history):
    """The design X, the diagonal of weights, the targets and the ridge of all cells, by the definitions."""
    items, values = history.indices, history.values.astype(np.float64)
    n = len(items)
    if rule is EXPLICIT:
        design = factors.astype(np.float64)[items]
        targets = values - 3.0 - design[:, -1]
        design[:, -1] = 1
        return design, np.ones(n), targets, 0.4 * n
    weights, targets = np.full(len(factors), 0.3 if rule is UNOBSERVED else 1.0), np.zeros(len(factors))
    if rule is UNOBSERVED:
        confidence, ridge = values, 0.2 * (0.3 * len(factors) + n) ** 0.5
        weights[items] += np.abs(confidence)
    else:
        confidence, ridge = 2.0 * values, 0.7
        weights[items] = np.abs(confidence)
    targets[items] = np.divide(
        np.maximum(confidence, 0), weights[items], out=np.zeros(n), where=weights[items] > 0
    )
    return factors.astype(np.float64), weights, targets, ridge


@given(problem=row_problems(), rule=st.sampled_from(RULES), variance=st.floats(0.01, 10))
def test_deviations_are_those_of_the_dense_inverse(problem, rule, variance):
    """√(σ² xᵀA⁻¹x) with A inverted as a dense matrix over all cells."""
    factors, items, values = problem
    history = Rows.one(items, values)
    side = FixedSide(factors)
    row = FoldIn(side, rule).solve(history)
    every = np.arange(len(factors), dtype=np.int32)
    found = Posterior(side, rule, variance).deviations(row, every)
    design, weights, _, ridge = dense(rule, factors, history)
    inverse = np.linalg.inv((design.T * weights) @ design + ridge * np.eye(design.shape[1]))
    asked = factors.astype(np.float64)
    if rule is EXPLICIT:
        asked[:, -1] = 1
    expected = np.sqrt(variance * np.diag(asked @ inverse @ asked.T))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)  # float32 weights and targets


@given(problem=row_problems(), rule=st.sampled_from(RULES))
def test_noise_variance_is_weighted_residuals_by_degrees_of_freedom(problem, rule):
    """RSS and the trace of the hat matrix from dense matrices over all cells."""
    factors, items, values = problem
    history = Rows.one(items, values)
    row = FoldIn(FixedSide(factors), rule).solve(history)
    design, weights, targets, ridge = dense(rule, factors, history)
    matrix = (design.T * weights) @ design
    inverse = np.linalg.inv(matrix + ridge * np.eye(len(matrix)))
    p = inverse @ (design.T * weights) @ targets
    residual = weights @ (targets - design @ p) ** 2
    freedom = len(design) - np.trace(inverse @ matrix)
    # The residual is a difference of the squares' sum: float32 targets, so relative to that.
    expected = residual / freedom if freedom > 1e-6 else None
    scale = (weights @ targets**2 + 1) / max(freedom, 1e-6)
    found = residual_variance([row], len(factors))
    if expected is not None:
        assert found == pytest.approx(expected, abs=1e-5 * scale)


def test_noise_variance_is_pooled_and_none_without_rows():
    """Two rows share residuals and degrees of freedom; no rows leave no variance."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(40, 4)).astype(np.float32)
    fold_in = FoldIn(FixedSide(factors), EXPLICIT)
    rows = [
        fold_in.solve(
            Rows.one(
                np.sort(rng.choice(40, size, replace=False)).astype(np.int32),
                rng.normal(3, 1, size).astype(np.float32),
            )
        )
        for size in (30, 12)
    ]
    each = [residual_variance([row], 40) for row in rows]
    assert min(each) < residual_variance(rows, 40) < max(each)
    assert residual_variance([], 40) == 0


def test_movement_variance_makes_the_movements_as_large_as_promised():
    """σ² is the sum of squared movements over that of the variances lost; None where nothing was lost."""
    moved = [(np.array([1.0, -2.0]), np.array([0.5, 1.0])), (np.array([3.0]), np.array([2.0]))]
    assert movement_variance(moved) == pytest.approx(14 / 5.25)
    assert movement_variance([(np.empty(0), np.empty(0))]) is None


@pytest.mark.parametrize("rule", [UNOBSERVED, IMPLICIT], ids=lambda rule: rule.kind)
def test_implicit_noise_is_that_of_the_movements(rule):
    """σ² of an implicit model is no residual variance, and scales scores' movements to the ratio 1."""
    rng = np.random.default_rng(6)
    factors = rng.normal(size=(60, 4)).astype(np.float32)
    histories = Rows(
        np.arange(0, 2_001, 10, dtype=np.int64),
        np.concatenate([np.sort(rng.permutation(60)[:10]) for _ in range(200)]).astype(np.int32),
        rng.integers(1, 6, 2_000).astype(np.float32),
    )
    side = FixedSide(factors)
    fold_in = FoldIn(side, rule)
    posterior = estimated_posterior(side, rule, fold_in, histories)
    every = np.arange(60, dtype=np.int32)
    squares = lost = 0.0
    for user in range(200):
        history = histories.only(user)
        kept = rng.permutation(10) < 5
        whole, half = fold_in.solve(history), fold_in.solve(history.kept(kept))
        unseen = np.setdiff1d(every, history.indices)
        squares += ((factors[unseen] @ (whole.vector - half.vector)) ** 2).sum()
        lost += (posterior.deviations(half, unseen) ** 2 - posterior.deviations(whole, unseen) ** 2).sum()
    assert squares / lost == pytest.approx(1, rel=0.15)  # other halves of 200 histories
    assert posterior.noise_variance != pytest.approx(
        residual_variance([fold_in.solve(histories.only(user)) for user in range(200)], 60), rel=0.2
    )


def test_the_noise_that_was_added_is_found():
    """Ratings of known factors with noise of standard deviation 0.7: σ² is 0.49, and intervals cover."""
    rng = np.random.default_rng(1)
    d, sigma = 5, 0.7
    factors = np.hstack([rng.normal(size=(200, d - 1)), np.zeros((200, 1))]).astype(np.float32)
    rule = ExplicitRule(regularization=sigma**2, ridge="constant")  # a prior of variance 1 for the row
    side = FixedSide(factors)
    fold_in = FoldIn(side, rule)
    rows, truths = [], []
    design = factors.copy()
    design[:, -1] = 1
    for _ in range(400):
        truth = design @ rng.normal(size=d)
        items = np.sort(rng.choice(200, 15, replace=False)).astype(np.int32)
        values = truth[items] + rng.normal(scale=sigma, size=15)
        rows.append(fold_in.solve(Rows.one(items, values.astype(np.float32))))
        truths.append(truth)
    variance = residual_variance(rows, 200)
    assert variance == pytest.approx(sigma**2, rel=0.06)  # 4 000 degrees of freedom: 2 % standard error
    posterior = Posterior(side, rule, variance)
    every = np.arange(200, dtype=np.int32)
    errors = np.concatenate(
        [
            (design @ row.vector - truth) / posterior.deviations(row, every)
            for row, truth in zip(rows, truths, strict=True)
        ]
    )
    for level, width in ((0.5, 0.6745), (0.9, 1.6449), (0.95, 1.96)):
        # 400 rows of 5 parameters each: about 2 000 independent errors
        assert np.mean(np.abs(errors) < width) == pytest.approx(level, abs=0.04)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_draws_have_the_posterior_mean_and_spread(rule):
    """Scores of many drawn rows have the row's scores for mean and the deviations for spread."""
    rng = np.random.default_rng(2)
    factors = rng.normal(size=(30, 4)).astype(np.float32)
    side = FixedSide(factors)
    row = FoldIn(side, rule).solve(
        Rows.one(np.array([2, 5, 11], dtype=np.int32), np.array([4.0, 1.0, 2.0], dtype=np.float32))
    )
    posterior = Posterior(side, rule, 0.5)
    draws = np.stack([posterior.draw(row, rng) for _ in range(4_000)])
    asked = rule.asked(np.arange(30, dtype=np.int32), row.history, side)
    scores = draws @ asked.T
    deviations = posterior.deviations(row, np.arange(30, dtype=np.int32))
    # 4 000 draws: means within 4 standard errors, spreads within 4.5 %, which is 4 of theirs
    np.testing.assert_allclose(scores.mean(axis=0), row.vector @ asked.T, atol=4 * deviations.max() / 63)
    np.testing.assert_allclose(scores.std(axis=0), deviations, rtol=0.045)


def test_a_covariance_without_a_root_is_an_error():
    """What rounding makes indefinite, and what float32 cannot hold, is refused and not drawn."""
    factors = np.array([[1.0, 1.0], [1.0, 0.5]], dtype=np.float32)
    rule = ExplicitRule(regularization=0.1, ridge="constant")
    side = FixedSide(factors)
    row = FoldIn(side, rule).solve(Rows.one(np.arange(2, dtype=np.int32), np.ones(2, np.float32)))
    extreme = row._replace(solution=row.solution._replace(solution=_Broken(row.solution.solution.vector)))
    with pytest.raises(SingularRowError, match="not positive definite"):
        Posterior(side, rule, 1.0).draw(extreme, np.random.default_rng(0))
    with pytest.raises(SingularRowError, match="not finite"):
        Posterior(side, rule, 1e90).draw(row, np.random.default_rng(0))


@dataclass
class _Broken:
    """A solution whose A⁻¹ is what rounding can leave of one."""

    vector: np.ndarray

    def inverse_times(self, right):
        """Indefinite."""
        return -right


def test_more_of_a_history_is_more_certain():
    """With the same variance, no score becomes less certain by another rating."""
    rng = np.random.default_rng(3)
    factors = rng.normal(size=(30, 4)).astype(np.float32)
    side = FixedSide(factors)
    rule = ExplicitRule(regularization=0.4, ridge="constant")
    fold_in, posterior = FoldIn(side, rule), Posterior(side, rule, 1.0)
    every = np.arange(30, dtype=np.int32)
    before = np.full(30, np.inf)
    for n in range(1, 12):
        items = np.arange(n, dtype=np.int32)
        deviations = posterior.deviations(fold_in.solve(Rows.one(items, np.ones(n, np.float32))), every)
        assert (deviations <= before + 1e-12).all()
        before = deviations


def test_which_rules_are_gaussian():
    """Least squares with a likelihood; not divergences, mere projections, nor popularity."""
    gaussian = {
        ExplicitRule,
        ImplicitRule,
        UnobservedRule,
        ProjectionRule,
        SVDPPRule,
        TimeSVDPPRule,
        SparkImplicitRule,
        SparkExplicitRule,
    }
    for rule in gaussian | {KLRule, ObliqueProjectionRule, PopularityRule}:
        assert rule.gaussian == (rule in gaussian)
    side = FixedSide(np.ones((3, 1), dtype=np.float32))
    row = FoldIn(side, KLRule()).solve(Rows.one(np.array([0], np.int32), np.ones(1, np.float32)))
    with pytest.raises(TypeError, match="only least squares"):
        Posterior(side, KLRule(), 1.0).deviations(row, np.array([0], np.int32))
