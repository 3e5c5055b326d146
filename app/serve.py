"""The service: uvicorn around the application, as ``FOLDREC_*`` says."""

import asyncio
import gc
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from app import snapshot
from app.main import create_app
from app.protocol import OnePacketProtocol
from app.settings import Settings
from app.snapshot import Snapshot
from app.workers import Parent

_LINGER_SECONDS = 0.25
"""How long open connections are given for requests that are on their way, once it is time to end."""


def serve(
    settings: Settings,
    sockets: list[socket.socket],
    parent: Parent | None = None,
    *,
    load: Callable[[Path], Snapshot] = snapshot.load,
) -> None:
    """Answer requests until told to stop, and drain; as one of several workers where there is a parent."""
    app = create_app(settings, parent=parent, load=load)
    gc.freeze()  # a full collection walks all that was imported: some request would wait 16 ms for it
    gc.enable()
    config = uvicorn.Config(
        app,
        http=OnePacketProtocol,
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=settings.access_log,
        proxy_headers=settings.access_log,  # nothing else looks at the client's address
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    with suppress(KeyboardInterrupt):
        _Server(config, parent).run(sockets)


class _Server(uvicorn.Server):
    """Lets connections end before itself; as a worker, tells its parent that it answers, and ends with it."""

    def __init__(self, config: uvicorn.Config, parent: Parent | None) -> None:
        super().__init__(config)
        self._parent = parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self._parent is not None:
            asyncio.get_running_loop().add_reader(self._parent.lifeline, self._orphaned)
            self._parent.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more; answer what comes over the connections there are, and ask clients to close them.

        uvicorn alone would reset a connection that it has just accepted, its request unread.
        """
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        await asyncio.sleep(_LINGER_SECONDS)
        await super().shutdown(sockets)

    def _orphaned(self) -> None:
        if self._parent is not None:
            asyncio.get_running_loop().remove_reader(self._parent.lifeline)
        self.should_exit = True
