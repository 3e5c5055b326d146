"""Groups: one list for several people, against dense scores of every member."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers.groups import Group
from app.posted_history import Interaction
from app.recommender import Options
from app.schemas import answers
from models.errors import RequestError, UnknownItemError, UnknownUserError
from tests import reference
from tests.app.families import N_ITEMS, N_USERS, RECIPES, dense_scores, history, listed, tasteful

if TYPE_CHECKING:
    import httpx

COMBINED = {"mean": np.mean, "least_misery": np.min}


@given(
    name=st.sampled_from([name for name in RECIPES if name != "popularity"]),
    by=st.sampled_from(list(COMBINED)),
    users=st.lists(st.integers(0, 11), min_size=1, max_size=5, unique=True),
    posted=st.lists(st.integers(0, 11), max_size=3),
    k=st.integers(1, 12),
    seen=st.booleans(),
)
def test_the_list_is_the_top_of_the_combined_dense_scores(recommenders, name, by, users, posted, k, seen):
    """Stored and posted members: mean or smallest of their dense scores, what any has seen left out."""
    recommender = recommenders[name]
    some = tasteful(recommender, step=5)
    users, posted = ([some[number % len(some)] for number in each] for each in (users, posted))
    group = Group([f"u{user:05}" for user in users], [history(recommender, user) for user in posted], by)
    answer = recommender.recommend_group(group, Options(k=k, exclude_seen=seen))
    members = users + posted
    scores = np.stack([dense_scores(recommender, user) for user in members])
    combined = COMBINED[by](scores, axis=0)
    histories = recommender.snapshot.artifact.histories
    excluded = {item for user in members for item in histories.row(user)[0].tolist()} if seen else set()
    expected = reference.top_k(combined.tolist(), k, sorted(excluded))
    found = listed(answer)
    tolerance = {"rtol": 1e-4, "atol": 1e-4}  # float32 factors, and rows folded in beside stored ones
    np.testing.assert_allclose([item["score"] for item in answer["items"]], combined[expected], **tolerance)
    np.testing.assert_allclose(combined[found], combined[expected], **tolerance)
    for row, item in zip(found, answer["items"], strict=True):
        np.testing.assert_allclose(item["member_scores"], scores[:, row], **tolerance)
        assert item["score"] == pytest.approx(COMBINED[by](item["member_scores"]), rel=1e-5, abs=1e-6)
    assert answer["source"] == ("fold_in" if posted else "factors")
    assert answer["shortfall"] == k - len(found)
    assert answer["members"] == [
        *({"user_id": f"u{user:05}"} for user in users),
        *({"history": number} for number in range(len(posted))),
    ]


def test_a_group_of_one_is_that_user(recommender):
    """Either way of combining: the user's own list and scores."""
    for user in tasteful(recommender, step=23):
        own = recommender.recommend(f"u{user:05}", Options(k=6))
        for by in COMBINED:
            group = recommender.recommend_group(Group([f"u{user:05}"], [], by), Options(k=6))
            np.testing.assert_allclose(
                [item["score"] for item in group["items"]],
                [item["score"] for item in own["items"]],
                rtol=1e-6,  # float32
            )


def test_least_misery_spares_the_one_who_likes_it_least(recommenders):
    """The smallest member score of its first item is at least that of the mean's first item."""
    for name in ("als", "ials"):
        for user in range(0, 40, 4):
            ids = [f"u{each:05}" for each in range(user, user + 4)]
            first = {
                by: recommenders[name].recommend_group(Group(ids, [], by), Options(k=1))["items"][0]
                for by in COMBINED
            }
            assert min(first["least_misery"]["member_scores"]) >= min(first["mean"]["member_scores"]) - 1e-6
            assert first["mean"]["score"] >= np.mean(first["least_misery"]["member_scores"]) - 1e-6


