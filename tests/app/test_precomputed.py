"""Lists made at training: what is looked up is what would have been searched for, to the byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers.options import Options
from app.recommender import Recommender
from models.artifact import current_version, open_artifact, publish
from models.registry import configure
from models.top_lists import TopListMaker, stored_lists
from models.training import TrainingPlan, train
from models.types import NOBODY
from tests.app.families import N_ITEMS, N_USERS, RECIPES
from tests.models.strategies import clustered_table, make_dataset

STORED = 12


def with_lists(recommender, k):
    """The same model, its lists stored."""
    artifact = recommender.snapshot.artifact
    maker = TopListMaker(artifact.manifest.row_rule, artifact.user_factors, artifact.item_factors)
    lists = stored_lists(maker, artifact.histories, k)
    return Recommender(replace(recommender.snapshot, artifact=replace(artifact, top_lists=lists)))


@pytest.fixture(scope="module")
def with_stored(recommenders):
    """A model of every family, the best twelve and the best fifty (all) items of everybody stored."""
    return {(name, k): with_lists(recommenders[name], k) for name in RECIPES for k in (STORED, N_ITEMS)}


EXCLUDED = st.lists(st.sampled_from([*(f"i{row:05}" for row in range(N_ITEMS)), "no item"]), max_size=12)


@pytest.mark.parametrize("k_stored", [STORED, N_ITEMS])
@pytest.mark.parametrize("family", RECIPES)
def test_a_list_that_is_looked_up_is_the_exact_searchs_to_the_byte(with_stored, family, k_stored):
    """Items, scores, order, shortfall and every other member: the JSON is the same, whatever is excluded."""
    recommender = with_stored[family, k_stored]

    @given(st.integers(0, N_USERS - 1), st.integers(1, N_ITEMS + 5), EXCLUDED)
    def check(user, k, exclude):
        options = Options(k=k, exclude=tuple(exclude))
        found = recommender.looked_up(f"u{user:05}", options)
        searched = recommender.searched(f"u{user:05}", options)
        assert found is None or orjson.dumps(found) == orjson.dumps(searched)
        if searched["source"] == "factors" and k + len(set(exclude)) <= k_stored:
            assert found is not None

    check()


def test_near_equal_scores_are_in_the_order_of_the_exact_search(recommenders):
    """Dozens of items that differ by less than float32 products round by are ranked as the search does."""
    snapshot = recommenders["ials"].snapshot
    rng = np.random.default_rng(0)
    factors = np.repeat(rng.normal(size=(1, 6)), N_ITEMS, axis=0)
    factors = (factors * (1 + 1e-7 * rng.integers(-2, 3, factors.shape))).astype(np.float32)
    artifact = replace(snapshot.artifact, item_factors=factors)
    exact = type(snapshot.recommend.exact)(factors)
    snapshot = replace(
        snapshot, artifact=artifact, recommend=type(snapshot.recommend)(exact, None, max_fetch=0)
    )
    recommender = with_lists(Recommender(snapshot), STORED)
    for user in range(N_USERS):
        options = Options(k=STORED)
        found = recommender.looked_up(f"u{user:05}", options)
        assert orjson.dumps(found) == orjson.dumps(recommender.searched(f"u{user:05}", options))


@pytest.mark.parametrize(
    "asked",
    [
        {"k": STORED + 1},
        {"exclude_seen": False},
        {"filter": ("genres:genre 1",)},
        {"diversity": 0.5},
        {"explain": True},
        {"uncertainty": True},
        {"explore": "ucb"},
        {"page": 0},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_a_list_does_not_answer_is_searched_for(with_stored, asked):
    """Any other question gets the answer that it would get without lists."""
    options = Options(**({"k": 5} | asked))
    recommender = with_stored["ials", STORED]
    assert recommender.looked_up("u00001", options) is None
    assert orjson.dumps(recommender.recommend("u00001", options)) == orjson.dumps(
        recommender.searched("u00001", options)
    )


def test_who_is_unknown_or_shows_no_preference_has_no_list(with_stored):
    """Popular items and their reason come as they do without lists."""
    recommender = with_stored["svd-user", STORED]
    lists = recommender.snapshot.artifact.top_lists
    indifferent = np.flatnonzero(lists.items[:, 0] == NOBODY)
    assert len(indifferent)
    assert recommender.looked_up(f"u{indifferent[0]:05}", Options(k=3)) is None
    answer = recommender.recommend(f"u{indifferent[0]:05}", Options(k=3))
    assert (answer["source"], answer["fallback_reason"]) == ("popular", "no_preference")
    assert recommender.looked_up("nobody", Options(k=3)) is None


def test_batches_look_up_too(with_stored, monkeypatch):
    """POST /recommend for many users takes the stored lists."""
    recommender = with_stored["ials", STORED]
    searched = list(recommender.recommend_many(["u00001", "u00002"], Options(k=3, exclude=("i00001",))))
    retriever = recommender.snapshot.recommend
    monkeypatch.setattr(type(retriever), "search", lambda *_: pytest.fail("it searched"))
    assert (
        list(recommender.recommend_many(["u00001", "u00002"], Options(k=3, exclude=("i00001",)))) == searched
    )


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The same model published without lists, and with thirty items of each."""
    dataset = make_dataset(clustered_table(N_USERS, N_ITEMS, 4, np.random.default_rng(0)))
    plan = TrainingPlan(family="ials", config=configure("ials", {"factors": 6}))
    places = {}
    for name, precompute in {"without": 0, "with": 30}.items():
        places[name] = tmp_path_factory.mktemp(name)
        publish(places[name], *train(dataset, replace(plan, precompute=precompute)))
    return places


def test_training_stores_and_describes_the_lists(roots):
    """`precompute` fills two mapped arrays, and the card counts who has fewer items left."""
    artifact = open_artifact(roots["with"] / current_version(roots["with"]))
    lists, card = artifact.top_lists, artifact.manifest.top_lists
    assert lists.items.shape == lists.scores.shape == (N_USERS, 30)
    left = N_ITEMS - artifact.histories.lengths
    assert card.k == 30
    assert card.short == np.count_nonzero((left < 30) & (left > 0)) > 0
    assert card.without == np.count_nonzero(left == 0)
    assert card.bytes == N_USERS * 30 * 8
    assert "top lists" in artifact.manifest.training.seconds
    for row, length in zip(lists.items, np.minimum(left, 30), strict=True):
        assert np.count_nonzero(row != NOBODY) == length


def test_the_service_answers_the_same_and_says_what_it_did(roots, serve):
    """Over HTTP: equal bodies but for the version; /model and the metrics know of the lists."""
    plain, stored = serve(artifacts=roots["without"]), serve(artifacts=roots["with"])
    for query in ("user_id=u00001&k=7", "user_id=u00002&k=40", "user_id=u00003&exclude=i00001", "user_id=x"):
        answers = [client.get(f"/recommend?{query}").json() for client in (plain, stored)]
        assert answers[0].pop("model_version") != answers[1].pop("model_version")
        assert answers[0] == answers[1]
    assert plain.get("/model").json()["top_lists"] is None
    assert stored.get("/model").json()["top_lists"]["k"] == 30
    counted = {
        line.partition(" ")[0]: float(line.partition(" ")[2])
        for line in stored.get("/metrics").text.splitlines()
        if line.startswith("foldrec_retrieval_seconds_count")
    }
    # Of user 2 forty were asked for and more are left than the thirty stored; x is unknown.
    assert counted['foldrec_retrieval_seconds_count{index="precomputed"}'] == 2
    assert 'index="precomputed"' not in plain.get("/metrics").text
