"""Metrics of a holdout and their intervals."""

import numpy as np
import pytest

from models.evaluation.measures import errors
from models.evaluation.uncertainty import interval, normal_interval, resampled_sums
from models.holdout import judged
from models.metrics import ranking_metrics, ranking_metrics_by_user
from models.registry import FAMILIES, configure
from models.split import random_split
from tests.models.strategies import clustered_table, make_dataset


@pytest.fixture(scope="module")
def split():
    """A model of a table of some taste without a third of its entries, the table, and those entries."""
    dataset = make_dataset(clustered_table(150, 40, 4, np.random.default_rng(0)))
    test = random_split(dataset, 0.3, np.random.default_rng(1))
    training, hidden = dataset.with_entries(~test), dataset.with_entries(test).histories
    family = FAMILIES["als"].make(configure("als", {"factors": 4}))
    model = family.fit(training, rng=np.random.default_rng(0), progress=lambda _: None, device="cpu")
    return model, training, hidden


def test_values_are_those_of_the_metrics(split):
    """What is judged is what `ranking_metrics` and the definition of the RMSE say."""
    model, training, hidden = split
    metrics = judged(model, training, hidden, 5)
    counts = training.popularity().astype(np.float32)
    for name, score in (
        ("model", model.score_users),
        ("popularity", lambda users: np.tile(counts, (len(users), 1))),
    ):
        assert metrics[name] == ranking_metrics(score, training.histories, hidden, 5)
    squared = (model.predict(hidden).astype(np.float64) - hidden.values) ** 2
    assert metrics["rmse"] == pytest.approx(np.sqrt(squared.mean()), rel=1e-6)


def test_intervals_are_those_of_a_bootstrap(split):
    """Means and the RMSE: percentiles of 4,000 resamples of the users, to a tenth of the interval."""
    model, training, hidden = split
    ours = judged(model, training, hidden, 5)["intervals"]
    by_user = ranking_metrics_by_user(model.score_users, training.histories, hidden, 5)
    squared, counts = errors(model.predict(hidden), hidden.values, hidden.row_numbers, len(hidden))["rmse"]
    parts = {name: (values, np.ones(len(values))) for name, values in by_user.items()}
    for name, columns in {**parts, "rmse": (squared[counts > 0], counts[counts > 0])}.items():
        sums = resampled_sums(np.stack(columns, axis=1), 4_000, np.random.default_rng(0))
        ratios = sums[:, 0] / sums[:, 1]
        low, high = interval(np.sqrt(ratios) if name == "rmse" else ratios)
        found = ours["rmse"] if name == "rmse" else ours["model"][name]
        # the end of a percentile interval of 4,000 draws has a standard error of 2 % of its width
        assert found == pytest.approx([low, high], abs=0.1 * (high - low))


def test_interval_holds_the_truth_as_often_as_it_says():
    """Of 2,000 samples of a skewed population about 95 % have an interval that holds its ratio."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2_000):
        counts = rng.integers(1, 9, 300).astype(np.float64)
        low, high = normal_interval(rng.gamma(2.0, counts), counts)  # expectation 2 a count
        held += low <= 2.0 <= high
    assert held / 2_000 == pytest.approx(0.95, abs=0.015)  # binomial: three standard errors


def test_fewer_than_two_users_have_no_interval(split):
    """Where nobody can be judged there are values that are no numbers, and no interval."""
    assert normal_interval(np.ones(1), np.ones(1)) is None
    model, training, hidden = split
    nothing = hidden.kept(np.zeros(len(hidden.indices), dtype=bool))
    judged_by = ranking_metrics_by_user(model.score_users, training.histories, nothing, 5)
    assert [len(values) for values in judged_by.values()] == [0, 0]
    assert np.isnan(list(ranking_metrics(model.score_users, training.histories, nothing, 5).values())).all()


def test_interval_of_few_users_stays_on_the_scale(split):
    """Half a width of three users is more than there is room for between 0 and 1."""
    low, high = normal_interval(np.array([0.0, 1.0]), np.ones(2))
    assert (low < 0, high > 1) == (True, True)
    model, training, hidden = split
    few = np.repeat(np.arange(len(hidden)) < 3, hidden.lengths)
    intervals = judged(model, training, hidden.kept(few), 5)["intervals"]
    for of in (intervals["model"], intervals["popularity"]):
        for low, high in of.values():
            assert 0 <= low <= high <= 1
