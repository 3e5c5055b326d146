"""Filters over HTTP and in the recommender: the same for every source, and always k where k exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np
import pytest

from app.recommender import Options, Recommender
from app.snapshot import load
from models.artifact import publish
from models.errors import RequestError
from models.item_filter import ItemFilter
from models.registry import configure
from models.training import TrainingPlan, train
from tests.models.strategies import clustered_table, make_dataset

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

COMEDIES = {f"i{n}" for n in range(39) if n % 3}
NINETIES = {f"i{n}" for n in range(10)}
TEXTS = ["genres:Comedy", "year:1990..1999"]
POSTED = {
    "must": [{"field": "genres", "any_of": ["Comedy"]}, {"field": "released", "lt": "2000-01-01"}],
}
HISTORY = [{"item_id": "i1"}, {"item_id": "i2"}, {"item_id": "i3"}]
SOURCES: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/recommend", {"user_id": "u1", "exclude_seen": "false"}),
    ("GET", "/recommend", {"user_id": "nobody"}),
    ("GET", "/similar", {"item_id": "i0"}),
    ("POST", "/recommend", {"user_ids": ["u1", "nobody"], "exclude_seen": False}),
    ("POST", "/fold-in", {"interactions": HISTORY, "exclude_seen": False}),
    ("POST", "/fold-in", {"interactions": []}),
    ("POST", "/similar", {"item_ids": ["i0", "i39"]}),
]


def ask(
    service: httpx.Client, method: str, path: str, question: dict[str, Any], filters: Any
) -> httpx.Response:
    """One question, in the form that its method has; `filters` are texts or JSON."""
    asked = question | ({} if filters is None else {"filter": filters})
    if method == "GET":
        return service.get(f"{path}?{urlencode(asked, doseq=True)}")
    return service.post(path, json=asked)


def lists(answer: httpx.Response) -> list[list[str]]:
    """The item ids of each list of an answer."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [[item["item_id"] for item in each["items"]] for each in body.get("results", [body])]


@pytest.mark.parametrize(("method", "path", "question"), SOURCES)
def test_a_filter_keeps_the_order_and_drops_the_rest(
    real: httpx.Client, method: str, path: str, question: dict[str, Any]
) -> None:
    """Every source: what passes, in the order that it has without a filter, and all of it."""
    everything = lists(ask(real, method, path, question | {"k": 40}, None))
    filters = TEXTS if method == "GET" else POSTED
    for k in (40, 3):
        answer = ask(real, method, path, question | {"k": k}, filters)
        for found, unfiltered in zip(lists(answer), everything, strict=True):
            passing = [item for item in unfiltered if item in COMEDIES & NINETIES]
            assert len(passing) > 3
            assert found == passing[:k]
        body = answer.json()
        for each in body.get("results", [body]):
            assert each["shortfall"] == k - len(each["items"])


@pytest.mark.parametrize(("method", "path", "question"), SOURCES)
def test_a_filter_that_all_items_pass_changes_nothing(
    real: httpx.Client, method: str, path: str, question: dict[str, Any]
) -> None:
    """True is no filter: items, scores and order, byte for byte."""
    anything = ["!genres:Western"] if method == "GET" else {"must_not": [{"field": "year", "lt": 1900}]}
    plain = ask(real, method, path, question, None)
    assert ask(real, method, path, question, anything).content == plain.content
    assert ask(real, method, path, question, [] if method == "GET" else {}).content == plain.content


@pytest.mark.parametrize(("method", "path", "question"), SOURCES)
def test_excluding_an_item_that_passes_promotes_the_next(
    real: httpx.Client, method: str, path: str, question: dict[str, Any]
) -> None:
    """Exclusions and filters together: just the excluded item goes."""
    filters = TEXTS if method == "GET" else POSTED
    for number, before in enumerate(lists(ask(real, method, path, question | {"k": 4}, filters))):
        without = ask(real, method, path, question | {"k": 3, "exclude": [before[1]]}, filters)
        assert lists(without)[number] == [before[0], *before[2:4]]


