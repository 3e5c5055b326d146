"""Judging trials: on rounds of the training part alone, with an oracle's metrics."""

from __future__ import annotations

import time
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

from models.errors import ConfigError
from models.evaluation.protocols import Split, SplitDefinition
from models.registry import EVALUATED, configure
from models.search.trials import Judging, judge_trial, workers
from tests.models.strategies import clustered_table, make_dataset

DEFINITIONS = [
    SplitDefinition(name="folds", folds=4),
    SplitDefinition(name="strong", test_share=0.3),
    SplitDefinition(name="leave-k-out", leave=2),
    SplitDefinition(name="leave-k-out", leave=2, leave_by="random"),
    SplitDefinition(name="latest-time", test_share=0.3),
    SplitDefinition(name="cold-items", test_share=0.3),
]
every_definition = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each.name)


@pytest.fixture(scope="module")
def dataset():
    """Ratings with distinct times."""
    ratings = clustered_table(80, 40, 3, np.random.default_rng(0), density=0.4)
    times = np.random.default_rng(1).permutation(np.count_nonzero(~np.isnan(ratings)))
    return make_dataset(ratings, timestamps=times)


def pairs(rows):
    """The entries of some rows, as pairs."""
    return set(zip(rows.row_numbers.tolist(), rows.indices.tolist(), strict=True))


@every_definition
def test_trials_never_see_what_the_outcome_is_reported_on(dataset, definition):
    """No inner round trains on, knows, or judges by an entry that the outer round hides."""
    outer = next(Split(dataset, definition, first=1).rounds())
    judging = Judging(outer.training, definition, 3, "ndcg", 10, 0)
    rounds = list(judging.rounds())
    assert len(rounds) == judging.n_rounds
    for inner in rounds:
        seen = pairs(inner.training.histories) | pairs(inner.known) | pairs(inner.hidden)
        assert pairs(inner.hidden)
        assert seen <= pairs(outer.training.histories)
        assert not seen & pairs(outer.hidden)


@every_definition
def test_inner_rounds_differ_where_they_are_random(dataset, definition):
    """Random protocols have as many rounds as asked for, no two alike; the others have one."""
    outer = next(Split(dataset, definition, first=1).rounds())
    judging = Judging(outer.training, definition, 3, "ndcg", 10, 0)
    hidden = [frozenset(pairs(inner.hidden)) for inner in judging.rounds()]
    by_time = definition.name == "latest-time" or (definition.name, definition.leave_by) == (
        "leave-k-out",
        "latest",
    )
    assert len(set(hidden)) == (1 if by_time else 3)


def test_a_worker_judges_as_an_oracle_does(dataset):
    """The RMSE of a trial's round, fitted in another process, is that of scikit-learn on the same fit."""
    definition = DEFINITIONS[0]
    outer = next(Split(dataset, definition, first=1).rounds())
    judging = Judging(outer.training, definition, 2, "rmse", 5, 7)
    hyperparameters = {"factors": 3, "regularization": 0.2}
    with workers(judging, 1) as pool:
        judged = pool.submit(judge_trial, "als", hyperparameters, 1).result()
    inner = list(judging.rounds())[1]
    model = EVALUATED["als"].make(configure("als", hyperparameters))
    fitted = model.fit(inner.training, rng=np.random.default_rng(7))
    predicted = np.clip(fitted.predict(inner.hidden), 1, 5)
    expected = root_mean_squared_error(inner.hidden.values, predicted)
    assert judged.problem is None
    # Half-steps in float32 may be summed in another order by another number of threads.
    assert np.sqrt(judged.numerator / judged.denominator) == pytest.approx(expected, rel=1e-4)


def test_workers_end_in_the_middle_of_a_fit(dataset, tmp_path):
    """Leaving by an exception waits for no fit; without that, this would take an hour."""
    judging = Judging(dataset, DEFINITIONS[0], 2, "rmse", 5, 7)
    begun = tmp_path / "begun"
    with pytest.raises(KeyboardInterrupt), workers(judging, 1) as pool:
        fit = pool.submit(fit_for_an_hour, begun)
        while not begun.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert isinstance(fit.exception(timeout=60), BrokenProcessPool)


def fit_for_an_hour(begun):
    """What a worker does."""
    begun.touch()
    time.sleep(3600)


def test_more_workers_than_cores_are_refused(dataset):
    """The message says how many there are."""
    judging = Judging(dataset, DEFINITIONS[0], 2, "rmse", 5, 7)
    with pytest.raises(ConfigError, match=r"--jobs 9999: there are \d+ cores"), workers(judging, 9999):
        pass
