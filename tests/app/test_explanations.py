"""Why: contributions sum to the score for every family, source and list, and have titles where known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.posted_history import Interaction
from app.recommender import Options
from app.schemas import answers
from models.errors import RequestError, UnknownItemError, UnknownUserError
from tests.app.families import N_ITEMS, N_USERS, RECIPES, tasteful

if TYPE_CHECKING:
    import httpx


def parts_of(explained: dict[str, Any]) -> list[float]:
    """Everything that is to sum to the score."""
    contributions = [each["contribution"] for each in explained["because"]]
    return [*contributions, explained.get("because_rest", 0.0), explained["intercept"]]


def assert_sums_up(explained: dict[str, Any]) -> None:
    """The parts sum to the score, the largest contribution first."""
    parts = parts_of(explained)
    # float32 factors and scores; parts of opposite sign may be larger than their sum
    assert abs(sum(parts) - explained["score"]) <= 2e-5 * (1 + sum(map(abs, parts)))
    shown = [each["contribution"] for each in explained["because"]]
    assert shown == sorted(shown, reverse=True)


@given(
    name=st.sampled_from(list(RECIPES)),
    items=st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=12, unique=True),
    seed=st.integers(0, 2**32),
    top=st.none() | st.integers(1, 5),
)
def test_any_history_explains_its_scores(recommenders, name, items, seed, top):
    """Of every family, for any history, cut or whole: the parts sum to each score."""
    values = np.random.default_rng(seed).integers(1, 6, len(items))
    posted = [
        Interaction(f"i{item:05}", float(value), 1_050_000_000 + 1000 * item)
        for item, value in zip(items, values, strict=True)
    ]
    options = Options(k=7, explain=True, explain_top=top, exclude_seen=False)
    answer = recommenders[name].fold_in(posted, options)
    for item in answer["items"]:
        assert_sums_up(item)
        shown = len(items) if answer["source"] == "fold_in" else 0
        assert len(item["because"]) == min(shown, top or shown)
        assert ("because_rest" in item) == (top is not None)


def test_a_pair_is_explained_as_it_is_predicted(recommender):
    """GET /explain has the score of GET /predict, and the parts of the same item in the explained list."""
    for user in tasteful(recommender, step=13):
        listed = recommender.recommend(f"u{user:05}", Options(k=2, explain=True))["items"]
        for item in listed:
            pair = recommender.explain(f"u{user:05}", item["item_id"], None)
            assert_sums_up(pair)
            assert pair["score"] == recommender.predict(f"u{user:05}", item["item_id"])["score"]
            # the same sums, by matrix products of other shapes
            assert pair["because"] == [
                {**each, "contribution": pytest.approx(each["contribution"], abs=1e-9)}
                for each in item["because"]
            ]


def test_every_pair_sums_up(recommender):
    """Seen or not, liked or not: the parts of any pair sum to its score."""
    for user in range(0, N_USERS, 9):
        for item in range(0, N_ITEMS, 7):
            assert_sums_up(recommender.explain(f"u{user:05}", f"i{item:05}", None))


@given(
    name=st.sampled_from(list(RECIPES)),
    seeds=st.lists(
        st.tuples(st.integers(0, N_ITEMS - 1), st.floats(-3, 3, allow_nan=False)), min_size=1, max_size=6
    ),
    top=st.none() | st.integers(1, 4),
)
def test_seeds_explain_a_cosine(recommenders, name, seeds, top):
    """For baskets of any weights, one item twice included: the parts sum to the cosine."""
    basket = [(f"i{item:05}", weight) for item, weight in seeds]
    answer = recommenders[name].similar_basket(basket, Options(k=6, explain=True, explain_top=top))
    for item in answer["items"]:
        assert_sums_up(item)
        assert item["intercept"] == 0
        known = {each["item_id"] for each in item["because"]}
        assert known <= {item_id for item_id, _ in basket}
        if top is None:
            assert len(item["because"]) == len(basket)


def test_one_seed_is_the_whole_reason(recommender):
    """Items like one item have one contribution, the cosine itself."""
    for item in recommender.similar("i00013", Options(k=5, explain=True))["items"]:
        [because] = item["because"]
        assert because["item_id"] == "i00013"
        assert because["contribution"] == pytest.approx(item["score"], abs=1e-6)  # float32


def test_popular_items_are_all_intercept(recommender):
    """Nobody's history is the reason: no contributions, and the intercept is the score."""
    for item in recommender.recommend("nobody", Options(k=4, explain=True))["items"]:
        assert (item["because"], item["intercept"]) == ([], item["score"])


def test_explaining_changes_nothing_else(recommender):
    """Items, scores, ranks and order are those of the list that was not explained."""
    for ask in (
        lambda options: recommender.recommend("u00008", options),
        lambda options: recommender.recommend("nobody", options),
        lambda options: recommender.similar("i00002", options),
    ):
        plain, explained = ask(Options(k=5)), ask(Options(k=5, explain=True))
        assert plain["items"] == [
            {name: item[name] for name in ("item_id", "score", "rank")} for item in explained["items"]
        ]


def test_titles_are_there_where_known(recommenders):
    """Items and contributions have the title of the metadata; those without one have no such member."""
    recommender = recommenders["ials"]
    pair = recommender.explain("u00003", "i00003", None)
    assert pair["title"] == "Three"
    assert [("title" in each) for each in pair["because"]] == [
        each["item_id"] == "i00003" for each in pair["because"]
    ]
    assert "title" not in recommender.explain("u00003", "i00004", None)


def test_who_and_what_must_be_known(recommenders):
    """Unknown ids are errors, and so is more than one answer should hold."""
    recommender = recommenders["als"]
    with pytest.raises(UnknownUserError):
        recommender.explain("nobody", "i00000", None)
    with pytest.raises(UnknownItemError):
        recommender.explain("u00000", "nothing", None)
    seeds = [("i00001", 1.0)] * 1000
    with pytest.raises(RequestError, match=r"100,000 contributions.*explain_top"):
        recommender.similar_basket(seeds, Options(k=1000, explain=True))


@pytest.mark.parametrize(
    ("method", "path", "body", "schema"),
    [
        ("GET", "/explain?user_id=u1&item_id=i2", None, answers.Explanation),
        ("GET", "/explain?user_id=u1&item_id=i2&explain_top=1", None, answers.Explanation),
        ("GET", "/similar?item_id=i1&explain=true", None, answers.SimilarItems),
        ("GET", "/recommend?user_id=nobody&explain=true", None, answers.Recommendation),
        (
            "POST",
            "/similar",
            {"item_ids": ["i1", "i2"], "weights": [1, -1], "explain_top": 1},
            answers.BasketItems,
        ),
    ],
)
def test_explanations_over_http_are_as_documented(real: httpx.Client, method, path, body, schema):
    """Every explained answer is valid against the model that documents it, and sums up."""
    answer = real.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    schema.model_validate_json(answer.content)
    for explained in answer.json().get("items", [answer.json()]):
        assert_sums_up(explained)
        assert explained["title"].startswith("Title ") or explained["item_id"] == "i39"
