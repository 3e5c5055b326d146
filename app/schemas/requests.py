"""The queries and bodies of the endpoints."""

from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from app.answers.groups import Group
from app.posted_history import Interaction
from app.schemas.ids import ITEM, USER, ItemId, UserId
from app.schemas.parameters import (
    MAX_INTEGER,
    Count,
    ExplainTop,
    JsonFilter,
    PagedRequest,
    PersonalListRequest,
    Request,
    TextFilter,
    not_null,
    whole,
)

MAX_BATCH = 1000
"""Users of one ``POST /recommend``, pairs of one ``POST /predict``, seeds of one ``POST /similar``."""
MAX_GROUP = 100
"""Members of one group."""
MAX_QUERY = 200
"""Characters of a search for a title."""
MAX_INTERACTIONS = 10_000
"""Entries of one posted history."""
MAX_VALUE = 1e9
"""Size of a posted value. Squares of it still fit into float32."""


class RecommendQuery(TextFilter, PersonalListRequest, PagedRequest):
    """``GET /recommend``."""

    user_id: UserId


Value = Annotated[
    float | None,
    Field(
        ge=-MAX_VALUE,
        le=MAX_VALUE,
        description="a rating, or how often or how much: 1 unless given, and required by rating models; "
        "a negative one says to an implicit model that the item is disliked",
        examples=[1.0],
    ),
]


@dataclass(frozen=True, slots=True)
class PostedInteraction(Interaction):
    """One entry of a posted history, within what float32 arithmetic can take."""

    item_id: ItemId
    value: Value = None
    timestamp: Annotated[
        Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER), BeforeValidator(whole)] | None,
        Field(description="seconds since the epoch", examples=[1_793_000_000]),
    ] = None


Interactions = Annotated[
    tuple[PostedInteraction, ...],
    FailFast(),  # a megabyte of wrong entries would hold the event loop for seconds
    Field(
        max_length=MAX_INTERACTIONS,
        description="the history, in any order",
        examples=[[{"item_id": ITEM, "value": 1.0}, {"item_id": "302"}]],
    ),
]


class GroupMembers(Request):
    """Who a list for a group is for."""

    user_ids: Annotated[
        tuple[UserId, ...], FailFast(), Field(max_length=MAX_GROUP, examples=[[USER, "186"]])
    ] = ()
    histories: Annotated[
        tuple[Interactions, ...],
        FailFast(),
        Field(max_length=MAX_GROUP, description="of members that the model has never seen", examples=[[]]),
    ] = ()
    by: Annotated[
        Literal["mean", "least_misery"],
        Field(description="rank by the mean of the members' scores, or by the smallest of them"),
    ] = "mean"

    @model_validator(mode="after")
    def _has_members(self) -> "GroupMembers":
        members = len(self.user_ids) + len(self.histories)
        if not 1 <= members <= MAX_GROUP:
            raise PydanticCustomError(
                "group_size",
                "a group of {members}: name 1 to {most} members in user_ids and histories",
                {"members": members, "most": MAX_GROUP},
            )
        return self

    def group(self) -> Group:
        """Return the group as the recommender takes it."""
        return Group(self.user_ids, self.histories, self.by)


def _users_or_group(schema: JsonDict) -> None:
    """Exactly one of the two, neither null."""
    schema["oneOf"] = [{"required": ["user_ids"]}, {"required": ["group"]}]
    properties = cast("dict[str, JsonDict]", schema["properties"])
    del properties["user_ids"]["default"], properties["group"]["default"]
    properties["group"] |= cast("list[JsonDict]", properties["group"].pop("anyOf"))[0]


class RecommendBody(JsonFilter, PersonalListRequest):
    """``POST /recommend``: a list for each of `user_ids`, or one for a `group`."""

    model_config = ConfigDict(json_schema_extra=_users_or_group)

    user_ids: Annotated[
        tuple[UserId, ...],
        FailFast(),
        Field(min_length=1, max_length=MAX_BATCH, examples=[[USER, "186"]]),
    ] = ()
    group: Annotated[
        GroupMembers | None,
        AfterValidator(not_null),
        Field(description="answer with one list for all of these people"),
    ] = None

    @model_validator(mode="after")
    def _either(self) -> "RecommendBody":
        if bool(self.user_ids) == (self.group is not None):
            raise PydanticCustomError("users_or_group", "give either user_ids or a group")
        return self


