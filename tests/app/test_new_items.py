"""New items: placed among the others by their first users, provisionally, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.posted_history import Interaction
from app.recommender import Recommender
from app.schemas import answers
from app.snapshot import load
from models.artifact import publish
from models.errors import RequestError
from models.registry import configure
from models.training import TrainingPlan, train
from tests import reference
from tests.app.families import N_ITEMS, N_USERS, RECIPES
from tests.models.strategies import clustered_table, make_dataset

if TYPE_CHECKING:
    import httpx

PLACED = [name for name in RECIPES if name != "popularity"]


@pytest.fixture(params=PLACED)
def placing(request, recommenders):
    """A recommender whose family has a row problem for items."""
    return recommenders[request.param]


def users_of(recommender, item):
    """The users of a stored item, as they would be posted for a new one."""
    histories = recommender.snapshot.artifact.histories
    entries = np.flatnonzero(histories.indices == item)
    numbers, values = histories.row_numbers[entries].tolist(), histories.values[entries].tolist()
    return [Interaction(f"u{user:05}", value) for user, value in zip(numbers, values, strict=True)]


def test_an_item_of_the_table_comes_back_to_its_place(placing):
    """Posted as if it were new, an item has the direction that training gave it."""
    cosines = []
    for item in range(0, N_ITEMS, 3):
        answer = placing.fold_in_item(users_of(placing, item), N_ITEMS, exclude_seen=True)
        assert answer["provisional"]
        cosines += [each["score"] for each in answer["similar_items"] if each["item_id"] == f"i{item:05}"]
    # Stochastic descent stops early and solves nothing; what a few ratings say is in its items only in part.
    least = 0.3 if placing.snapshot.manifest.family in {"funk_svd", "svdpp", "timesvdpp"} else 0.97
    assert len(cosines) == len(range(0, N_ITEMS, 3))
    assert np.mean(cosines) > least


def test_rated_users_and_neighbours_are_those_of_dense_algebra(recommenders):
    """With als, from the definition: q by least squares on [p, 1], users by μ + b_u + b + p·q."""
    recommender = recommenders["als"]
    artifact, rule = recommender.snapshot.artifact, recommender.snapshot.manifest.row_rule
    p, q = artifact.user_factors.astype(np.float64), artifact.item_factors.astype(np.float64)
    users, ratings = np.array([3, 8, 20, 31, 44, 60]), np.array([5.0, 4, 1, 5, 3, 2])
    design = np.hstack([p[users, :-1], np.ones((6, 1))])
    targets = ratings - rule.global_mean - p[users, -1]
    ridge = rule.regularization * 6 * np.eye(design.shape[1])
    row = np.linalg.solve(design.T @ design + ridge, design.T @ targets)
    posted = [Interaction(f"u{user:05}", rating) for user, rating in zip(users, ratings, strict=True)]
    answer = recommender.fold_in_item(posted, 5, exclude_seen=True)
    scores = rule.global_mean + p[:, -1] + row[-1] + p[:, :-1] @ row[:-1]
    expected = reference.top_k(scores.tolist(), 5, users.tolist())
    assert [int(user["user_id"][1:]) for user in answer["users"]] == expected
    np.testing.assert_allclose([user["score"] for user in answer["users"]], scores[expected], rtol=1e-4)
    cosines = q[:, :-1] @ row[:-1] / np.linalg.norm(q[:, :-1], axis=1) / np.linalg.norm(row[:-1])
    expected = reference.top_k(cosines.tolist(), 5, [])
    assert [int(item["item_id"][1:]) for item in answer["similar_items"]] == expected
    everybody = recommender.fold_in_item(posted, N_USERS, exclude_seen=False)
    assert [int(user["user_id"][1:]) for user in everybody["users"]] == reference.top_k(
        scores.tolist(), N_USERS, []
    )


@given(order=st.randoms(), item=st.integers(0, N_ITEMS - 1), name=st.sampled_from(["ials", "als", "nmf"]))
def test_the_order_of_the_first_users_does_not_matter(recommenders, order, item, name):
    """A shuffled list of users gives the same answer, bit for bit."""
    posted = users_of(recommenders[name], item)
    shuffled = list(posted)
    order.shuffle(shuffled)
    answers = [recommenders[name].fold_in_item(each, 4, exclude_seen=True) for each in (posted, shuffled)]
    assert answers[0] == answers[1]


def test_too_few_known_users_are_refused(placing):
    """Below five known users: an error that says how many there were and how many it takes."""
    posted = [*users_of(placing, 0)[:4], Interaction("nobody", 3.0)]
    with pytest.raises(RequestError, match=r"4 known users are too few.*5 or more users of model"):
        placing.fold_in_item(posted, 3, exclude_seen=True)
    enough = [*users_of(placing, 0)[:5], Interaction("nobody", 3.0)]
    answer = placing.fold_in_item(enough, 3, exclude_seen=True)
    assert (answer["known_users"], answer["ignored_users"]) == (5, ["nobody"])


def test_posted_users_are_left_out_unless_asked_for(placing):
    """`exclude_seen` is about the users of the item."""
    posted = users_of(placing, 7)
    ids = {each.item_id for each in posted}
    found = placing.fold_in_item(posted, N_USERS, exclude_seen=True)["users"]
    assert {user["user_id"] for user in found}.isdisjoint(ids)
    assert len(found) == N_USERS - len(ids)
    assert len(placing.fold_in_item(posted, N_USERS, exclude_seen=False)["users"]) == N_USERS


def test_what_cannot_be_folded_in_says_why(recommenders):
    """No row problem, no rating, a user twice where the table had none, mere dislikes."""
    with pytest.raises(RequestError, match=r"popularity have no row problem.*serve another family"):
        recommenders["popularity"].fold_in_item(users_of(recommenders["popularity"], 0), 3, exclude_seen=True)
    bare = [Interaction(f"u{user:05}") for user in range(6)]
    with pytest.raises(RequestError, match=r"user 'u00000' has no value.*send the rating"):
        recommenders["als"].fold_in_item(bare, 3, exclude_seen=True)
    assert recommenders["ials"].fold_in_item(bare, 3, exclude_seen=True)["users"]
    disliked = [Interaction(f"u{user:05}", -1.0) for user in range(6)]
    answer = recommenders["ials"].fold_in_item(disliked, 3, exclude_seen=True)
    assert (answer["similar_items"], answer["users"]) == ([], [])


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    """A hybrid model in which nobody has had the last four items: the metadata made their factors."""
    table = clustered_table(60, 40, 3, np.random.default_rng(2), density=0.3)
    table[:, 36:] = np.nan
    metadata = {
        f"i{item:05}": {"genres": [f"genre {item % 4}", f"genre {item % 3}"], "year": 1990}
        for item in range(40)
    }
    dataset = replace(make_dataset(table), metadata=metadata)
    root = tmp_path_factory.mktemp("hybrid")
    config = configure("hybrid_svd", {"factors": 5, "similarity_weight": 0.5})
    publish(root, *train(dataset, TrainingPlan(family="hybrid_svd", config=config)))
    return Recommender(load(root)), metadata


def test_metadata_place_an_item_where_training_puts_one_that_nobody_had(hybrid):
    """The metadata of such an item, posted as those of a new one: the same direction and the same scores."""
    recommender, metadata = hybrid
    for item in range(36, 40):
        answer = recommender.fold_in_item([], 40, exclude_seen=True, metadata=metadata[f"i{item:05}"])
        assert (answer["source"], answer["provisional"]) == ("metadata", True)
        cosines = {each["item_id"]: each["score"] for each in answer["similar_items"]}
        assert cosines[f"i{item:05}"] == pytest.approx(1, abs=1e-5)  # float32 factors
        for user in answer["users"][:5]:
            predicted = recommender.predict(user["user_id"], f"i{item:05}")["score"]
            assert user["score"] == pytest.approx(predicted, rel=1e-4, abs=1e-6)


def test_users_say_more_than_metadata(hybrid):
    """With enough users the metadata are not needed; with too few they step in."""
    recommender, metadata = hybrid
    posted, described = users_of(recommender, 3), metadata["i00003"]
    enough = recommender.fold_in_item(posted, 5, exclude_seen=True, metadata=described)
    assert enough == recommender.fold_in_item(posted, 5, exclude_seen=True)
    few = recommender.fold_in_item(posted[:2], 5, exclude_seen=True, metadata=described)
    assert (few["source"], few["known_users"]) == ("metadata", 2)
    assert {user["user_id"] for user in few["users"]}.isdisjoint(each.item_id for each in posted[:2])


@pytest.mark.parametrize("unsaid", [{}, {"genres": ["genre 9"]}, {"year": 1990}, {"genres": None}])
def test_metadata_that_say_nothing_are_refused(hybrid, unsaid):
    """Values that no other item has, and members that were not learned from."""
    with pytest.raises(RequestError, match=r"say nothing of this item: send values of genres"):
        hybrid[0].fold_in_item([], 3, exclude_seen=True, metadata=unsaid)


def test_families_that_place_items_by_users_refuse_metadata(recommenders):
    """Nothing that was sent is silently ignored."""
    posted = users_of(recommenders["als"], 0)
    with pytest.raises(RequestError, match="family als places items by their users"):
        recommenders["als"].fold_in_item(posted, 3, exclude_seen=True, metadata={"genres": ["genre 1"]})


def test_new_items_over_http(real: httpx.Client):
    """As documented, and never in another answer."""
    before = real.get("/recommend?user_id=u50&k=40").content
    body = {"interactions": [{"user_id": f"u{n}", "value": 1.0 + n} for n in range(6)], "k": 4}
    answer = real.post("/fold-in/item", json=body)
    assert answer.status_code == 200, answer.text
    placed = answers.NewItem.model_validate_json(answer.content)
    assert (len(placed.similar_items), len(placed.users)) == (4, 4)
    assert real.get("/recommend?user_id=u50&k=40").content == before
    refused = real.post("/fold-in/item", json={**body, "metadata": {"genres": ["Drama"]}})
    assert refused.status_code == 422
    assert "leave metadata out" in refused.json()["detail"]
    few = real.post("/fold-in/item", json={"interactions": body["interactions"][:2]})
    assert few.status_code == 422
    assert "2 known users are too few" in few.json()["detail"]


@pytest.mark.parametrize("value", [0, -1, 1e-30, 1e9, -1e9])
@pytest.mark.parametrize("service", ["real", "real_ratings"])
def test_no_value_breaks_the_placing(service, value, request):
    """Any value is answered, with finite numbers, or refused."""
    posted = [{"user_id": f"u{n}", "value": value} for n in range(3)]
    posted += [{"user_id": f"u{n}", "value": 1} for n in range(3, 6)]
    answer = request.getfixturevalue(service).post("/fold-in/item", json={"interactions": posted})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        answers.NewItem.model_validate_json(answer.content)
