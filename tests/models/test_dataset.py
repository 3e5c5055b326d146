"""Datasets and splits: what is numbered, kept and held out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.dataset import build_dataset
from models.errors import DataError
from models.split import latest_split, random_folds, random_split
from tests.models.strategies import clustered_table, make_dataset


def interactions(triples, timestamps=None):
    """What the reader returns for a table of distinct (user, item, value) triples."""
    users, items, values = zip(*triples, strict=True)
    user_ids, item_ids = list(dict.fromkeys(users)), list(dict.fromkeys(items))
    return SimpleNamespace(
        user_ids=user_ids,
        item_ids=item_ids,
        users=np.array([user_ids.index(user) for user in users], dtype=np.int32),
        items=np.array([item_ids.index(item) for item in items], dtype=np.int32),
        values=np.array(values, dtype=np.float32),
        timestamps=None if timestamps is None else np.array(timestamps, dtype=np.int64),
        has_values=True,
    )


def entries(dataset):
    """The dataset's entries as {(user id, item id): value}."""
    return {
        (dataset.users.external(user), dataset.items.external(item)): value
        for user in range(len(dataset.users))
        for item, value in zip(*map(np.ndarray.tolist, dataset.histories.row(user)), strict=True)
    }


ids = st.text(min_size=1, max_size=4)
tables = st.dictionaries(st.tuples(ids, ids), st.integers(-9, 9).map(float), min_size=1, max_size=40)


@given(table=tables, order=st.randoms())
def test_every_entry_survives_under_its_ids_whatever_the_order(table, order):
    """No entry is lost or moved, and neither content nor digest depends on the order of the table."""
    triples = [(user, item, value) for (user, item), value in table.items()]
    dataset = build_dataset(interactions(triples))
    order.shuffle(triples)
    shuffled = build_dataset(interactions(triples))
    assert entries(dataset) == entries(shuffled) == table
    assert dataset.sha256() == shuffled.sha256()
    for user in range(len(dataset.users)):
        assert (np.diff(dataset.histories.row(user)[0]) > 0).all()


@given(table=tables, least=st.integers(1, 4))
def test_thresholds_leave_the_largest_table_that_meets_both(table, least):
    """Dropping goes on until every user and item left has enough: the k-core, found by a plain loop here."""
    core = dict(table)
    while True:
        users = [user for user, _ in core]
        items = [item for _, item in core]
        kept = {
            (user, item): value
            for (user, item), value in core.items()
            if users.count(user) >= least and items.count(item) >= least
        }
        if kept == core:
            break
        core = kept
    triples = [(user, item, value) for (user, item), value in table.items()]
    thresholds = {"min_user_interactions": least, "min_item_interactions": least}
    if core:
        assert entries(build_dataset(interactions(triples), **thresholds)) == core
    else:
        with pytest.raises(DataError, match=f"--min-user-interactions {least}.*lower them"):
            build_dataset(interactions(triples), **thresholds)


def test_a_different_value_time_or_id_is_a_different_digest():
    """The digest notices a change of any part of the content."""
    table = [("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 3.0)]
    digests = {
        build_dataset(interactions(table, [1, 2, 3])).sha256(),
        build_dataset(interactions(table, [1, 2, 4])).sha256(),
        build_dataset(interactions([*table[:2], ("b", "x", 4.0)], [1, 2, 3])).sha256(),
        build_dataset(interactions([*table[:2], ("c", "x", 3.0)], [1, 2, 3])).sha256(),
        build_dataset(interactions(table)).sha256(),
    }
    assert len(digests) == 5


def test_timestamps_stay_with_their_entries():
    """Sorting by user and item takes each entry's time along."""
    dataset = build_dataset(interactions([("b", "x", 1.0), ("a", "y", 2.0), ("a", "x", 3.0)], [10, 20, 30]))
    times = {(3.0): 30, (2.0): 20, (1.0): 10}
    assert [times[value] for value in dataset.histories.values.tolist()] == dataset.timestamps.tolist()


@pytest.fixture
def timed():
    """A dataset with random times, ties included."""
    rng = np.random.default_rng(0)
    table = clustered_table(40, 30, 3, rng)
    return make_dataset(table, timestamps=rng.integers(0, 50, size=int((~np.isnan(table)).sum())))


def test_the_latest_split_holds_out_the_end_of_each_history(timed):
    """Of every user, the floor of the share is held out, and nothing kept is later than what is held out."""
    test = latest_split(timed, 0.25)
    users = timed.histories.row_numbers
    for user in range(40):
        mine = users == user
        assert test[mine].sum() == int(0.25 * mine.sum())
        if test[mine].any():
            assert timed.timestamps[mine & ~test].max() <= timed.timestamps[mine & test].min()


def test_the_latest_split_needs_times():
    """Without timestamps the remedy is named."""
    with pytest.raises(DataError, match="--time-column"):
        latest_split(make_dataset(np.ones((2, 2))), 0.5)


def test_random_splits_and_folds_partition_the_entries(timed):
    """A random split holds out the floor of the share of each user; folds cover every entry exactly once."""
    test = random_split(timed, 0.5, np.random.default_rng(1))
    held_out = np.bincount(timed.histories.row_numbers[test], minlength=40)
    assert held_out.tolist() == (timed.histories.lengths // 2).tolist()
    folds = list(random_folds(timed, 5, np.random.default_rng(2)))
    assert (np.sum(folds, axis=0) == 1).all()
    assert max(fold.sum() for fold in folds) - min(fold.sum() for fold in folds) <= 1


def test_a_masked_dataset_keeps_ids_and_exactly_the_marked_entries(timed):
    """Training and held-out parts have the same users and items, and together all entries."""
    test = random_split(timed, 0.3, np.random.default_rng(3))
    kept, hidden = timed.with_entries(~test), timed.with_entries(test)
    assert kept.shape == hidden.shape == timed.shape
    assert entries(kept) | entries(hidden) == entries(timed)
    assert kept.timestamps.tolist() == timed.timestamps[~test].tolist()


def test_items_with_metadata_only_are_numbered_where_asked():
    """Unseen items get rows without entries; those of the metadata that are there already come once."""
    triples = [("u", "a", 1.0), ("u", "b", 2.0), ("v", "b", 3.0)]
    metadata = {"b": {"title": "B"}, "z": {}, "0": {}}
    dataset = build_dataset(interactions(triples), metadata=metadata, with_unseen_items=True)
    assert sorted(dataset.items) == ["0", "a", "b", "z"]
    assert entries(dataset) == {(user, item): value for user, item, value in triples}
    assert dataset.popularity()[dataset.items.get("z")] == 0
    assert dataset.metadata == metadata
    assert sorted(build_dataset(interactions(triples), metadata=metadata).items) == ["a", "b"]


def test_a_part_of_a_dataset_keeps_its_metadata():
    """Held-out splits still know what the items are."""
    dataset = build_dataset(interactions([("u", "a", 1.0), ("u", "b", 2.0)]), metadata={"a": {"title": "A"}})
    assert dataset.with_entries(np.array([True, False])).metadata == {"a": {"title": "A"}}