class Edit(Request):
    """An edit of a posted history: `remove` first, then `add`."""

    add: Annotated[Interactions, Field(description="interactions that it has not", examples=[[]])] = ()
    remove: Annotated[
        tuple[ItemId, ...],
        FailFast(),
        Field(max_length=MAX_INTERACTIONS, description="items whose interactions it has", examples=[["302"]]),
    ] = ()


class FoldInBody(JsonFilter, PersonalListRequest, PagedRequest):
    """``POST /fold-in``."""

    interactions: Interactions
    what_if: Annotated[
        Edit | None,
        Field(description="compare with the list that this edit of the history would give"),
    ] = None


class PostedUser(Request):
    """One of the first users of a new item."""

    user_id: UserId
    value: Value = None


class ItemFoldInBody(Request):
    """``POST /fold-in/item``."""

    interactions: Annotated[
        tuple[PostedUser, ...],
        FailFast(),
        Field(
            max_length=MAX_INTERACTIONS,
            description="who had the item, in any order",
            examples=[[{"user_id": USER, "value": 1.0}, {"user_id": "186"}]],
        ),
    ] = ()
    k: Count = 10
    exclude_seen: Annotated[bool, Field(description="leave out the users that were posted")] = True
    metadata: Annotated[
        dict[str, JsonValue] | None,
        Field(
            description="of the item, for a family that learned from metadata (hybrid_svd): they place it "
            "where its users are too few",
            examples=[{"genres": ["Comedy", "Romance"]}],
        ),
    ] = None

    def first_users(self) -> list[Interaction]:
        """Return the users in the place of items, as histories are read."""
        return [Interaction(each.user_id, each.value) for each in self.interactions]


class SimilarQuery(TextFilter, PagedRequest):
    """``GET /similar``."""

    item_id: ItemId


class SimilarBody(JsonFilter, PagedRequest):
    """``POST /similar``."""

    item_ids: Annotated[
        tuple[ItemId, ...], FailFast(), Field(min_length=1, max_length=MAX_BATCH, examples=[[ITEM, "302"]])
    ]
    weights: Annotated[
        tuple[float, ...],
        FailFast(),
        WithJsonSchema({"type": "array", "items": {"type": "number"}}),
        Field(
            description="one for each item, 1 unless given; a negative one pushes away",
            examples=[[1.0, -0.5]],
        ),
    ] = ()

    @model_validator(mode="after")
    def _one_weight_each(self) -> "SimilarBody":
        if self.weights and len(self.weights) != len(self.item_ids):
            raise PydanticCustomError(
                "weights_length",
                "{weights} weights for {items} item_ids: give one for each",
                {"weights": len(self.weights), "items": len(self.item_ids)},
            )
        return self

    def seeds(self) -> list[tuple[str, float]]:
        """Pair each item with its weight."""
        return list(zip(self.item_ids, self.weights or (1.0,) * len(self.item_ids), strict=True))


class SimilarUsersQuery(Request):
    """``GET /similar-users``."""

    user_id: UserId
    k: Count = 10


class ItemsQuery(Request):
    """``GET /items``."""

    query: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_QUERY,
            description="a title, or what one remembers of it; items without a `title` or `name` are found "
            "by their id",
            examples=["the godfahter"],
        ),
    ]
    k: Count = 10


class ItemUsersQuery(Request):
    """``GET /items/{item_id}/users``."""

    k: Count = 10


class PredictQuery(Request):
    """``GET /predict``, and one pair of ``POST /predict``."""

    user_id: UserId
    item_id: ItemId


class ExplainQuery(Request):
    """``GET /explain``."""

    user_id: UserId
    item_id: ItemId
    explain_top: ExplainTop = None


class PredictBody(Request):
    """``POST /predict``."""

    pairs: Annotated[tuple[PredictQuery, ...], FailFast(), Field(min_length=1, max_length=MAX_BATCH)]
