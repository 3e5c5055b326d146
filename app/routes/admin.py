"""For the operator, behind the admin key."""

from dataclasses import asdict

from fastapi import APIRouter, Security

from app.access import admin_key
from app.answers.options import Body as Answer
from app.dependencies import Reload
from app.errors import Kind
from app.openapi import refusals
from app.operation import Operation
from app.schemas import service

router = APIRouter(route_class=Operation, dependencies=[Security(admin_key)], tags=["admin"])


@router.post(
    "/admin/reload",
    response_model=service.Reloaded,
    responses=refusals(Kind.NOT_FOUND, Kind.ARTIFACT_REFUSED),
)
async def reload(reload_now: Reload) -> Answer:
    """Look at `CURRENT` now, not at the next poll; a model that cannot be served leaves the old in place."""
    return asdict(await reload_now())
