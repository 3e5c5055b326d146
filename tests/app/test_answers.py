"""Real answers of a real model, held against the schemas that OpenAPI shows."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from app.schemas import answers, service
from models.artifact import current_version

HISTORY = [
    {"item_id": "i1"},
    {"item_id": "i2", "value": 2.0},
    {"item_id": "i3", "value": -1, "timestamp": 10},
]
SEED = {"item_ids": ["i1", "i2"]}
PAIRS = {"pairs": [{"user_id": "u1", "item_id": "i2"}, {"user_id": "u2", "item_id": "i1"}]}


@pytest.mark.parametrize(
    ("method", "path", "body", "schema"),
    [
        ("GET", "/recommend?user_id=u1&k=5", None, answers.Recommendation),
        ("GET", "/recommend?user_id=u1&explain=true", None, answers.Recommendation),
        ("GET", "/recommend?user_id=u1&explain=true&explain_top=1", None, answers.Recommendation),
        ("GET", "/recommend?user_id=nobody", None, answers.Recommendation),
        ("GET", "/recommend?user_id=u1&k=1000", None, answers.Recommendation),
        ("POST", "/recommend", {"user_ids": ["u1", "nobody", "u2"]}, answers.Recommendations),
        ("POST", "/fold-in", {"interactions": HISTORY, "explain": True}, answers.FoldedIn),
        ("POST", "/fold-in", {"interactions": []}, answers.FoldedIn),
        ("POST", "/fold-in", {"interactions": [{"item_id": "x9"}]}, answers.FoldedIn),
        ("GET", "/similar?item_id=i1", None, answers.SimilarItems),
        ("POST", "/similar", SEED, answers.BasketItems),
        ("POST", "/similar", {**SEED, "weights": [1, -0.5], "exclude": ["i5"]}, answers.BasketItems),
        ("GET", "/similar-users?user_id=u1&k=5", None, answers.SimilarUsers),
        ("GET", "/predict?user_id=u1&item_id=i2", None, answers.Prediction),
        ("POST", "/predict", PAIRS, answers.Predictions),
        ("GET", "/items/i1", None, answers.Item),
        ("GET", "/items/i39", None, answers.Item),
        ("GET", "/model", None, service.ServedModel),
        ("GET", "/live", None, service.Live),
        ("GET", "/ready", None, service.Ready),
    ],
)
def test_answer_is_what_the_schema_says(
    real: httpx.Client, method: str, path: str, body: Any, schema: type[BaseModel]
) -> None:
    """Every 200 is valid against the model that documents it, and optional members are absent, not null."""
    answer = real.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    schema.model_validate_json(answer.content)
    items = [
        item for result in answer.json().get("results", [answer.json()]) for item in result.get("items", [])
    ]
    assert all(None not in item.values() for item in items)


def test_explained_list_sums_up_over_http(real: httpx.Client) -> None:
    """Contributions, their rest and the intercept sum to the score, whole or cut by explain_top."""
    for extra in ("", "&explain_top=2"):
        answer = real.get(f"/recommend?user_id=u1&explain=true{extra}").json()
        for item in answer["items"]:
            parts = sum(each["contribution"] for each in item["because"])
            total = parts + item.get("because_rest", 0.0) + item["intercept"]
            assert total == pytest.approx(item["score"], abs=1e-4)  # float32 scores of order 1
            assert ("because_rest" in item) == bool(extra)


def test_bare_list_has_no_optional_members(real: httpx.Client) -> None:
    """Without explain, an item has an id, a score and a rank, and the object is what API.md shows."""
    answer = real.get("/recommend?user_id=u1&k=3").json()
    assert set(answer) == {
        "model_version", "source", "fallback_reason", "user_id", "k", "shortfall", "ignored_items", "items",
    }  # fmt: skip
    assert [set(item) for item in answer["items"]] == [{"item_id", "score", "rank"}] * 3
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]


def test_post_is_many_gets(real: httpx.Client) -> None:
    """POST /recommend answers, in order, what GET answers for each user."""
    users = ["u3", "nobody", "u1"]
    many = real.post("/recommend", json={"user_ids": users, "k": 4, "exclude": ["i7"]}).json()["results"]
    ones = [
        real.get("/recommend", params={"user_id": user, "k": 4, "exclude": "i7"}).json() for user in users
    ]
    assert many == ones


def test_posted_history_equals_stored_history(real: httpx.Client, artifacts: Path) -> None:
    """Folding in what a user of the training table did gives that user's list."""
    explained = real.get("/recommend?user_id=u1&explain=true").json()
    seen = [each["item_id"] for each in explained["items"][0]["because"]]
    stored = _stored_history(artifacts, "u1")
    assert sorted(stored) == sorted(seen)
    history = [{"item_id": item, "value": value} for item, value in stored.items()]
    folded = real.post("/fold-in", json={"interactions": history}).json()
    assert folded["source"] == "fold_in"
    assert [item["item_id"] for item in folded["items"]] == [item["item_id"] for item in explained["items"]]


