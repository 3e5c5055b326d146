"""What is known of an item."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Security

from app.access import api_key
from app.answers.options import Body as Answer
from app.dependencies import CurrentModel
from app.errors import Kind
from app.openapi import refusals
from app.operation import Operation
from app.schemas import answers, requests

router = APIRouter(route_class=Operation, dependencies=[Security(api_key)], tags=["items"])


@router.get("/items", response_model=answers.FoundItems)
def search(query: Annotated[requests.ItemsQuery, Query()], model: CurrentModel) -> Answer:
    """Find items by title: case, accents, word order, unfinished words and small typos do not matter."""
    return model.recommender.search_items(query.query, query.k)


@router.get("/items/{item_id}", response_model=answers.Item, responses=refusals(Kind.UNKNOWN_ITEM))
async def item(item_id: Annotated[str, Path(examples=["242"])], model: CurrentModel) -> Answer:
    """Show an item's metadata and how often it occurs in the training data."""
    return model.recommender.item(item_id)


@router.get("/items/{item_id}/users", response_model=answers.ItemUsers, responses=refusals(Kind.UNKNOWN_ITEM))
def item_users(
    item_id: Annotated[str, Path(examples=["242"])],
    query: Annotated[requests.ItemUsersQuery, Query()],
    model: CurrentModel,
) -> Answer:
    """List who has an item in their history: the largest value first, of equal values the most recent.

    A scan of all histories, so it runs beside the event loop.
    """
    return model.recommender.item_users(item_id, query.k)
