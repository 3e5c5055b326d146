"""A typed client of Foldrec in one file: copy it into your project. It needs Python 3.11 and httpx.

    with Foldrec("http://127.0.0.1:8000") as foldrec:
        for item in foldrec.recommend("196", k=3)["items"]:
            print(item["item_id"], item["score"])

Options are those of docs/api.md, by the same names: `foldrec.recommend("196", k=3, exclude_seen=False)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType


class Contribution(TypedDict):
    """What one item of the history adds to a score."""

    item_id: str
    contribution: float
    title: NotRequired[str]


class ListedItem(TypedDict):
    """One item of a list; what was not asked for is absent."""

    item_id: str
    score: float
    rank: int
    title: NotRequired[str]
    because: NotRequired[list[Contribution]]
    because_rest: NotRequired[float]
    intercept: NotRequired[float]
    score_std: NotRequired[float]
    explored_score: NotRequired[float]


class ItemList(TypedDict):
    """A list of items."""

    model_version: str
    k: int
    shortfall: int
    items: list[ListedItem]
    next_cursor: NotRequired[str]


class Recommendation(ItemList):
    """A list for somebody. `source` says where it is from, `fallback_reason` why it is not what was asked."""

    source: Literal["factors", "fold_in", "popular"]
    fallback_reason: str | None
    ignored_items: list[str]
    user_id: NotRequired[str]


class Explanation(TypedDict):
    """One score, taken apart: contributions, `because_rest` and intercept sum to it."""

    model_version: str
    user_id: str
    item_id: str
    score: float
    because: list[Contribution]
    because_rest: NotRequired[float]
    intercept: float
    title: NotRequired[str]


class Item(TypedDict):
    """What is known of an item."""

    model_version: str
    item_id: str
    interactions: int
    metadata: dict[str, Any] | None


class ItemUser(TypedDict):
    """Somebody who has an item; the time is there where the model keeps times."""

    user_id: str
    value: float
    rank: int
    timestamp: NotRequired[int]


class ItemUsers(TypedDict):
    """Who has an item, and how many: the largest value first, of equal values the most recent."""

    model_version: str
    item_id: str
    total: int
    k: int
    shortfall: int
    users: list[ItemUser]


class Interaction(TypedDict):
    """One entry of a history. Rating models need the value."""

    item_id: str
    value: NotRequired[float]
    timestamp: NotRequired[int]


class Clause(TypedDict, total=False):
    """What one field of the metadata must be, or must not."""

    field: str
    any_of: list[str | float | bool]
    gte: str | float
    lte: str | float


class Filter(TypedDict, total=False):
    """All of `must`, none of `must_not`."""

    must: list[Clause]
    must_not: list[Clause]


class ListOptions(TypedDict, total=False):
    """Options of every list of items."""

    k: int
    exclude: list[str]
    filter: Filter
    explain: bool
    explain_top: int
    diversity: float


class PersonalOptions(ListOptions, total=False):
    """Options of lists for somebody."""

    exclude_seen: bool
    on_unknown: Literal["fallback", "error"]
    uncertainty: bool
    explore: Literal["thompson", "ucb"]
    seed: int


class ProblemError(Exception):
    """A refusal, as its problem document says it (docs/errors.md).

    Attributes:
        status: of the HTTP answer.
        kind: the last part of the problem's type, such as ``unknown-user``; compare with this.
        detail: what was wrong, and the remedy.
        errors: what was wrong with each parameter or member.
        request_id: of the service's log.
        retry_after: seconds to wait before trying again, where that makes sense (429, 503).
    """

    def __init__(self, answer: httpx.Response) -> None:
        document = answer.json() if "problem+json" in answer.headers.get("content-type", "") else {}
        self.status = answer.status_code
        self.kind = str(document.get("type", "")).rpartition("/")[2]
        self.detail = str(document.get("detail", answer.text[:200]))
        self.errors: list[dict[str, str]] = document.get("errors", [])
        self.request_id = answer.headers.get("x-request-id")
        seconds = answer.headers.get("retry-after", "")
        self.retry_after = int(seconds) if seconds.isdigit() else None
        super().__init__(f"{self.status} {self.kind}: {self.detail}")


class Foldrec:
    """A connection pool to one service. Refusals are `ProblemError`s, trouble with the network is httpx's.

    Args:
        url: of the service.
        api_key: one of its `FOLDREC_API_KEYS`, if it asks for one.
        seconds: until a request is given up.
    """

    def __init__(self, url: str, *, api_key: str | None = None, seconds: float = 10) -> None:
        headers = {} if api_key is None else {"X-API-Key": api_key}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recommend(self, user_id: str, **options: Unpack[PersonalOptions]) -> Recommendation:
        """Items for a user of the training table."""
        answer: Recommendation = self._post("/recommend", user_ids=[user_id], **options)["results"][0]
        return answer

    def recommend_many(
        self, user_ids: Sequence[str], **options: Unpack[PersonalOptions]
    ) -> list[Recommendation]:
        """Items for up to 1,000 users, in their order."""
        answer: list[Recommendation] = self._post("/recommend", user_ids=list(user_ids), **options)["results"]
        return answer

    def fold_in(
        self, interactions: Sequence[Interaction], **options: Unpack[PersonalOptions]
    ) -> Recommendation:
        """Items for somebody the model has never seen."""
        answer: Recommendation = self._post("/fold-in", interactions=list(interactions), **options)
        return answer

    def fold_in_pages(
        self, interactions: Sequence[Interaction], **options: Unpack[PersonalOptions]
    ) -> Iterator[Recommendation]:
        """The whole list for a history, `k` items at a time, all of one model version."""
        cursor: str | None = ""
        while cursor is not None:
            page: Recommendation = self._post(
                "/fold-in", interactions=list(interactions), cursor=cursor, **options
            )
            yield page
            cursor = page.get("next_cursor")

    def similar(self, item_ids: Sequence[str], **options: Unpack[ListOptions]) -> ItemList:
        """Items like an item, or like several."""
        answer: ItemList = self._post("/similar", item_ids=list(item_ids), **options)
        return answer

    def predict(self, user_id: str, item_id: str) -> float:
        """One predicted rating or preference."""
        answer: float = self._get("/predict", user_id=user_id, item_id=item_id)["score"]
        return answer

    def explain(self, user_id: str, item_id: str) -> Explanation:
        """One score, taken apart."""
        answer: Explanation = self._get("/explain", user_id=user_id, item_id=item_id)
        return answer

    def item(self, item_id: str) -> Item:
        """What is known of an item."""
        answer: Item = self._get(f"/items/{quote(item_id, safe='')}")
        return answer

    def item_users(self, item_id: str, k: int = 10) -> ItemUsers:
        """Who has an item in their history."""
        answer: ItemUsers = self._get(f"/items/{quote(item_id, safe='')}/users", k=str(k))
        return answer

    def model(self) -> dict[str, Any]:
        """What is being served, with the evidence of its quality."""
        answer: dict[str, Any] = self._get("/model")
        return answer

    def _get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON
        return _json(self._http.get(path, params=query))

    def _post(self, path: str, **body: Any) -> Any:  # noqa: ANN401 - JSON
        return _json(self._http.post(path, json=body))


def _json(answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    if not answer.is_success:
        raise ProblemError(answer)
    return answer.json()
