"""The answers about users and items."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, WithJsonSchema

from app.schemas.base import Answer, Part
from app.schemas.ids import ItemId, UserId

IgnoredItems = Annotated[
    list[str], Field(description="posted items that the model does not know", examples=[[]])
]


Title = Annotated[str, Field(description="where the metadata have one", examples=["Kolya"])]
Score = Annotated[float, Field(examples=[0.913])]
BecauseRest = Annotated[float, Field(description="what `explain_top` cut off, summed up")]
Intercept = Annotated[
    float, Field(description="the part of the score that no history item and no seed causes")
]
_BECAUSE = "largest first; with intercept and rest it sums to the score"


# Members that are absent, never null, where there is nothing to say.
_Rank = Annotated[int | None, WithJsonSchema({"type": "integer", "minimum": 1})]
_Difference = Annotated[int | None, WithJsonSchema({"type": "integer"})]
_Number = Annotated[float | None, WithJsonSchema({"type": "number"})]


class Contribution(Part):
    """What one history item, or one seed, adds to a score."""

    item_id: ItemId
    title: Title = ""
    contribution: Annotated[float, Field(examples=[0.31])]


class RecommendedItem(Part):
    """One item of a list. `title`, and what follows `rank`, are there where asked for."""

    item_id: ItemId
    title: Title = ""
    score: Score
    rank: Annotated[int, Field(ge=1, examples=[1])]
    explored_score: Annotated[
        _Number, Field(description="what ranked it, where `explore` was asked for", examples=[0.955])
    ] = None
    score_std: Annotated[
        _Number,
        Field(
            ge=0,
            description="standard deviation of the score, where `uncertainty` was asked for; a Gaussian "
            "approximation that holds the items' factors fixed",
            examples=[0.04],
        ),
    ] = None
    because: Annotated[list[Contribution], Field(default_factory=list, description=_BECAUSE)]
    because_rest: BecauseRest = 0.0
    intercept: Intercept = 0.0


class ItemList(Answer):
    """What every list of items says."""

    k: Annotated[int, Field(ge=1, description="how many were asked for", examples=[3])]
    shortfall: Annotated[
        int, Field(ge=0, description="how many fewer than k there were to give", examples=[0])
    ]
    items: list[RecommendedItem]
    next_cursor: Annotated[
        str, Field(description="the `cursor` of the next page; absent after the last, and without `cursor`")
    ] = ""


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


class Change(Part):
    """What an edit changes for one item; a change is what is after, less what was before.

    A rank is there if the item is in that list, a score if that list is no list of popular items.
    """

    item_id: ItemId
    rank_before: Annotated[_Rank, Field(examples=[2])] = None
    rank_after: Annotated[_Rank, Field(examples=[1])] = None
    rank_change: Annotated[_Difference, Field(examples=[-1])] = None
    score_before: Annotated[_Number, Field(examples=[0.81])] = None
    score_after: Annotated[_Number, Field(examples=[0.92])] = None
    score_change: Annotated[_Number, Field(examples=[0.11])] = None


class WhatIf(Answer):
    """A history's list, the edited history's list, and the changes of every item in either."""

    before: FoldedIn
    after: FoldedIn
    changes: list[Change]


class Member(Part):
    """One member of a group: a user, or the number of a posted history, from 0."""

    user_id: Annotated[UserId | None, WithJsonSchema({"type": "string"})] = None
    history: Annotated[int | None, WithJsonSchema({"type": "integer", "minimum": 0})] = None


class GroupItem(RecommendedItem):
    """One item of a group's list."""

    member_scores: Annotated[
        list[float],
        Field(default_factory=list, description="in the order of `members`", examples=[[0.91, 0.74]]),
    ]


class GroupRecommendation(PersonalList):
    """Top-k for a group; `score` is the mean, or the smallest, of the members' scores."""

    by: Literal["mean", "least_misery"]
    members: Annotated[list[Member], Field(description="who had a say")]
    ignored_users: Annotated[
        list[str], Field(description="who is unknown, or of whom nothing is known", examples=[[]])
    ]
    ignored_histories: Annotated[
        list[int], Field(description="the numbers of posted histories that say nothing", examples=[[]])
    ]
    items: list[GroupItem]  # type: ignore[assignment]


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


class Explanation(Answer):
    """One score, taken apart: the contributions, `because_rest` and `intercept` sum to it."""

    user_id: UserId
    item_id: ItemId
    title: Title = ""
    score: Score
    because: Annotated[list[Contribution], Field(description=_BECAUSE)]
    because_rest: BecauseRest = 0.0
    intercept: Intercept


class NeighbourItem(Part):
    """One item of a list; `score` is the cosine."""

    item_id: ItemId
    score: Annotated[float, Field(examples=[0.87])]
    rank: Annotated[int, Field(ge=1, examples=[1])]


class LikelyUser(Part):
    """Somebody who would like an item; `score` is what the model predicts of the two."""

    user_id: UserId
    score: Annotated[float, Field(examples=[0.74])]
    rank: Annotated[int, Field(ge=1, examples=[1])]


class NewItem(Answer):
    """Where an item would be that the model has never seen, as far as its users or metadata tell."""

    provisional: Literal[True]
    source: Annotated[
        Literal["fold_in", "metadata"], Field(description="its users, folded in, or its metadata")
    ]
    known_users: Annotated[
        int, Field(ge=0, description="how many of the users the model knows", examples=[5])
    ]
    ignored_users: Annotated[list[str], Field(description="posted users that it does not know")]
    k: Annotated[int, Field(ge=1, examples=[3])]
    similar_items: Annotated[list[NeighbourItem], Field(description="what it is like, by cosine")]
    users: Annotated[list[LikelyUser], Field(description="who would like it most")]


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


class DescribedItem(Part):
    """What is known of an item."""

    item_id: ItemId
    interactions: Annotated[
        int, Field(ge=0, description="entries of it in the training data", examples=[117])
    ]
    metadata: Annotated[
        dict[str, JsonValue] | None,
        Field(examples=[{"title": "Kolya", "year": 1996, "genres": ["Comedy"]}]),
    ]


class Item(DescribedItem, Answer):
    """What is known of one item."""


class ItemUser(Part):
    """Somebody who has an item in their history."""

    user_id: UserId
    value: Annotated[
        float, Field(description="a rating, or how often or how much; 1 in a table without", examples=[5.0])
    ]
    timestamp: Annotated[
        int | None,
        WithJsonSchema({"type": "integer"}),
        Field(
            description="seconds since the epoch; there where the model keeps times", examples=[878_542_960]
        ),
    ] = None
    rank: Annotated[int, Field(ge=1, examples=[1])]


class ItemUsers(Answer):
    """Who has an item in their history: the largest value first, of equal values the most recent."""

    item_id: ItemId
    total: Annotated[int, Field(ge=0, description="how many have it", examples=[117])]
    k: Annotated[int, Field(ge=1, examples=[3])]
    shortfall: Annotated[int, Field(ge=0, description="how many fewer than k have it", examples=[0])]
    users: list[ItemUser]


class FoundItem(DescribedItem):
    """An item whose title is like the query."""

    score: Annotated[
        float, Field(description="likeness: 1 is the very title, whatever its word order", examples=[0.97])
    ]
    rank: Annotated[int, Field(ge=1, examples=[1])]


class FoundItems(Answer):
    """Items by title, the most like the query first."""

    query: Annotated[str, Field(examples=["the godfahter"])]
    k: Annotated[int, Field(ge=1, examples=[3])]
    shortfall: Annotated[int, Field(ge=0, description="how many fewer than k are like the query")]
    items: list[FoundItem]
