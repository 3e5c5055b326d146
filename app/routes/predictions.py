"""Pairs of a user and an item: what is predicted, and why."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Security

from app.access import api_key
from app.answers.options import Body as Answer
from app.dependencies import CurrentModel
from app.errors import Kind
from app.openapi import refusals
from app.operation import Operation
from app.schemas import answers, requests

router = APIRouter(
    route_class=Operation,
    dependencies=[Security(api_key)],
    responses=refusals(Kind.UNKNOWN_USER, Kind.UNKNOWN_ITEM),
    tags=["predictions"],
)


@router.get("/predict", response_model=answers.Prediction)
async def predict(query: Annotated[requests.PredictQuery, Query()], model: CurrentModel) -> Answer:
    """Predict the rating or preference of one pair."""
    return model.recommender.predict(query.user_id, query.item_id)


@router.get("/explain", response_model=answers.Explanation)
async def explain(query: Annotated[requests.ExplainQuery, Query()], model: CurrentModel) -> Answer:
    """Take one score apart: what each item of the user's history adds to it, exactly."""
    return model.recommender.explain(query.user_id, query.item_id, query.explain_top)


@router.post("/predict", response_model=answers.Predictions)
def predict_many(body: Annotated[requests.PredictBody, Body()], model: CurrentModel) -> Answer:
    """Predict many pairs; the results are in the order of `pairs`."""
    return model.recommender.predict_many([(pair.user_id, pair.item_id) for pair in body.pairs])
