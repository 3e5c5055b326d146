"""What goes in and what comes out, as pydantic models: the source of validation and of OpenAPI.

Requests are validated by these models. Answers are built as plain dicts by :mod:`app.recommender` and are not
validated again on the way out; the tests hold real answers against these models.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.limits import Limits
from app.posted_history import Interaction
from app.recommender import Options
from models.artifact import ItemFieldsCard, ModelCard
from models.item_filter import ItemFilter

MAX_BATCH = 1000
"""Users of one ``POST /recommend``, pairs of one ``POST /predict``, seeds of one ``POST /similar``."""
MAX_INTERACTIONS = 10_000
"""Entries of one posted history."""
MAX_EXCLUDED = 10_000
"""Items of one `exclude`."""
MAX_VALUE = 1e9
"""Size of a posted value. Squares of it still fit into float32."""

_USER = "196"
_ITEM = "242"
_VERSION = "20261121T083000Z-1f3a"


def _within_max_k(k: int, info: ValidationInfo) -> int:
    limits = info.context
    if isinstance(limits, Limits) and k > limits.max_k:
        raise PydanticCustomError(
            "k_over_limit", "this service answers at most {max_k} (FOLDREC_MAX_K)", {"max_k": limits.max_k}
        )
    return k


def _few_enough(excluded: tuple[str, ...]) -> tuple[str, ...]:
    # Not a max_length: no query string is long enough to reach it, so OpenAPI need not speak of it.
    if len(excluded) > MAX_EXCLUDED:
        raise PydanticCustomError(
            "too_many_excluded", "at most {most} items can be excluded", {"most": MAX_EXCLUDED}
        )
    return excluded


def _whole(value: object) -> object:
    """Take 3.0 for 3, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _not_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("null", "leave it out where null is meant")
    return value


Count = Annotated[
    int,
    Field(ge=1, description="how many", examples=[3]),
    BeforeValidator(_whole),
    AfterValidator(_within_max_k),
]
UserId = Annotated[str, Field(min_length=1, examples=[_USER])]
ItemId = Annotated[str, Field(min_length=1, examples=[_ITEM])]
Excluded = Annotated[
    tuple[str, ...],
    FailFast(),
    AfterValidator(_few_enough),
    Field(description="item ids never to return", examples=[["50", "172"]]),
]

# Requests


class Request(BaseModel):
    """Base of every query and body: unknown members are refused, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ItemListRequest(Request):
    """What every list of items can be asked."""

    k: Count = 10
    exclude: Excluded = ()

    def options(self) -> Options:
        """Return the options as the recommender takes them."""
        return Options(k=self.k, exclude=self.exclude)


class TextFilter(ItemListRequest):
    """A filter as a query string has it."""

    filter: Annotated[
        tuple[str, ...],
        FailFast(),
        Field(
            description="over item metadata: `genres:Comedy`, `genres:Comedy|Romance` (or), `!genres:Horror` "
            "(not), `year:>=1990`, `year:1990..1999`; all that are given must hold. `GET /model` lists the "
            "fields",
            examples=[["genres:Comedy|Romance", "year:>=1990"]],
        ),
    ] = ()

    def options(self) -> Options:
        """Return the options as the recommender takes them."""
        options = super().options()
        return replace(options, filter=self.filter) if self.filter else options


class JsonFilter(ItemListRequest):
    """A filter as a body has it."""

    filter: Annotated[
        ItemFilter | None,
        Field(
            description="over item metadata: all of `must`, none of `must_not`. `GET /model` lists the fields"
        ),
    ] = None

    def options(self) -> Options:
        """Return the options as the recommender takes them."""
        options = super().options()
        return replace(options, filter=self.filter) if self.filter else options


class PersonalListRequest(ItemListRequest):
    """What a list made from somebody's history can be asked in addition."""

    exclude_seen: Annotated[bool, Field(description="leave out what the history already has")] = True
    explain: Annotated[bool, Field(description="add `because`: each history item's exact contribution")] = (
        False
    )
    explain_top: Annotated[
        Annotated[int, Field(ge=1)] | None,
        BeforeValidator(_whole),
        BeforeValidator(_not_null),
        WithJsonSchema({"type": "integer", "minimum": 1}),
        Field(
            description="explain by this many contributions; `because_rest` carries the sum of the others",
            examples=[3],
        ),
    ] = None
    on_unknown: Annotated[
        Literal["fallback", "error"],
        Field(description="nobody known to recommend to: popular items and a `fallback_reason`, or a 404"),
    ] = "fallback"

    def options(self) -> Options:
        """Return the options as the recommender takes them."""
        return Options(
            k=self.k,
            exclude_seen=self.exclude_seen,
            exclude=self.exclude,
            explain=self.explain or self.explain_top is not None,
            explain_top=self.explain_top,
            on_unknown=self.on_unknown,
        )


