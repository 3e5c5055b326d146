"""Funk's SVD: it finds what was planted, and stops when a validation split says so."""

from __future__ import annotations

import numpy as np
import pytest

from models.families.funk_svd import FunkSVD, FunkSVDConfig
from models.metrics import root_mean_squared_error
from models.split import random_folds
from tests.models.strategies import make_dataset


def fit(dataset, **hyperparameters):
    """Fit with the given hyperparameters."""
    return FunkSVD(FunkSVDConfig(**hyperparameters)).fit(dataset, rng=np.random.default_rng(0))


def planted(noise, rng):
    """Ratings of biases and two factors plus noise, half of them observed."""
    clean = (
        3
        + rng.normal(size=(200, 1))
        + rng.normal(size=80)
        + rng.normal(size=(200, 2)) @ rng.normal(size=(2, 80))
    )
    noisy = clean + rng.normal(0, noise, clean.shape)
    noisy[rng.random(noisy.shape) < 0.5] = np.nan
    return make_dataset(noisy)


def test_it_reaches_the_noise_of_planted_ratings():
    """On biases and two factors plus noise of 0.1, nearly all is recovered."""
    rng = np.random.default_rng(3)
    whole = planted(0.1, rng)
    test = next(random_folds(whole, 10, rng))
    hidden = whole.with_entries(test).histories
    model = fit(whole.with_entries(~test), factors=3, regularization=0.002, decay=0.99)
    assert root_mean_squared_error(model.predict(hidden), hidden.values) < 0.2


def test_noise_is_not_learned_for_long():
    """Where there is nothing but noise, the validation split ends the training early."""
    noise = make_dataset(np.random.default_rng(5).normal(size=(60, 40)))
    patient = {"factors": 20, "regularization": 0.001, "iterations": 60}
    stopped = fit(noise, **patient)
    assert len(stopped.losses) < 30
    assert len(fit(noise, validation_share=0, **patient).losses) == 60


def test_patience_is_counted_from_the_best_pass():
    """More patience never stops earlier, and the model is trained for the best pass, not for the last."""
    dataset = planted(1.0, np.random.default_rng(6))
    lengths = [
        len(fit(dataset, factors=8, iterations=40, patience=patience).losses) for patience in (1, 3, 40)
    ]
    assert lengths == sorted(lengths)
    assert lengths[-1] < 40


def test_a_validation_share_too_small_to_hold_an_entry_trains_all_iterations():
    """A table so small that nothing is set aside is trained for as long as was asked."""
    dataset = make_dataset(np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert len(fit(dataset, factors=1, iterations=7, validation_share=1e-9).losses) == 7
    with pytest.raises(ValueError, match="less than 1"):
        FunkSVDConfig(validation_share=1)
