"""The items in two dimensions."""

from fastapi import APIRouter, Security

from app.access import api_key
from app.answers.options import Body as Answer
from app.dependencies import CurrentModel
from app.operation import Operation
from app.schemas.item_map import ItemPositions

router = APIRouter(route_class=Operation, dependencies=[Security(api_key)], tags=["items"])


@router.get("/map", response_model=ItemPositions)
def item_map(model: CurrentModel) -> Answer:
    """Show where items stand in two dimensions: the first two principal axes of their directions.

    Close items are liked by the same people, as far as two dimensions can show it. The 50,000 most popular.
    """
    return model.recommender.item_map()