def test_seen_items_stay_out_of_a_filtered_list(real: httpx.Client) -> None:
    """`exclude_seen` holds under a filter as without."""
    everything = {"user_id": "u1", "k": 40}
    [unseen] = lists(ask(real, "GET", "/recommend", everything, None))
    assert len(unseen) < 40
    [found] = lists(ask(real, "GET", "/recommend", everything, ["genres:Comedy"]))
    assert found == [item for item in unseen if item in COMEDIES]


def test_a_filtered_list_is_explained(real: httpx.Client) -> None:
    """Explanations belong to the items that passed."""
    answer = ask(real, "GET", "/recommend", {"user_id": "u1", "explain": "true", "k": 3}, ["genres:Comedy"])
    for item in answer.json()["items"]:
        total = sum(each["contribution"] for each in item["because"]) + item["intercept"]
        assert total == pytest.approx(item["score"], abs=1e-4)  # float32 scores of order 1


def test_nothing_that_passes_is_an_empty_list(real: httpx.Client) -> None:
    """A value that occurs nowhere is no error; the shortfall is all of k."""
    for method, path, question in SOURCES:
        nothing = {"must": [{"field": "genres", "any_of": ["Western"]}]}
        answer = ask(real, method, path, question, ["genres:Western"] if method == "GET" else nothing)
        assert not any(lists(answer))
        body = answer.json()
        assert {each["shortfall"] for each in body.get("results", [body])} == {10}


@pytest.mark.parametrize(
    ("text", "posted", "named"),
    [
        ("genre:Comedy", {"field": "genre", "any_of": ["Comedy"]}, "did you mean 'genres'"),
        (
            "director:x",
            {"field": "director", "any_of": ["x"]},
            "fields are colour (boolean), genres (list",
        ),
        ("title:>a", {"field": "title", "gt": "a"}, "title (string) has no ranges"),
        ("colour:3", {"field": "colour", "any_of": [3]}, "colour (boolean)"),
        ("year:old", {"field": "year", "any_of": ["old"]}, "'old'"),
    ],
)
def test_what_does_not_suit_the_metadata_is_refused(
    real: httpx.Client, text: str, posted: dict[str, Any], named: str
) -> None:
    """422 in both forms, for every source, also where popular items would be the answer."""
    for method, path, question in SOURCES:
        filters = [text] if method == "GET" else {"must_not": [posted]}
        answer = ask(real, method, path, question, filters)
        assert answer.status_code == 422, (method, path)
        assert named in answer.json()["detail"]


@pytest.mark.parametrize(
    "posted", [[], "genres:Comedy", {"must": [{}]}, {"should": []}, {"must": [{"field": 3}]}]
)
def test_a_body_that_is_no_filter_is_refused(real: httpx.Client, posted: Any) -> None:
    """422 that names the member."""
    answer = real.post("/fold-in", json={"interactions": HISTORY, "filter": posted})
    assert answer.status_code == 422
    assert all(error["field"].startswith("filter") for error in answer.json()["errors"])


def test_the_model_lists_its_fields(real: httpx.Client) -> None:
    """Whoever writes a filter finds names and kinds in `GET /model`."""
    fields = real.get("/model").json()["item_fields"]
    assert fields["fields"] == [
        {"name": "colour", "kind": "boolean", "is_list": False},
        {"name": "genres", "kind": "string", "is_list": True},
        {"name": "released", "kind": "date", "is_list": False},
        {"name": "title", "kind": "string", "is_list": False},
        {"name": "year", "kind": "number", "is_list": False},
    ]
    assert fields["unfilterable"] == {}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three hundred items without metadata."""
    root = tmp_path_factory.mktemp("bare")
    dataset = make_dataset(clustered_table(60, 300, 4, np.random.default_rng(0)))
    plan = TrainingPlan(family="ials", config=configure("ials", {"factors": 6}))
    publish(root, *train(dataset, plan))
    return root


def test_without_metadata_a_filter_is_refused(bare: Path) -> None:
    """422 that says why and what to do."""
    recommender = Recommender(load(bare))
    for options in (
        Options(k=3, filter=("genres:Comedy",)),
        Options(k=3, filter=ItemFilter.model_validate({"must": [{"field": "genres", "any_of": ["Comedy"]}]})),
    ):
        with pytest.raises(RequestError, match="without item metadata; train it with an items table"):
            recommender.recommend("u00001", options)
        with pytest.raises(RequestError, match="without item metadata"):
            recommender.recommend_many(["u00001"], options)
