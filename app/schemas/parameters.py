"""What requests are made of: their base, and the parameters that lists have in common."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app.answers.options import Options
from app.limits import Limits
from models.item_filter import ItemFilter

MAX_EXCLUDED = 10_000
"""Items of one `exclude`."""
MAX_INTEGER = 2**53
"""Integers up to here are the same in every reader of JSON, bounds in the OpenAPI document included."""


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


def whole(value: object) -> object:
    """Take 3.0 for 3, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def not_null(value: object) -> object:
    """Refuse null where a member is to be left out."""
    if value is None:
        raise PydanticCustomError("null", "leave it out where null is meant")
    return value


Count = Annotated[
    int,
    Field(ge=1, description="how many", examples=[3]),
    BeforeValidator(whole),
    AfterValidator(_within_max_k),
]
Excluded = Annotated[
    tuple[str, ...],
    FailFast(),
    AfterValidator(_few_enough),
    Field(description="item ids never to return", examples=[["50", "172"]]),
]

ExplainTop = Annotated[
    Annotated[int, Field(ge=1)] | None,
    BeforeValidator(whole),
    BeforeValidator(not_null),
    WithJsonSchema({"type": "integer", "minimum": 1}),
    Field(
        description="explain by this many contributions; `because_rest` carries the sum of the others",
        examples=[3],
    ),
]


Cursor = Annotated[
    str | None,
    BeforeValidator(not_null),
    WithJsonSchema({"type": "string"}),
    Field(
        description="page by page: empty for the first `k`, then the `next_cursor` of the page before, with "
        "all other parameters unchanged",
        examples=[""],
    ),
]


ModelVersion = Annotated[
    str | None,
    BeforeValidator(not_null),
    WithJsonSchema({"type": "string"}),
    Field(
        description="the model to answer: the one served, or the one that FOLDREC_COMPARE_WITH put beside "
        "it; `GET /model` names both"
    ),
]


class Request(BaseModel):
    """Base of every query and body: unknown members are refused, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ItemListRequest(Request):
    """What every list of items can be asked."""

    k: Count = 10
    exclude: Excluded = ()
    explain: Annotated[
        bool, Field(description="add `because`: the exact contribution of each history item, or each seed")
    ] = False
    explain_top: ExplainTop = None
    diversity: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="maximal marginal relevance over item cosine: 0 is the order of scores, 1 only "
            "avoids what is alike",
            examples=[0.3],
        ),
    ] = 0.0

    def options(self) -> Options:
        """Return the options as the recommender takes them."""
        return Options(
            k=self.k,
            exclude=self.exclude,
            explain=self.explain or self.explain_top is not None,
            explain_top=self.explain_top,
            diversity=self.diversity,
        )


class PagedRequest(ItemListRequest):
    """What can be asked of a list that is too long for one answer."""

    cursor: Cursor = None
    model_version: ModelVersion = None


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
    on_unknown: Annotated[
        Literal["fallback", "error"],
        Field(description="nobody known to recommend to: popular items and a `fallback_reason`, or a 404"),
    ] = "fallback"
    uncertainty: Annotated[
        bool,
        Field(
            description="add `score_std`: the standard deviation of each score, by a Gaussian approximation"
        ),
    ] = False
    explore: Annotated[
        Literal["thompson", "ucb"] | None,
        BeforeValidator(not_null),
        WithJsonSchema({"type": "string", "enum": ["thompson", "ucb"]}),
        Field(
            description="rank by a draw from the posterior, or by an upper confidence bound; see "
            "`explored_score`",
            examples=["thompson"],
        ),
    ] = None
    seed: Annotated[
        int,
        Field(ge=0, le=MAX_INTEGER, description="of the draw: the same seed, the same answer", examples=[7]),
        BeforeValidator(whole),
    ] = 0

    def options(self) -> Options:
        """Return the options as the recommender takes them."""
        return Options(
            k=self.k,
            exclude_seen=self.exclude_seen,
            exclude=self.exclude,
            explain=self.explain or self.explain_top is not None,
            explain_top=self.explain_top,
            on_unknown=self.on_unknown,
            diversity=self.diversity,
            uncertainty=self.uncertainty,
            explore=self.explore,
            seed=self.seed,
        )
