"""One request for every endpoint and one for every kind of problem, as `scripts.api_docs` executes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ADMIN_KEY, API_KEY, CURSOR_KEY = "the-admin-key", "an-api-key", "a-cursor-key"


@dataclass(frozen=True, slots=True)
class Seeds:
    """Ids of the artifact that the examples ask about.

    Attributes:
        user: with a history.
        others: four more users.
        item: somebody's favourite.
        liked: two items that go with it.
        field: of the metadata, with the value that a filter asks for.
        words: part of a title.
    """

    user: str
    others: tuple[str, ...]
    item: str
    liked: tuple[str, str]
    field: tuple[str, str]
    words: str


@dataclass(frozen=True, slots=True)
class Example:
    """A request, and the status that answers it.

    Attributes:
        operation: method and path as OpenAPI has them.
        target: path and query as they are sent.
        words: what it shows.
        body: JSON; None: no body.
        headers: besides Content-Type.
        status: of the answer.
        settings: the service is started with, ``FOLDREC_*`` without the prefix.
    """

    operation: str
    target: str
    words: str = ""
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """GET or POST."""
        return self.operation.split()[0]


def endpoints(seeds: Seeds) -> list[Example]:
    """At least one example for every operation, in the order in which a newcomer would try them."""
    user, item, liked = seeds.user, seeds.item, seeds.liked
    history = [{"item_id": item, "value": 5}, {"item_id": liked[0], "value": 4}]
    name, value = seeds.field
    clause = {"field": name, "any_of": [value]}
    return [
        Example("GET /recommend", f"/recommend?user_id={user}&k=2", "Top-k for a user:"),
        Example(
            "GET /recommend",
            f"/recommend?user_id={user}&k=2&filter={name}:{value}&diversity=0.3",
            "Filtered and diverse:",
        ),
        Example(
            "GET /recommend",
            f"/recommend?user_id={user}&k=1&explain_top=2&uncertainty=true",
            "Why, and how sure:",
        ),
        Example(
            "GET /recommend",
            f"/recommend?user_id={user}&k=2&cursor=",
            "Page by page: `next_cursor` goes into the next request:",
        ),
        Example(
            "POST /recommend",
            "/recommend",
            "Several users at once:",
            {"user_ids": [user, seeds.others[0]], "k": 1, "filter": {"must": [clause]}},
        ),
        Example(
            "POST /recommend",
            "/recommend",
            "One list for a group:",
            {"group": {"user_ids": [user, *seeds.others], "by": "least_misery"}, "k": 1},
        ),
        Example("POST /fold-in", "/fold-in", "Somebody new:", {"interactions": history, "k": 2}),
        Example(
            "POST /fold-in",
            "/fold-in",
            "What if there had been one more?",
            {"interactions": history, "what_if": {"add": [{"item_id": liked[1]}]}, "k": 1},
        ),
        Example(
            "POST /fold-in/item",
            "/fold-in/item",
            "An item that is new, from the first who had it:",
            {"interactions": [{"user_id": each} for each in (user, *seeds.others)], "k": 1},
        ),
        Example("GET /similar", f"/similar?item_id={item}&k=2", "Items like an item:"),
        Example(
            "POST /similar",
            "/similar",
            "Items like a basket; a negative weight pushes away:",
            {"item_ids": [item, liked[0]], "weights": [1, -0.5], "k": 2},
        ),
        Example("GET /similar-users", f"/similar-users?user_id={user}&k=2", "Users like a user:"),
        Example("GET /predict", f"/predict?user_id={user}&item_id={item}", "One score:"),
        Example(
            "POST /predict",
            "/predict",
            "Many:",
            {"pairs": [{"user_id": user, "item_id": each} for each in (item, liked[0])]},
        ),
        Example(
            "GET /explain", f"/explain?user_id={user}&item_id={item}&explain_top=2", "One score, taken apart:"
        ),
        Example("GET /items/{item_id}", f"/items/{item}", "What is known of an item:"),
        Example(
            "GET /items/{item_id}/users", f"/items/{item}/users?k=2", "Who has an item in their history:"
        ),
        Example("GET /items", f"/items?query={seeds.words}&k=2", "Items by title:"),
        Example("GET /map", "/map", "Where the items lie, for pictures:"),
        Example("GET /model", "/model", "What is being served, and how good it is:"),
        Example(
            "GET /model/report",
            "/model/report",
            "Its evaluation report, where `scripts.evaluate --attach-to` has kept one with it; here none is:",
            status=404,
        ),
        Example("GET /live", "/live", "The process is up:"),
        Example("GET /ready", "/ready", "A model is loaded:"),
        Example("GET /metrics", "/metrics", "For Prometheus:"),
        Example(
            "POST /admin/reload",
            "/admin/reload",
            "Look for a new model now:",
            headers={"X-API-Key": ADMIN_KEY},
        ),
    ]


def problems(seeds: Seeds) -> dict[str, Example]:
    """An example for every kind of problem that a client can bring about, by the last part of its type."""
    recommend = f"/recommend?user_id={seeds.user}"
    history = {"interactions": [{"item_id": seeds.item}]}
    return {
        "invalid-request": Example("GET /recommend", f"{recommend}&exclude_sen=false", status=422),
        "unauthorized": Example("GET /recommend", recommend, status=401, settings={"api_keys": API_KEY}),
        "unknown-user": Example("GET /recommend", "/recommend?user_id=nobody&on_unknown=error", status=404),
        "unknown-item": Example("GET /similar", "/similar?item_id=nothing", status=404),
        "unknown-model": Example(
            "GET /similar", f"/similar?item_id={seeds.item}&model_version=20260101T000000Z-0000", status=404
        ),
        "no-report": Example("GET /model/report", "/model/report", status=404),
        "not-found": Example("GET /recommended", "/recommended", status=404),
        "method-not-allowed": Example("DELETE /model", "/model", status=405),
        "artifact-refused": Example(
            "POST /admin/reload",
            "/admin/reload",
            "`CURRENT` names a version that is not there:",
            headers={"X-API-Key": ADMIN_KEY},
            status=409,
        ),
        "cursor-expired": Example(
            "GET /recommend", f"{recommend}&k=1&cursor=", "A cursor of a model that is gone:", status=410
        ),
        "body-too-large": Example(
            "POST /fold-in", "/fold-in", body=history, status=413, settings={"max_body_bytes": "20"}
        ),
        "unsupported-media-type": Example(
            "POST /fold-in", "/fold-in", body=history, headers={"Content-Type": "text/plain"}, status=415
        ),
        "too-busy": Example(
            "POST /fold-in",
            "/fold-in",
            "While another request is on its way:",
            history,
            status=429,
            settings={"max_in_flight": "1"},
        ),
        "not-ready": Example("GET /recommend", recommend, "Before the first model:", status=503),
    }
