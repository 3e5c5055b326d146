"""What a handler can ask for besides its query and body."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, cast

from fastapi import Depends, Request

from app.errors import NotReadyError
from app.holder import ModelHolder, Swap
from app.metrics import Metrics
from app.served import Served

SERVED: Final = "foldrec.served"
"""Where a scope carries the model that its request started with, or None."""


def current_model(request: Request) -> Served:
    """Return the model that this request started with; raises NotReadyError."""
    served: Served | None = request.scope[SERVED]
    if served is None:
        raise NotReadyError(request.app.state.retry_after)
    return served


def model_holder(request: Request) -> ModelHolder:
    """Return what holds the model."""
    return cast("ModelHolder", request.app.state.holder)


def reload_now(request: Request) -> Callable[[], Awaitable[Swap]]:
    """Return what looks for a new model at once."""
    return cast("Callable[[], Awaitable[Swap]]", request.app.state.reload)


def service_metrics(request: Request) -> Metrics:
    """Return the metrics of this service."""
    return cast("Metrics", request.app.state.metrics)


CurrentModel = Annotated[Served, Depends(current_model)]
Holder = Annotated[ModelHolder, Depends(model_holder)]
Reload = Annotated[Callable[[], Awaitable[Swap]], Depends(reload_now)]
ServiceMetrics = Annotated[Metrics, Depends(service_metrics)]