def test_who_is_unknown_has_no_say_and_is_listed(recommenders):
    """Unknown users, empty and unknown histories and mere dislikes are left out, or refused."""
    recommender = recommenders["ials"]
    histories = [
        [Interaction("i00001", 2.0)],
        [],
        [Interaction("gone", 1.0)],
        [Interaction("i00002", -1.0)],
    ]
    answer = recommender.recommend_group(Group(["u00001", "nobody"], histories, "mean"), Options(k=4))
    assert answer["members"] == [{"user_id": "u00001"}, {"history": 0}]
    assert (answer["ignored_users"], answer["ignored_histories"]) == (["nobody"], [1, 2, 3])
    assert answer["ignored_items"] == ["gone"]
    plain = recommender.recommend_group(Group(["u00001"], histories[:1], "mean"), Options(k=4))
    assert plain["items"] == answer["items"]
    popular = recommender.recommend_group(Group(["nobody"], [[]], "least_misery"), Options(k=4))
    assert (popular["source"], popular["fallback_reason"]) == ("popular", "unknown_group")
    with pytest.raises(UnknownUserError, match="'nobody'"):
        recommender.recommend_group(Group(["nobody"], [], "mean"), Options(k=4, on_unknown="error"))
    with pytest.raises(UnknownItemError):
        recommender.recommend_group(Group(["u00001"], [[]], "mean"), Options(k=4, on_unknown="error"))


@pytest.mark.parametrize("asked", [{"explain": True}, {"uncertainty": True}, {"explore": "ucb"}])
def test_what_groups_cannot_be_asked_is_refused(recommenders, asked):
    """An error that says what to do instead."""
    with pytest.raises(RequestError, match=r"every member's score instead of explain.*for each member"):
        recommenders["als"].recommend_group(Group(["u00001"], [], "mean"), Options(k=4, **asked))


@given(
    by=st.sampled_from(list(COMBINED)),
    first=st.integers(0, N_USERS - 4),
    k=st.integers(1, 15),
    diversity=st.sampled_from([0.0, 0.4]),
)
def test_order_exclusions_and_a_bigger_k(recommenders, by, first, k, diversity):
    """The members' order does not matter; an excluded item goes and the next comes; more k extends."""
    recommender = recommenders["ials"]
    ids = [f"u{user:05}" for user in range(first, first + 3)]

    def rows(ids=ids, **options):
        options = Options(diversity=diversity, exclude_seen=False, **options)
        return listed(recommender.recommend_group(Group(ids, [], by), options))

    found = rows(k=k)
    assert rows(ids[::-1], k=k) == found
    assert rows(k=k + 5)[:k] == found
    without = rows(k=k, exclude=(f"i{found[0]:05}",))
    assert found[0] not in without
    if not diversity:
        assert without == rows(k=k + 1)[1:]
    assert len(rows(k=N_ITEMS)) == N_ITEMS


def test_groups_over_http(real: httpx.Client):
    """As documented, filtered and diverse; a body names users or a group, and a group has members."""
    group = {"user_ids": ["u1", "u2"], "histories": [[{"item_id": "i3"}]], "by": "least_misery"}
    filters = {"must": [{"field": "genres", "any_of": ["Comedy"]}]}
    answer = real.post("/recommend", json={"group": group, "k": 4, "filter": filters, "diversity": 0.3})
    assert answer.status_code == 200, answer.text
    found = answers.GroupRecommendation.model_validate_json(answer.content)
    assert [len(item.member_scores) for item in found.items] == [3] * 4
    assert all(int(item.item_id[1:]) % 3 for item in found.items)
    popular = real.post("/recommend", json={"group": {"user_ids": ["nobody"]}})
    answers.GroupRecommendation.model_validate_json(popular.content)
    for wrong, said in (
        ({}, "either user_ids or a group"),
        ({"user_ids": ["u1"], "group": group}, "either user_ids or a group"),
        ({"group": {}}, "a group of 0"),
        ({"group": {"user_ids": ["u1"] * 60, "histories": [[]] * 41}}, "a group of 101"),
        ({"group": {"user_ids": ["u1"], "by": "vote"}}, "by"),
        ({"group": None}, "leave it out"),
    ):
        refused = real.post("/recommend", json=wrong)
        assert refused.status_code == 422, refused.text
        assert said in refused.json()["detail"]
