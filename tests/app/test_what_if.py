"""What if: two lists that are what two calls would answer, and the differences between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.posted_history import Interaction
from app.recommender import Options
from app.schemas import answers
from models.errors import RequestError, UnknownItemError
from tests.app.families import N_ITEMS, RECIPES

if TYPE_CHECKING:
    import httpx

ITEMS = st.lists(st.integers(0, N_ITEMS - 1), max_size=8, unique=True)


def interactions(items, values=None):
    """A posted history of distinct items."""
    values = range(1, len(items) + 1) if values is None else values
    return [
        Interaction(f"i{item:05}", float(value), 1_050_000_000 + 1000 * item)
        for item, value in zip(items, values, strict=True)
    ]


def own_score(recommender, history, item_id):
    """The score of any item, by the list of all items."""
    answer = recommender.fold_in(history, Options(k=N_ITEMS, exclude_seen=False))
    return {item["item_id"]: item["score"] for item in answer["items"]}[item_id]


@given(name=st.sampled_from(list(RECIPES)), before=ITEMS, after=ITEMS, k=st.integers(1, 12))
def test_both_lists_and_every_difference(recommenders, name, before, after, k):
    """From any history to any other: each list is fold-in's answer, each change a difference of the two."""
    recommender, options = recommenders[name], Options(k=k)
    posted = interactions(before)
    values = dict(zip(before, range(1, len(before) + 1), strict=True))
    edited = interactions(after, [values.get(item, 2) for item in after])
    added = [each for each in edited if int(each.item_id[1:]) not in before]
    removed = [f"i{item:05}" for item in before if item not in after]
    answer = recommender.what_if(posted, added, removed, options)
    assert answer["before"] == recommender.fold_in(posted, options)
    assert answer["after"] == recommender.fold_in(edited, options)
    listed = {when: {item["item_id"]: item for item in answer[when]["items"]} for when in ("before", "after")}
    assert [change["item_id"] for change in answer["changes"]] == list(
        dict.fromkeys([*listed["after"], *listed["before"]])
    )
    for change in answer["changes"]:
        for when in ("before", "after"):
            item = listed[when].get(change["item_id"])
            assert change.get(f"rank_{when}") == (item["rank"] if item else None)
            is_score = answer[when]["source"] == "fold_in"
            assert (f"score_{when}" in change) == is_score
            if item and is_score:
                assert change[f"score_{when}"] == item["score"]
        for what in ("rank", "score"):
            ends = [change.get(f"{what}_{when}") for when in ("before", "after")]
            known = None not in ends
            assert change.get(f"{what}_change") == (ends[1] - ends[0] if known else None)


def test_what_left_the_list_still_has_its_new_score(recommenders):
    """The score after the edit is there for items of the old list only."""
    recommender = recommenders["ials"]
    answer = recommender.what_if(
        interactions([1, 2]), interactions([9, 11]), ["i00001", "i00002"], Options(k=3)
    )
    left = [change for change in answer["changes"] if "rank_after" not in change]
    assert left
    for change in left:
        expected = own_score(recommender, interactions([9, 11]), change["item_id"])
        assert change["score_after"] == pytest.approx(expected, rel=1e-6)  # float32


def test_an_empty_edit_changes_nothing(recommender):
    """Nothing added and nothing removed: all changes are 0."""
    answer = recommender.what_if(interactions([4, 8, 15]), [], [], Options(k=6))
    assert answer["before"] == answer["after"]
    assert all(change["rank_change"] == 0 for change in answer["changes"])
    assert {change.get("score_change", 0) for change in answer["changes"]} == {0}


def test_removing_and_adding_replaces(recommenders):
    """An item in both gets the added value, also where duplicates would be summed."""
    recommender = recommenders["ials"]
    answer = recommender.what_if(interactions([4, 8]), [Interaction("i00008", 7.0)], ["i00008"], Options(k=6))
    replaced = recommender.fold_in([Interaction("i00004", 1.0), Interaction("i00008", 7.0)], Options(k=6))
    assert answer["after"] == replaced


def test_a_stronger_liking_lifts_the_neighbour(recommenders):
    """Adding an item raises the score of the item most like it."""
    recommender = recommenders["ials"]
    neighbour = recommender.similar("i00001", Options(k=1))["items"][0]["item_id"]
    posted = interactions([9, 20])
    answer = recommender.what_if(posted, [Interaction("i00001", 5.0)], [], Options(k=N_ITEMS - 3))
    changes = {change["item_id"]: change for change in answer["changes"]}
    assert changes[neighbour]["score_change"] > 0


def test_what_is_not_there_cannot_be_removed(recommender):
    """An item that the history has not is an error that names it; unknown histories can be refused."""
    with pytest.raises(RequestError, match=r"removes item 'i00007'.*remove items of `interactions`"):
        recommender.what_if(interactions([4]), [], ["i00007"], Options(k=3))
    with pytest.raises(UnknownItemError):
        recommender.what_if(interactions([4]), [], ["i00004"], Options(k=3, on_unknown="error"))
    emptied = recommender.what_if(interactions([4]), [], ["i00004"], Options(k=3))
    assert emptied["after"]["fallback_reason"] == "empty_history"
    assert not any("score_after" in change for change in emptied["changes"])


def test_what_if_over_http(real: httpx.Client):
    """The answer is as documented, explained on request, and null means not asked."""
    body = {
        "interactions": [{"item_id": "i1"}, {"item_id": "i2"}],
        "what_if": {"add": [{"item_id": "i5", "value": 3.0}], "remove": ["i2"]},
        "k": 4,
        "explain": True,
    }
    answer = real.post("/fold-in", json=body)
    assert answer.status_code == 200, answer.text
    compared = answers.WhatIf.model_validate_json(answer.content)
    assert [len(item.because) for item in compared.after.items] == [2] * 4
    assert np.isfinite([change.score_change for change in compared.changes]).all()
    plain = real.post("/fold-in", json={**body, "what_if": None})
    answers.FoldedIn.model_validate_json(plain.content)
    refused = real.post("/fold-in", json={**body, "what_if": {"remove": ["i9"]}})
    assert refused.status_code == 422
    assert "'i9'" in refused.json()["detail"]
