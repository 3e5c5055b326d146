"""Pages of a list: none repeats an item, none is skipped, also while another model is loaded."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cursors import CursorSigner, Place
from app.replaced import ReplacedModels
from app.schemas.answers import BasketItems, FoldedIn, Recommendation, SimilarItems

USERS, ITEMS = 60, 40
SECOND = 1
QUESTIONS: dict[str, tuple[str, str, dict[str, Any], Any]] = {
    "a user": ("GET", "/recommend", {"user_id": "u7"}, Recommendation),
    "a user, seen items too": ("GET", "/recommend", {"user_id": "u7", "exclude_seen": False}, Recommendation),
    "a user, explained": ("GET", "/recommend", {"user_id": "u7", "explain_top": 2}, Recommendation),
    "a user, unsure": ("GET", "/recommend", {"user_id": "u7", "uncertainty": True}, Recommendation),
    "a user, filtered": ("GET", "/recommend", {"user_id": "u7", "filter": "genres:Comedy"}, Recommendation),
    "nobody": ("GET", "/recommend", {"user_id": "x9", "exclude": ["i1", "i2"]}, Recommendation),
    "an item": ("GET", "/similar", {"item_id": "i3"}, SimilarItems),
    "a basket": ("POST", "/similar", {"item_ids": ["i3", "i4"], "weights": [1.0, -0.5]}, BasketItems),
    "a history": ("POST", "/fold-in", {"interactions": [{"item_id": "i3"}, {"item_id": "i9"}]}, FoldedIn),
    "no history": ("POST", "/fold-in", {"interactions": []}, FoldedIn),
    "dislikes only": ("POST", "/fold-in", {"interactions": [{"item_id": "i3", "value": -1.0}]}, FoldedIn),
}


def ask(client: httpx.Client, method: str, path: str, question: dict[str, Any]) -> httpx.Response:
    """Ask by query or by body."""
    if method == "POST":
        return client.post(path, json=question)
    return client.get(path, params={name: _text(value) for name, value in question.items()})


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def pages(client: httpx.Client, method: str, path: str, question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every page, first to last."""
    cursor: str | None = ""
    while cursor is not None:
        answer = ask(client, method, path, question | {"cursor": cursor})
        assert answer.status_code == 200, answer.text
        yield answer.json()
        cursor = answer.json().get("next_cursor")


@given(st.sampled_from(sorted(QUESTIONS)), st.integers(1, 45))
@settings(max_examples=80)
def test_pages_are_the_one_long_list(real: httpx.Client, name: str, k: int) -> None:
    """Concatenated, with ranks and explanations, they are what one request for everything answers."""
    method, path, question, schema = QUESTIONS[name]
    whole = ask(real, method, path, question | {"k": 1000}).json()
    assert "next_cursor" not in whole
    answered = list(pages(real, method, path, question | {"k": k}))
    for page in answered:
        schema.model_validate(page)
    assert [item for page in answered for item in page["items"]] == whole["items"]
    assert [len(page["items"]) for page in answered[:-1]] == [k] * (len(answered) - 1)
    assert answered[-1]["shortfall"] == k - len(answered[-1]["items"])
    assert len(answered) == max(1, -(-len(whole["items"]) // k))


def test_list_without_a_cursor_is_whole(real: httpx.Client) -> None:
    """Whoever asks for no pages is given none."""
    assert "next_cursor" not in real.get("/recommend?user_id=u7&k=3").json()
    assert "next_cursor" in real.get("/recommend?user_id=u7&k=3&cursor=").json()


def test_spelling_of_a_question_does_not_matter(real: httpx.Client) -> None:
    """The order of parameters and defaults that are spelled out leave the question the same."""
    cursor = real.get("/recommend?user_id=u7&cursor=&exclude=i1").json()["next_cursor"]
    respelled = f"/recommend?cursor={cursor}&k=10&exclude=i1&exclude_seen=true&user_id=u7"
    assert real.get(respelled).json()["items"][0]["rank"] == 11


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/recommend?user_id=u8&k=3", {}),
        ("/recommend?user_id=u7&k=4", {}),
        ("/recommend?user_id=u7&k=3&exclude_seen=false", {}),
        ("/recommend?user_id=u7&k=3&filter=genres:Comedy", {}),
        ("/similar?item_id=i7&k=3", {}),
        ("/recommend?user_id=u7&k=3", {"1.": "2."}),
        ("/recommend?user_id=u7&k=3", {"Z-": "Y-"}),
    ],
)
def test_cursor_of_another_question_is_refused(real: httpx.Client, path: str, change: dict[str, str]) -> None:
    """Any other parameter, and any other cursor, is a 422 that says what to do."""
    cursor = real.get("/recommend?user_id=u7&k=3&cursor=").json()["next_cursor"]
    for old, new in change.items():
        cursor = cursor.replace(old, new, 1)
    answer = real.get(f"{path}&cursor={cursor}")
    assert answer.status_code == 422
    assert "an empty cursor to start again" in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize("cursor", ["x", "0." + "0" * 32 + ".v", "1." + "0" * 32 + ".v", "é", "1" * 5000])