class RecommendQuery(TextFilter, PersonalListRequest):
    """``GET /recommend``."""

    user_id: UserId


class RecommendBody(JsonFilter, PersonalListRequest):
    """``POST /recommend``."""

    user_ids: Annotated[
        tuple[UserId, ...], FailFast(), Field(min_length=1, max_length=MAX_BATCH, examples=[[_USER, "186"]])
    ]


@dataclass(frozen=True, slots=True)
class PostedInteraction(Interaction):
    """One entry of a posted history, within what float32 arithmetic can take."""

    item_id: ItemId
    value: Annotated[
        float | None,
        Field(
            ge=-MAX_VALUE,
            le=MAX_VALUE,
            description="a rating, or how often or how much: 1 unless given, and required by rating models; "
            "a negative one says to an implicit model that the item is disliked",
            examples=[1.0],
        ),
    ] = None
    timestamp: Annotated[
        Annotated[int, Field(ge=-(2**63), lt=2**63), BeforeValidator(_whole)] | None,
        Field(description="seconds since the epoch", examples=[1_793_000_000]),
    ] = None


class FoldInBody(JsonFilter, PersonalListRequest):
    """``POST /fold-in``."""

    interactions: Annotated[
        tuple[PostedInteraction, ...],
        FailFast(),  # a megabyte of wrong entries would hold the event loop for seconds
        Field(
            max_length=MAX_INTERACTIONS,
            description="the history, in any order",
            examples=[[{"item_id": _ITEM, "value": 1.0}, {"item_id": "302"}]],
        ),
    ]


class SimilarQuery(TextFilter):
    """``GET /similar``."""

    item_id: ItemId


