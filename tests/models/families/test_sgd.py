"""The compiled descent against a slow one, and what no family trained by it can take."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from models.errors import ConfigError, DataError, TrainingError
from models.families.sgd import Rates, _epoch, initial_parameters, untimed_entries
from models.registry import FAMILIES, configure
from tests import reference
from tests.models.strategies import clustered_table, make_dataset

FAMILIES_BY_SGD = ["funk_svd", "svdpp", "timesvdpp"]


def timed(table):
    """The table with each entry on a day of its own column."""
    return make_dataset(table, timestamps=np.nonzero(~np.isnan(table))[1] * 86_400)


def fit(family, hyperparameters, dataset, **options):
    """Fit a family as the training script does."""
    model = FAMILIES[family].make(configure(family, hyperparameters))
    return model.fit(dataset, rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize("implicit", [0.0, 0.02])
def test_an_epoch_is_the_textbooks_with_every_implicit_factor_moved_at_every_entry(implicit):
    """Moving z and spreading it over y at the end of a user is the descent that moves each y_j every time."""
    table = clustered_table(12, 9, 2, np.random.default_rng(1))
    dataset = make_dataset(table)
    parameters = initial_parameters(dataset.shape, 3, np.random.default_rng(2))
    if implicit:
        parameters.implicit_factors[:] = np.random.default_rng(3).normal(0, 0.1, (9, 3))
    slow = [
        array.astype(np.float64)
        for array in (
            parameters.user_biases,
            parameters.item_biases,
            parameters.user_factors,
            parameters.item_factors,
            parameters.implicit_factors,
        )
    ]
    rates = Rates(*(np.float32(rate) for rate in (0.02, implicit, 0.01, 0, 0.05, 0.03)))
    entries = untimed_entries(dataset)
    in_order = np.full(len(entries.items), 0.999, np.float32)
    total = _epoch(np.arange(12), in_order, entries, parameters, rates, np.float32(3))

    rows = [list(zip(*dataset.histories.row(user), strict=True)) for user in range(12)]
    expected = reference.svdpp_epoch(rows, 3.0, (0.01, 0.02), (0.05, 0.03), slow)
    if not implicit:
        assert not parameters.implicit_factors.any()
        return
    assert total == pytest.approx(expected, rel=1e-5)
    fast = [
        parameters.user_biases,
        parameters.item_biases,
        parameters.user_factors,
        parameters.item_factors,
        parameters.implicit_factors,
    ]
    for ours, theirs in zip(fast, slow, strict=True):
        assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)  # float32 steps


@pytest.mark.parametrize("family", FAMILIES_BY_SGD)
@pytest.mark.parametrize(
    ("table", "remedy"),
    [
        (np.full((4, 3), 3.0), "all 12 ratings are 3, .* use family ials"),
        (np.array([[1.0, 2.0, 3.0]]), "1 × 3 .* are too few to factorize.*; use more data"),
        (np.array([[1.0], [2.0]]), "2 × 1 .* are too few to factorize.*; use more data"),
    ],
)
def test_a_table_that_says_nothing_is_refused_with_the_remedy(family, table, remedy):
    """Equal ratings, one user and one item are errors before any training."""
    with pytest.raises(DataError, match=remedy):
        fit(family, {"factors": 1}, timed(table), progress=lambda _: pytest.fail("it has trained"))


@pytest.mark.parametrize("family", FAMILIES_BY_SGD)
def test_another_device_is_refused(family):
    """There is no kernel for a GPU, and none is pretended."""
    with pytest.raises(ConfigError, match=f"family {family} trains on the CPU only"):
        fit(family, {"factors": 1}, timed(clustered_table(5, 4, 2, np.random.default_rng(0))), device="cuda")


@pytest.mark.parametrize("family", FAMILIES_BY_SGD)
def test_a_user_with_every_item_and_an_item_with_no_entry_work(family):
    """A full row has finite factors; an item that only a holdout has known is all zeros."""
    table = clustered_table(20, 8, 2, np.random.default_rng(4))
    table[0] = [1, 2, 3, 4, 5, 4, 3, 2]
    dataset = timed(table)
    model = fit(family, {"factors": 3}, dataset.with_entries(dataset.histories.indices != 5))
    assert np.isfinite(model.user_factors).all()
    assert model.user_factors[0].any()
    assert not model.items.factors[5].any()
    assert all(not array[5].any() for array in model.items.arrays.values())


@pytest.mark.parametrize("family", FAMILIES_BY_SGD)
def test_a_learning_rate_that_explodes_is_an_error_with_the_remedy(family):
    """A descent that diverges ends in an error that names the learning rate."""
    with pytest.raises(TrainingError, match="or the learning rate"):
        fit(
            family,
            {"factors": 3, "learning_rate": 50},
            timed(clustered_table(20, 8, 2, np.random.default_rng(4))),
        )
