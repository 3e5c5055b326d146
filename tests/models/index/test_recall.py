"""Recall of one answer, and the verdict over many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.index.recall import LiveRecall, recall

FLOOR = 0.99


def test_recall_counts_scores_that_reach_the_last_of_the_best() -> None:
    """Other rows of equal score are right, whatever the order; worse ones are not; nothing to find is all."""
    best = np.array([3, 2, 2, 1], dtype=np.float32)
    assert recall(best, best) == 1
    assert recall(np.array([1, 1, 1, 1], dtype=np.float32), best) == 1
    assert recall(np.array([3, 2, 0.9, 0.5], dtype=np.float32), best) == 0.5
    assert recall(np.array([3, 2, 2, np.float32(1 - 1e-7)], dtype=np.float32), best) == 1
    assert recall(np.array([], dtype=np.float32), np.array([], dtype=np.float32)) == 1


@given(st.integers(1, 20), st.data())
def test_recall_is_the_share_of_rows_found(k: int, data: st.DataObject) -> None:
    """Where scores are distinct it is the size of the intersection over k."""
    scores = np.arange(50, 0, -1, dtype=np.float32)
    found = data.draw(st.sets(st.integers(0, 49), min_size=k, max_size=k))
    expected = len(found & set(range(k))) / k
    assert recall(scores[sorted(found)], scores[:k]) == pytest.approx(expected)


def watched(recalls: np.ndarray, floor: float = FLOOR) -> LiveRecall:
    """What is known after these answers, up to the first at which the verdict falls."""
    live = LiveRecall(floor)
    for value in recalls.tolist():
        live.add(value)
        if live.has_fallen:
            break
    return live


def drawn(mean: float, n: int, seed: int) -> np.ndarray:
    """Recalls of ten items each, with this mean."""
    return np.random.default_rng(seed).binomial(10, mean, n) / 10


@pytest.mark.parametrize("seed", range(5))
def test_kept_promise_is_never_a_fall(seed: int) -> None:
    """Fifty thousand answers whose mean is what was promised raise no alarm, looked at after each."""
    assert not watched(drawn(FLOOR, 50_000, seed)).has_fallen


@pytest.mark.parametrize(("mean", "most"), [(0.2, 100), (0.9, 100), (0.97, 1_000), (0.98, 5_000)])
def test_broken_promise_is_a_fall(mean: float, most: int) -> None:
    """The further below the floor, the sooner; never before a hundred answers."""
    for seed in range(5):
        live = watched(drawn(mean, most, seed))
        assert live.has_fallen
        assert live.samples >= 100


def test_unlucky_answers_are_not_a_fall() -> None:
    """A few answers that are all wrong, among good ones, prove nothing."""
    recalls = np.ones(10_000)
    recalls[[0, 1, 500, 5_000]] = 0
    assert not watched(recalls).has_fallen


def test_late_fall_is_noticed_as_soon_as_an_early_one() -> None:
    """Good answers of the past do not make up for bad ones of the present."""
    good = np.ones(20_000)
    live = watched(np.concatenate([good, drawn(0.9, 200, 0)]))
    assert live.has_fallen
    assert live.samples < len(good) + 100


@pytest.mark.parametrize("floor", [0.5, 0.999, 1.0])
def test_any_floor_can_be_promised(floor: float) -> None:
    """Floors up to 1 are watched without overflow: all right is no fall, all wrong is one."""
    assert not watched(np.ones(2_000), floor).has_fallen
    assert watched(np.zeros(2_000), floor).has_fallen


def test_estimate_is_of_the_last_thousand() -> None:
    """The mean forgets what is older; before the first answer there is none."""
    live = LiveRecall(0.1)
    assert live.estimate is None
    for value in [0.2] * 500 + [1.0] * 750 + [0.5] * 250:
        live.add(value)
    assert live.estimate == pytest.approx((750 * 1.0 + 250 * 0.5) / 1000)
    assert live.samples == 1500
