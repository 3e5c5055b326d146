"""GET /items over a real socket."""

from typing import Any

import httpx
import pytest

from app.schemas.answers import FoundItems


def search(client: httpx.Client, query: str, **parameters: Any) -> dict[str, Any]:
    """Search, and hold the answer against its schema."""
    answer = client.get("/items", params={"query": query, **parameters})
    FoundItems.model_validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def test_item_is_found_by_its_title(real: httpx.Client) -> None:
    """The best item is that of the title, described as `/items/{item_id}` describes it."""
    found = search(real, "tilte 17", k=3)
    assert (found["query"], found["k"], found["shortfall"]) == ("tilte 17", 3, 0)
    best = found["items"][0]
    assert best["rank"] == 1
    assert 0.8 < best["score"] < 1
    alone = real.get("/items/i17").json()
    assert {name: best[name] for name in ("item_id", "interactions", "metadata")} == {
        name: alone[name] for name in ("item_id", "interactions", "metadata")
    }


def test_item_without_a_title_is_found_by_its_id(real: httpx.Client) -> None:
    """Item i39 is not in the items table."""
    [best] = search(real, "I39", k=1)["items"]
    assert (best["item_id"], best["metadata"], best["score"]) == ("i39", {}, 1)


def test_nothing_found_is_an_answer(real: httpx.Client) -> None:
    """A query like no title gets an empty list."""
    assert search(real, "zzz", k=2) == {
        "model_version": real.get("/ready").json()["model_version"],
        "query": "zzz", "k": 2, "shortfall": 2, "items": [],
    }  # fmt: skip


@pytest.mark.parametrize("query", ["", "x" * 201])
def test_query_of_no_or_too_many_characters_is_refused(real: httpx.Client, query: str) -> None:
    """At least one character and at most two hundred."""
    assert real.get("/items", params={"query": query}).status_code == 422
