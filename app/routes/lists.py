"""Lists: for a user, for a posted history, like an item, like a basket, like a user."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Security

from app.access import api_key
from app.answers.options import Body as Answer
from app.answers.options import Options
from app.dependencies import CurrentModel
from app.errors import Kind
from app.openapi import refusals
from app.operation import Operation
from app.pages import Pages
from app.schemas import answers, requests
from app.served import Served

router = APIRouter(route_class=Operation, dependencies=[Security(api_key)], tags=["recommendations"])
PAGED = (Kind.UNKNOWN_MODEL, Kind.CURSOR_EXPIRED)


@router.get(
    "/recommend",
    response_model=answers.Recommendation,
    responses=refusals(Kind.UNKNOWN_USER, *PAGED),
)
async def recommend(
    query: Annotated[requests.RecommendQuery, Query()], model: CurrentModel, pages: Pages
) -> Answer:
    """Recommend items to a user of the training data."""
    return pages.answer(query, model, lambda model, options: model.recommend(query.user_id, options))


@router.post(
    "/recommend",
    response_model=answers.Recommendations | answers.GroupRecommendation,
    responses=refusals(Kind.UNKNOWN_USER, Kind.UNKNOWN_ITEM),
)
def recommend_many(body: Annotated[requests.RecommendBody, Body()], model: CurrentModel) -> Answer:
    """Recommend items to many users at once; the results are in the order of `user_ids`.

    With `group`, one list for several people together.
    """
    if body.group is not None:
        return model.recommend_group(body.group.group(), body.options())
    return model.recommend_many(body.user_ids, body.options())


@router.post(
    "/fold-in",
    response_model=answers.FoldedIn | answers.WhatIf,
    responses=refusals(Kind.UNKNOWN_ITEM, *PAGED),
)
async def fold_in(body: Annotated[requests.FoldInBody, Body()], model: CurrentModel, pages: Pages) -> Answer:
    """Recommend items to somebody the model has never seen, from a posted history. Nothing is stored.

    With `what_if`, also from the edited history, with each item's change of rank and score.
    """

    def answering(model: Served, options: Options) -> Answer:
        if body.what_if is not None:
            return model.what_if(body.interactions, body.what_if.add, body.what_if.remove, options)
        return model.fold_in(body.interactions, options)

    return pages.answer(body, model, answering)


@router.post("/fold-in/item", response_model=answers.NewItem)
def fold_in_item(body: Annotated[requests.ItemFoldInBody, Body()], model: CurrentModel) -> Answer:
    """Place an item the model has never seen by its first users: what it is like, and who would like it most.

    Nothing is stored: the item is in no other answer until a model has been trained with it.
    """
    return model.recommender.fold_in_item(
        body.first_users(), body.k, exclude_seen=body.exclude_seen, metadata=body.metadata
    )


@router.get(
    "/similar",
    response_model=answers.SimilarItems,
    responses=refusals(Kind.UNKNOWN_ITEM, *PAGED),
)
async def similar(
    query: Annotated[requests.SimilarQuery, Query()], model: CurrentModel, pages: Pages
) -> Answer:
    """Find the items most like an item."""
    return pages.answer(query, model, lambda model, options: model.similar(query.item_id, options))


@router.post("/similar", response_model=answers.BasketItems, responses=refusals(Kind.UNKNOWN_ITEM, *PAGED))
async def similar_basket(
    body: Annotated[requests.SimilarBody, Body()], model: CurrentModel, pages: Pages
) -> Answer:
    """Find the items most like a set of items."""
    return pages.answer(body, model, lambda model, options: model.similar_basket(body.seeds(), options))


@router.get("/similar-users", response_model=answers.SimilarUsers, responses=refusals(Kind.UNKNOWN_USER))
def similar_users(query: Annotated[requests.SimilarUsersQuery, Query()], model: CurrentModel) -> Answer:
    """Find the users most like a user: a scan of all users, so it runs beside the event loop."""
    return model.similar_users(query.user_id, query.k)
