"""Probes: never behind a key."""

from fastapi import APIRouter

from app.answers.options import Body as Answer
from app.dependencies import CurrentModel
from app.operation import Operation
from app.schemas import service

router = APIRouter(route_class=Operation, tags=["service"])


@router.get("/live", response_model=service.Live)
async def live() -> Answer:
    """Answer as long as the process does."""
    return {"status": "live"}


@router.get("/ready", response_model=service.Ready)
async def ready(model: CurrentModel) -> Answer:
    """Answer 200 when a model is loaded, 503 before."""
    return {"model_version": model.version, "status": "ready"}
