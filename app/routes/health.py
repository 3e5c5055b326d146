"""Probes: never behind a key."""

from fastapi import APIRouter

from app import schemas
from app.dependencies import CurrentModel
from app.operation import Operation
from app.recommender import Body as Answer

router = APIRouter(route_class=Operation, tags=["service"])


@router.get("/live", response_model=schemas.Live)
async def live() -> Answer:
    """Answer as long as the process does."""
    return {"status": "live"}


@router.get("/ready", response_model=schemas.Ready)
async def ready(model: CurrentModel) -> Answer:
    """Answer 200 when a model is loaded, 503 before."""
    return {"model_version": model.version, "status": "ready"}
