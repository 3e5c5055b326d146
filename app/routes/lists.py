"""Lists: for a user, for a posted history, like an item, like a basket, like a user."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Security

from app import schemas
from app.access import api_key
from app.dependencies import CurrentModel
from app.errors import Kind
from app.openapi import refusals
from app.operation import Operation
from app.recommender import Body as Answer

router = APIRouter(route_class=Operation, dependencies=[Security(api_key)], tags=["recommendations"])


@router.get("/recommend", response_model=schemas.Recommendation, responses=refusals(Kind.UNKNOWN_USER))
async def recommend(query: Annotated[schemas.RecommendQuery, Query()], model: CurrentModel) -> Answer:
    """Recommend items to a user of the training data."""
    return model.recommend(query.user_id, query.options())


@router.post("/recommend", response_model=schemas.Recommendations, responses=refusals(Kind.UNKNOWN_USER))
def recommend_many(body: Annotated[schemas.RecommendBody, Body()], model: CurrentModel) -> Answer:
    """Recommend items to many users at once; the results are in the order of `user_ids`."""
    return model.recommend_many(body.user_ids, body.options())


@router.post("/fold-in", response_model=schemas.FoldedIn, responses=refusals(Kind.UNKNOWN_ITEM))
async def fold_in(body: Annotated[schemas.FoldInBody, Body()], model: CurrentModel) -> Answer:
    """Recommend items to somebody the model has never seen, from a posted history. Nothing is stored."""
    return model.fold_in(body.interactions, body.options())


@router.get("/similar", response_model=schemas.SimilarItems, responses=refusals(Kind.UNKNOWN_ITEM))
async def similar(query: Annotated[schemas.SimilarQuery, Query()], model: CurrentModel) -> Answer:
    """Find the items most like an item."""
    return model.similar(query.item_id, query.options())


@router.post("/similar", response_model=schemas.BasketItems, responses=refusals(Kind.UNKNOWN_ITEM))
async def similar_basket(body: Annotated[schemas.SimilarBody, Body()], model: CurrentModel) -> Answer:
    """Find the items most like a set of items."""
    return model.similar_basket(body.seeds(), body.options())


@router.get("/similar-users", response_model=schemas.SimilarUsers, responses=refusals(Kind.UNKNOWN_USER))
def similar_users(query: Annotated[schemas.SimilarUsersQuery, Query()], model: CurrentModel) -> Answer:
    """Find the users most like a user: a scan of all users, so it runs beside the event loop."""
    return model.similar_users(query.user_id, query.k)