def test_invented_cursor_is_refused(real: httpx.Client, cursor: str) -> None:
    """No text but a signed one is a cursor."""
    assert real.get("/recommend", params={"user_id": "u7", "cursor": cursor}).status_code == 422
    body = {"interactions": [], "cursor": cursor}
    assert real.post("/fold-in", json=body).json()["errors"][0]["location"] == "body"


@pytest.mark.parametrize(
    ("name", "parameter"),
    [("diversity", {"diversity": 0.5}), ("explore", {"explore": "ucb"}), ("what_if", {"what_if": {}})],
)
def test_order_that_depends_on_k_has_no_pages(
    real: httpx.Client, name: str, parameter: dict[str, Any]
) -> None:
    """Diverse, explored and compared lists refuse a cursor instead of answering it wrongly."""
    body = {"interactions": [{"item_id": "i3"}], "cursor": "", **parameter}
    answer = real.post("/fold-in", json=body)
    assert answer.status_code == 422
    assert name in answer.json()["detail"]


def test_pages_go_on_in_the_model_that_they_began_in(
    tmp_path: Path, serve: Callable[..., httpx.Client], publish_small: Callable[..., str], admin_key: str
) -> None:
    """After a swap the next page is the old model's, body, header and entity tag; a new list is the new's."""
    first = publish_small(tmp_path)
    client = serve(artifacts=tmp_path, admin_key=admin_key, reload_seconds=3600)
    whole = client.get("/recommend?user_id=u7&k=1000").json()["items"]
    cursor = client.get("/recommend?user_id=u7&k=5&cursor=").json()["next_cursor"]
    second = publish_small(tmp_path, seed=SECOND)
    client.post("/admin/reload", headers={"x-api-key": admin_key})
    path = f"/recommend?user_id=u7&k=5&cursor={cursor}"
    answer = client.get(path)
    assert answer.json()["items"] == whole[5:10]
    assert answer.json()["model_version"] == answer.headers["x-model-version"] == first
    assert first in answer.headers["etag"]
    again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.headers["x-model-version"]) == (304, first)
    assert client.get("/recommend?user_id=u7&k=5&cursor=").headers["x-model-version"] == second


@pytest.mark.parametrize("bound", [{"cursor_models": 0}, {"cursor_seconds": 0}, {}])
def test_cursor_of_a_model_that_is_gone_is_410(
    tmp_path: Path,
    serve: Callable[..., httpx.Client],
    publish_small: Callable[..., str],
    admin_key: str,
    bound: dict[str, Any],
) -> None:
    """Past the bounds of number or age the refusal names both models, the settings and the remedy."""
    first = publish_small(tmp_path)
    client = serve(artifacts=tmp_path, admin_key=admin_key, reload_seconds=3600, **bound)
    cursor = client.get("/recommend?user_id=u7&k=5&cursor=").json()["next_cursor"]
    for seed in (1, 2):
        newest = publish_small(tmp_path, seed=seed)
        client.post("/admin/reload", headers={"x-api-key": admin_key})
    answer = client.get(f"/recommend?user_id=u7&k=5&cursor={cursor}")
    assert answer.status_code == 410
    assert answer.json()["type"] == "/problems/cursor-expired"
    for named in (first, newest, "FOLDREC_CURSOR_SECONDS", "FOLDREC_CURSOR_MODELS", "empty cursor"):
        assert named in answer.json()["detail"]
    assert answer.headers["x-model-version"] == newest


def test_replicas_that_share_the_key_understand_each_other(
    artifacts: Path, serve: Callable[..., httpx.Client], real: httpx.Client
) -> None:
    """A cursor of one replica goes on in another with the same key, and is refused by one without it."""
    one, other = (serve(artifacts=artifacts, cursor_key="a-secret") for _ in range(2))
    cursor = one.get("/recommend?user_id=u7&k=5&cursor=").json()["next_cursor"]
    path = f"/recommend?user_id=u7&k=5&cursor={cursor}"
    assert other.get(path).json() == one.get(path).json()
    assert real.get(path).status_code == 422


place = st.builds(
    Place, st.from_regex(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}", fullmatch=True), st.integers(1, 10**9 - 1)
)


@given(place, st.binary(), st.binary(), st.binary(min_size=1))
def test_only_the_key_and_the_question_open_a_cursor(
    where: Place, question: bytes, other: bytes, key: bytes
) -> None:
    """A place comes back for the same question and key, and for no other."""
    signer = CursorSigner(key)
    cursor = signer.cursor(where, question)
    assert signer.place(cursor, question) == where
    assert (signer.place(cursor, other) is None) == (other != question)
    assert CursorSigner(key + b"x").place(cursor, question) is None


def test_replaced_models_are_few_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest makes room for the newest, and time ends them all, whether asked for or not."""
    now = 0.0
    monkeypatch.setattr("app.replaced.time.monotonic", lambda: now)
    models = [SimpleNamespace(version=name) for name in "abc"]
    kept = ReplacedModels[SimpleNamespace](2, 10)
    for model in models:
        kept.keep(model)
    assert [kept.get(name) for name in "abc"] == [None, models[1], models[2]]
    now = 5.0
    kept.keep(models[1])
    now = 12.0
    assert [kept.get(name) for name in "abc"] == [None, models[1], None]
    kept.forget()
    assert list(kept) == [(models[1], 15.0)]
    kept.keep(models[0], until=13.0)
    now = 14.0
    assert kept.get("a") is None
