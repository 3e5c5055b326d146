"""Protocols: what is hidden from whom, and that the seed and the data decide it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.evaluation.protocols import Split, SplitDefinition
from tests.models.strategies import clustered_table, make_dataset


def dataset(seed=0, n_users=30, n_items=20, *, times=True):
    """Ratings with distinct, shuffled times."""
    rng = np.random.default_rng(seed)
    table = clustered_table(n_users, n_items, 3, rng)
    n_entries = int((~np.isnan(table)).sum())
    return make_dataset(table, timestamps=rng.permutation(n_entries).astype(np.int64) if times else None)


def pairs(rows):
    """The entries as a set of (user, item)."""
    return set(zip(rows.row_numbers.tolist(), rows.indices.tolist(), strict=True))


NAMES = ("folds", "leave-k-out", "latest-time", "strong", "cold-items")


@given(seed=st.integers(0, 99), name=st.sampled_from(NAMES))
def test_hidden_entries_are_in_no_training_set_and_nothing_is_invented(seed, name):
    """Training, known and hidden entries are the dataset's, and hidden ones are in neither of the others."""
    data = dataset(seed)
    everything = pairs(data.histories)
    for judged in Split(data, SplitDefinition(name=name, seed=seed)).rounds():
        training, known, hidden = (
            pairs(rows) for rows in (judged.training.histories, judged.known, judged.hidden)
        )
        assert hidden
        assert not hidden & (training | known)
        assert training | known | hidden <= everything
        assert (judged.hidden.lengths[judged.people] > 0).all()
        assert (judged.known.lengths[judged.people] > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_fingerprint_tells_seeds_definitions_and_data_apart(name):
    """Same seed and data: same fingerprint. Another seed, number or entry: another one."""
    of = lambda data, **numbers: Split(data, SplitDefinition(name=name, **numbers)).fingerprint  # noqa: E731
    data = dataset()
    first = of(data, seed=1)
    assert of(dataset(), seed=1) == first
    assert of(data, seed=2) != first
    changed = {"folds": {"folds": 4}, "leave-k-out": {"leave": 2}}.get(name, {"test_share": 0.35})
    assert of(data, seed=1, **changed) != first
    dropped = np.ones(len(data.histories.indices), dtype=bool)
    dropped[5] = False
    assert of(data.with_entries(dropped), seed=1) != first


def test_folds_hide_every_entry_once():
    """The test sets of all folds are the dataset, without overlap."""
    data = dataset()
    hidden = [pairs(judged.hidden) for judged in Split(data, SplitDefinition(name="folds", folds=4)).rounds()]
    assert set.union(*hidden) == pairs(data.histories)
    assert sum(map(len, hidden)) == len(data.histories.indices)


@pytest.mark.parametrize("leave_by", ["latest", "random"])
def test_leave_k_out_hides_k_of_everybody_who_keeps_something(leave_by):
    """Whoever has more than k entries loses exactly k, the latest or others; nobody else loses any."""
    data = dataset(n_users=40)
    k = 4
    (judged,) = Split(data, SplitDefinition(name="leave-k-out", leave=k, leave_by=leave_by)).rounds()
    lengths = data.histories.lengths
    assert (lengths <= k).any()
    assert judged.hidden.lengths.tolist() == [k if length > k else 0 for length in lengths]
    latest = all(
        judged.training.histories.only(user).times.max() < judged.hidden.only(user).times.min()
        for user in judged.people
    )
    assert latest == (leave_by == "latest")


@given(seed=st.integers(0, 99), share=st.floats(0.05, 0.9))
def test_a_cut_in_time_divides_before_from_after(seed, share):
    """Everything in training is older than everything hidden; the share is met but for equal times."""
    data = dataset(seed)
    (judged,) = Split(data, SplitDefinition(name="latest-time", test_share=share)).rounds()
    assert judged.training.timestamps.max() < judged.hidden.times.min()
    assert len(judged.hidden.indices) == int(len(data.histories.indices) * share)


def test_a_cut_does_not_tear_a_second_apart():
    """Entries of one time are all before or all after the cut, so fewer are hidden rather than more."""
    data = make_dataset(np.ones((2, 5)), timestamps=np.array([1, 2, 3, 3, 4, 1, 2, 3, 3, 4]))
    (judged,) = Split(data, SplitDefinition(name="latest-time", test_share=0.5)).rounds()
    assert judged.hidden.times.tolist() == [4, 4]


def test_people_and_items_unseen_before_the_cut_are_counted():
    """A user who begins after the cut is not judged, an item that does stays hidden; both are counted."""
    nan = np.nan
    table = np.array([[1, 1, nan], [nan, 1, 1], [nan, nan, 1]])
    data = make_dataset(table, timestamps=np.array([1, 9, 2, 8, 7]))
    (judged,) = Split(data, SplitDefinition(name="latest-time", test_share=0.6)).rounds()
    assert judged.people.tolist() == [0, 1]
    assert judged.counts["users without a known entry"] == 1
    assert judged.counts["hidden entries of items unseen in training"] == 2


def test_strangers_are_unknown_to_training_and_known_by_four_fifths():
    """A fifth of the users has no training entry; of each, a fifth of the entries (rounded down) hides."""
    data = dataset(n_users=50)
    (judged,) = Split(data, SplitDefinition(name="strong", seed=3)).rounds()
    strangers = np.flatnonzero(judged.training.histories.lengths == 0)
    assert len(strangers) == 10
    assert judged.strangers
    assert judged.hidden.lengths[strangers].tolist() == [n // 5 for n in data.histories.lengths[strangers]]
    together = judged.known.lengths + judged.hidden.lengths
    assert together[strangers].tolist() == data.histories.lengths[strangers].tolist()
    others = np.setdiff1d(np.arange(50), strangers)
    assert not together[others].any()


def test_strangers_are_not_judged_by_items_that_training_lacks():
    """An item that only strangers have is left out of what they are known and judged by, and counted."""
    table = np.ones((10, 11))
    definition = SplitDefinition(name="strong", test_share=0.1)
    (whole,) = Split(make_dataset(table), definition).rounds()
    (stranger,) = whole.people.tolist()
    table[:, 10] = np.nan
    table[stranger, 10] = 1
    (judged,) = Split(make_dataset(table), definition).rounds()
    assert judged.people.tolist() == [stranger]
    assert 10 not in judged.known.indices.tolist() + judged.hidden.indices.tolist()
    assert judged.counts["strangers' entries of items unseen in training, left out"] == 1


@given(seed=st.integers(0, 99), share=st.floats(0.1, 0.8))
def test_cold_items_are_unknown_to_training_and_all_that_is_listed(seed, share):
    """A share of the items (rounded down) has all of its entries hidden and none in training."""
    data = dataset(seed)
    (judged,) = Split(data, SplitDefinition(name="cold-items", test_share=share, seed=seed)).rounds()
    popularity = judged.training.popularity()
    assert len(judged.listable) == judged.n_listable == int(np.count_nonzero(data.popularity()) * share)
    assert set(judged.listable.tolist()) == set(np.flatnonzero((data.popularity() > 0) & (popularity == 0)))
    assert pairs(judged.hidden) | pairs(judged.training.histories) == pairs(data.histories)
    assert set(judged.hidden.indices.tolist()) == set(judged.listable.tolist())


@pytest.mark.parametrize(
    ("name", "numbers", "said"),
    [
        ("latest-time", {}, "needs timestamps"),
        ("leave-k-out", {}, "--leave-by random"),
        ("leave-k-out", {"leave_by": "random", "leave": 99}, "smaller --leave"),
        ("strong", {"test_share": 0.01}, "larger --test-share"),
        ("cold-items", {"test_share": 0.01}, "larger --test-share"),
    ],
)
def test_a_dataset_that_does_not_allow_the_protocol_is_refused(name, numbers, said):
    """No timestamps, or nobody with enough entries: an error that names the remedy."""
    with pytest.raises(DataError, match=said):
        Split(dataset(times=False), SplitDefinition(name=name, **numbers))


def test_times_that_are_all_the_same_cannot_be_cut():
    """One second for all entries: an error instead of an empty test set."""
    data = make_dataset(np.ones((3, 4)), timestamps=np.full(12, 7))
    with pytest.raises(DataError, match="all have the time 7"):
        Split(data, SplitDefinition(name="latest-time"))
