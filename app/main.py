"""The application: settings in, an ASGI app out. Importing this module does nothing."""

import asyncio
import contextlib
import math
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from threadpoolctl import threadpool_limits

from app import openapi, snapshot
from app.access import KeyRing
from app.compared import open_compared
from app.cursors import CursorSigner
from app.gateway import Gateway
from app.holder import ModelHolder
from app.limits import Limits
from app.metrics import Metrics, SharedCounts
from app.recall_monitor import RecallMonitor
from app.recommender import Recommender
from app.replaced import ReplacedModels
from app.routes import ROUTERS, operations, playground
from app.served import Served
from app.settings import Settings, settings_or_exit
from app.slots import InFlight
from app.snapshot import Snapshot
from app.source import ArtifactDirectory, Inherited, ModelSource
from app.workers import Parent

_DESCRIPTION = (
    "Recommendations from matrix factorization, with closed-form fold-in of people the model has never seen. "
    "Every refusal is a problem document (RFC 9457)."
)


class Foldrec(FastAPI):
    """FastAPI for routes and OpenAPI; the gateway answers in the place of its middleware stack."""

    def __init__(
        self,
        settings: Settings,
        gateway: Callable[[ASGIApp], Gateway],
        **options: Any,  # noqa: ANN401 - FastAPI's
    ) -> None:
        super().__init__(**options)
        self._settings = settings
        self._gateway = gateway(self.router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand every request to the gateway, the only layer."""
        scope["app"] = self
        await self._gateway(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            openapi.complete(super().openapi(), self._settings)
        return super().openapi()


def create_app(
    settings: Settings | None = None,
    *,
    source: ModelSource | None = None,
    parent: Parent | None = None,
    load: Callable[[Path], Snapshot] = snapshot.load,
) -> FastAPI:
    """Build the service.

    Args:
        settings: read from the environment if None, and the process ends with code 2 if that is faulty.
        source: where models come from; by default the parent, or the artifacts directory of the settings.
        parent: of one of several workers; None where this process is the service.
        load: opens the current version in a directory.
    """
    settings = settings or settings_or_exit()
    metrics = Metrics(None if parent is None else SharedCounts(parent.metrics, parent.slot))
    monitor = RecallMonitor(settings.recall_sample, metrics)
    if source is None:
        source = (
            ArtifactDirectory(settings.artifacts, monitor.watched, load)
            if parent is None
            else Inherited(parent.snapshot, monitor.watched)
        )
    replaced = ReplacedModels[Served](settings.cursor_models, settings.cursor_seconds)
    for old, until in parent.replaced if parent is not None else ():
        replaced.keep(Served(Recommender(old), metrics), until)
    holder = ModelHolder(source, metrics, replaced)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Load the model, look for newer ones while the service runs, finish what runs when it stops."""
        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(settings.threads) as pool:
            app.state.pool = pool
            holder.compare(
                await asyncio.to_thread(open_compared, settings) if parent is None else parent.compared
            )
            await holder.look()
            watcher = asyncio.create_task(holder.watch(settings.reload_seconds))
            with monitor.running(holder):
                yield
            watcher.cancel()

    routers = (*ROUTERS, playground.router(settings.image_hosts)) if settings.playground else ROUTERS
    in_flight = InFlight.within(settings)
    metrics.in_flight(lambda: in_flight.all.taken, lambda: in_flight.heavy.taken)
    gateway = partial(
        Gateway,
        operations=operations(routers),
        holder=holder,
        keys=KeyRing(settings.api_keys, settings.admin_key),
        limits=Limits(max_k=settings.max_k, max_body_bytes=settings.max_body_bytes),
        metrics=metrics,
        in_flight=in_flight,
    )
    app = Foldrec(
        settings,
        gateway,
        title="Foldrec",
        version=version("foldrec"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.holder = holder
    app.state.reload = holder.reload if parent is None else parent.reload
    app.state.metrics = metrics
    app.state.signer = CursorSigner(_cursor_key(settings, parent))
    app.state.retry_after = math.ceil(settings.reload_seconds)
    for router in routers:
        app.include_router(router)
    return app


def _cursor_key(settings: Settings, parent: Parent | None) -> bytes:
    """What cursors are signed with: what is set, or the same drawn key for all workers of a service."""
    if settings.cursor_key is not None:
        return settings.cursor_key.get_secret_value().encode()
    return secrets.token_bytes() if parent is None else parent.cursor_key
