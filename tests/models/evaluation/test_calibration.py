"""Calibration of errors whose standard deviations are known."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.calibration import LEVELS, calibration

N = 20_000


@pytest.fixture
def errors_and_deviations():
    """Normal errors, each of its own standard deviation between 0.2 and 2."""
    rng = np.random.default_rng(0)
    deviations = rng.uniform(0.2, 2, N)
    return rng.normal(0, deviations), deviations


def test_true_deviations_cover_what_they_promise(errors_and_deviations):
    """Coverage is the level, the ratio 1, and the deviations know more than one for all."""
    found = calibration(*errors_and_deviations)
    assert found.errors == N
    for level in LEVELS:
        assert found.coverage[level] == pytest.approx(level, abs=0.015)  # 4 standard errors of 20 000
    assert found.ratio == pytest.approx(1, abs=0.02)
    deviations = errors_and_deviations[1]
    gain = np.log(np.sqrt(np.mean(deviations**2))) - np.log(deviations).mean()
    assert found.sharpness == pytest.approx(gain, abs=0.02)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_wrong_sizes_show_in_coverage_and_ratio_and_not_in_sharpness(errors_and_deviations, factor):
    """Deviations times a factor: the ratio is its inverse; how they differ from each other is as it was."""
    errors, deviations = errors_and_deviations
    right, wrong = calibration(errors, deviations), calibration(errors, factor * deviations)
    assert wrong.ratio == pytest.approx(right.ratio / factor)
    assert (wrong.coverage[0.9] > 0.9) == (factor > 1)
    assert wrong.sharpness == pytest.approx(right.sharpness)


def test_deviations_that_know_nothing_have_no_sharpness(errors_and_deviations):
    """One deviation for all is worth nothing; shuffled ones are worse than that."""
    errors, deviations = errors_and_deviations
    assert calibration(errors, np.ones(N)).sharpness == pytest.approx(0, abs=1e-12)
    assert calibration(errors, deviations[::-1]).sharpness < -0.05


def test_where_nothing_was_promised_nothing_counts():
    """Deviations of 0 are left out; without others there is no calibration."""
    assert calibration(np.array([1.0, 2.0]), np.zeros(2)) is None
    assert calibration(np.empty(0), np.empty(0)) is None
    found = calibration(np.array([1.0, 5.0, 0.0]), np.array([1.0, 0.0, 1.0]))
    assert (found.errors, found.ratio) == (2, pytest.approx(np.sqrt(0.5)))
    assert calibration(np.zeros(3), np.ones(3)).coverage[0.5] == 1