class SimilarBody(JsonFilter):
    """``POST /similar``."""

    item_ids: Annotated[
        tuple[ItemId, ...], FailFast(), Field(min_length=1, max_length=MAX_BATCH, examples=[[_ITEM, "302"]])
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


class PredictQuery(Request):
    """``GET /predict``, and one pair of ``POST /predict``."""

    user_id: UserId
    item_id: ItemId


class PredictBody(Request):
    """``POST /predict``."""

    pairs: Annotated[tuple[PredictQuery, ...], FailFast(), Field(min_length=1, max_length=MAX_BATCH)]


# Answers


IgnoredItems = Annotated[
    list[str], Field(description="posted items that the model does not know", examples=[[]])
]


class Answer(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_version: Annotated[str, Field(description="which artifact answered", examples=[_VERSION])]


class Part(BaseModel):
    """Base of what answers are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Contribution(Part):
    """What one history item adds to a score."""

    item_id: ItemId
    contribution: Annotated[float, Field(examples=[0.31])]


class RecommendedItem(Part):
    """One item of a list. The last three members are there when `explain` was asked for."""

    item_id: ItemId
    score: Annotated[float, Field(examples=[0.913])]
    rank: Annotated[int, Field(ge=1, examples=[1])]
    because: Annotated[
        list[Contribution],
        Field(
            default_factory=list, description="largest first; with intercept and rest it sums to the score"
        ),
    ]
    because_rest: Annotated[float, Field(description="what `explain_top` cut off, summed up")] = 0.0
    intercept: Annotated[float, Field(description="the part of the score that no history item causes")] = 0.0


class ItemList(Answer):
    """What every list of items says."""

    k: Annotated[int, Field(ge=1, description="how many were asked for", examples=[3])]
    shortfall: Annotated[
        int, Field(ge=0, description="how many fewer than k there were to give", examples=[0])
    ]
    items: list[RecommendedItem]


class PersonalList(ItemList):
    """A list made from somebody's history."""

    source: Annotated[
        Literal["factors", "fold_in", "popular"],
        Field(description="stored factors, a history folded in, or popular items", examples=["factors"]),
    ]
    fallback_reason: Annotated[
        str | None,
        Field(description="why it is `popular`; null when the list is what was asked for", examples=[None]),
    ]
    ignored_items: IgnoredItems


class Recommendation(PersonalList):
    """Top-k for one user."""

    user_id: UserId


class FoldedIn(PersonalList):
    """Top-k for a posted history."""


class Recommendations(Answer):
    """Top-k for many users, in the order asked."""

    results: list[Recommendation]


class SimilarItems(ItemList):
    """Items like one item; `score` is the cosine."""

    item_id: ItemId


class BasketItems(ItemList):
    """Items like a set of items; `score` is the cosine with their weighted sum."""

    ignored_items: IgnoredItems


class SimilarUser(Part):
    """One user of a list; `score` is the cosine."""

    user_id: UserId
    score: Annotated[float, Field(examples=[0.87])]
    rank: Annotated[int, Field(ge=1, examples=[1])]


class SimilarUsers(Answer):
    """Users like a user."""

    user_id: UserId
    k: Annotated[int, Field(ge=1, examples=[3])]
    shortfall: Annotated[int, Field(ge=0, examples=[0])]
    users: list[SimilarUser]


class Prediction(Answer):
    """The predicted rating or preference of one pair."""

    user_id: UserId
    item_id: ItemId
    score: Annotated[
        float, Field(description="a rating, or a preference for implicit models", examples=[3.9])
    ]


class Predictions(Answer):
    """Many pairs, in the order asked."""

    results: list[Prediction]


class Item(Answer):
    """What is known of one item."""

    item_id: ItemId
    interactions: Annotated[
        int, Field(ge=0, description="entries of it in the training data", examples=[117])
    ]
    metadata: Annotated[
        dict[str, JsonValue] | None,
        Field(examples=[{"title": "Kolya", "year": 1996, "genres": ["Comedy"]}]),
    ]


class ServedModel(ModelCard):
    """What is being served, and the evidence for it: the manifest without its list of files."""

    schema_version: int
    model_version: Annotated[str, Field(examples=[_VERSION])]
    created_at: AwareDatetime
    libraries: dict[str, str]
    item_fields: ItemFieldsCard
    loaded_at: Annotated[AwareDatetime, Field(description="when this process loaded it")]


class Live(Part):
    """The process answers."""

    status: Literal["live"]


class Ready(Answer):
    """A model is loaded and answering."""

    status: Literal["ready"]


class Reloaded(Part):
    """The versions before and after looking at `CURRENT`."""

    old_version: Annotated[str | None, Field(examples=["20261120T083000Z-9b2c"])]
    new_version: Annotated[str, Field(examples=[_VERSION])]


class FieldProblem(Part):
    """What is wrong with one parameter or member."""

    location: Literal["query", "body", "path"]
    field: Annotated[str, Field(examples=["k"])]
    detail: str


class ProblemDocument(Part):
    """A refusal, as RFC 9457 has it. `docs/errors.md` explains each `type`."""

    type: Annotated[str, Field(description="stable relative URI of the kind of problem")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="names the value and the remedy")]
    instance: Annotated[str, Field(description="the request id, as in X-Request-ID")]
    errors: Annotated[list[FieldProblem], Field(default_factory=list)]