def _stored_history(artifacts: Path, user_id: str) -> dict[str, float]:
    from models.artifact import open_artifact  # noqa: PLC0415 - the only test that looks behind the service

    artifact = open_artifact(artifacts / current_version(artifacts))
    rows, values = artifact.histories.row(artifact.users.to_internal([user_id], missing="raise")[0])
    return dict(zip(artifact.items.to_external(rows), values.tolist(), strict=True))


def test_exclusions_apply_to_every_source(real: httpx.Client) -> None:
    """An excluded item is in no list, stored, folded in, popular or similar."""
    lists = [
        real.get("/recommend", params={"user_id": user, "exclude": ["i1", "i2"], "k": 40})
        for user in ("u1", "nobody")
    ]
    lists.append(real.get("/similar", params={"item_id": "i9", "exclude": ["i1", "i2"], "k": 40}))
    body = {"interactions": [{"item_id": "i3"}], "exclude": ["i1", "i2"], "k": 40}
    lists.append(real.post("/fold-in", json=body))
    for answer in lists:
        assert {"i1", "i2"}.isdisjoint(item["item_id"] for item in answer.json()["items"])


def test_value_is_needed_where_ratings_were_learned(real_ratings: httpx.Client) -> None:
    """A rating model refuses a history without ratings and says which item lacks one."""
    answer = real_ratings.post("/fold-in", json={"interactions": [{"item_id": "i1"}]})
    assert answer.status_code == 422
    assert "'i1'" in answer.json()["detail"]
    rated = real_ratings.post(
        "/fold-in", json={"interactions": [{"item_id": "i1", "value": 4.0}], "explain": True}
    )
    answers.FoldedIn.model_validate_json(rated.content)


def test_model_card_is_the_manifest(real: httpx.Client, artifacts: Path) -> None:
    """GET /model shows every member of the manifest but the list of files, as published."""
    manifest = json.loads((artifacts / current_version(artifacts) / "manifest.json").read_text())
    shown = real.get("/model").json()
    of_the_service = {"loaded_at", "live_recall", "compared", "has_report"}
    assert set(shown) == (set(manifest) - {"files"}) | of_the_service
    assert {name: shown[name] for name in set(manifest) - {"files"}} == {
        name: manifest[name] for name in set(manifest) - {"files"}
    }


@pytest.mark.parametrize("value", [0, -1, 1e-300, 1e30, -1e30, 1e38, 3.5e38, 1e308, -1e308, 5e-324, 10**300])
@pytest.mark.parametrize("service", ["real", "real_ratings"])
def test_no_value_breaks_the_solver(service: str, value: float, request: pytest.FixtureRequest) -> None:
    """Any finite value is answered or refused, with finite scores."""
    client = request.getfixturevalue(service)
    history = [{"item_id": "i1", "value": value}, {"item_id": "i2", "value": 1}]
    answer = client.post("/fold-in", json={"interactions": history, "explain": True})
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        answers.FoldedIn.model_validate_json(answer.content)  # null, which orjson makes of NaN, is no float
