"""The endpoints. A handler is a line or two: ask the model, return what it says."""

from collections.abc import Iterable
from itertools import chain

from fastapi import APIRouter

from app.operation import Operation
from app.routes import admin, health, item_map, items, lists, model, predictions

ROUTERS: tuple[APIRouter, ...] = (
    lists.router,
    predictions.router,
    items.router,
    item_map.router,
    model.router,
    health.router,
    admin.router,
)


def operations(routers: Iterable[APIRouter] = ROUTERS) -> list[Operation]:
    """Return every operation of the routers; of the API's, unless others are given."""
    routes = chain.from_iterable(router.routes for router in routers)
    return [route for route in routes if isinstance(route, Operation)]
