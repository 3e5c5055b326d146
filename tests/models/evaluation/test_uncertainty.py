"""Intervals and tests against SciPy and against what must hold of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, false_discovery_control

from models.evaluation.measures import MEASURES
from models.evaluation.uncertainty import holm, interval, p_value, resampled_parts, resampled_sums


def test_intervals_of_a_mean_and_of_a_root_agree_with_scipy():
    """Percentile intervals of the mean and of the RMSE are those of scipy.stats.bootstrap."""
    rng = np.random.default_rng(0)
    gains, squared = rng.gamma(1.0, 1.0, (2, 300))
    counts = rng.integers(1, 9, 300).astype(float)
    ones = np.ones(300)
    (draws,) = resampled_parts([{"ndcg": (gains, ones), "rmse": (squared, counts)}], 4000, rng)
    statistics = {
        "ndcg": ((gains,), lambda x, axis: x.mean(axis=axis)),
        "rmse": ((squared, counts), lambda x, n, axis: np.sqrt(x.sum(axis=axis) / n.sum(axis=axis))),
    }
    for name, (data, statistic) in statistics.items():
        theirs = bootstrap(
            data, statistic, paired=True, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
        )
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        ours = interval(MEASURES[name].value(*draws[name]))
        # Ends of 4000 draws are themselves random, by about 2 % of the width.
        np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.08 * width)


def test_all_models_are_judged_on_the_same_draws():
    """Two equal models have equal draws, whoever has no part of a metric."""
    rng = np.random.default_rng(0)
    values, judged = rng.random(50), np.ones(50)
    judged[:10] = values[:10] = 0
    first, second = resampled_parts(
        [{"ndcg": (values, judged)}, {"ndcg": (values.copy(), judged.copy())}], 100, rng
    )
    np.testing.assert_array_equal(first["ndcg"], second["ndcg"])


def test_every_draw_has_as_many_users_as_there_are():
    """Drawing n users with replacement from n: a column of ones always sums to n."""
    sums = resampled_sums(np.ones((7, 1)), 33, np.random.default_rng(0))
    assert sums.ravel().tolist() == [7.0] * 33


def test_equal_models_are_not_told_apart_and_clearly_different_ones_are():
    """P is 1 without any difference, and the least possible where one is better in every draw."""
    assert p_value(np.zeros(99)) == 1
    assert p_value(np.ones(99)) == pytest.approx(0.02)
    assert p_value(-np.ones(99)) == pytest.approx(0.02)


def test_p_is_rarely_small_where_nothing_differs():
    """Of 200 comparisons of two models with the same expectation, about a twentieth has p < 0.05."""
    rng = np.random.default_rng(0)
    small = 0
    for _ in range(200):
        first, second = rng.random((2, 60))
        draws = resampled_sums(np.stack([first, second], axis=1), 400, rng)
        small += p_value(draws[:, 0] - draws[:, 1]) < 0.05
    assert 2 <= small <= 22  # 10 expected; 4 standard deviations of a binomial are 12


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_holm_is_the_step_down_rule(p_values):
    """A hypothesis is rejected at a level just when all smaller p pass Holm's thresholds at it."""
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, number in enumerate(np.argsort(p_values, kind="stable")):
            if (len(p_values) - rank) * p_values[number] > level:
                break
            rejected.add(int(number))
        assert rejected == {number for number, p in enumerate(adjusted) if p <= level}
    by_hochberg = false_discovery_control(p_values)  # controls less, so it never adjusts more
    assert (np.array(adjusted) >= by_hochberg - 1e-12).all()


def test_an_interval_of_nothing_is_undefined():
    """A metric that no draw has a value of has no interval."""
    assert np.isnan(interval(np.full(10, np.nan))).all()
