"""The service as a process: uvicorn, as ``FOLDREC_*`` says."""

import argparse
import asyncio
import errno
import gc
import logging
import socket
import sys
from contextlib import suppress
from functools import partial

import uvicorn

from app import logs
from app.main import create_app
from app.settings import PREFIX, Settings, settings_or_exit, settings_table
from app.workers import Parent, Workers
from models.errors import ConfigError

logger = logging.getLogger(__name__)

_SWITCH_SECONDS = 0.0005
"""How long a thread with a batch may make the event loop wait; Python's own 5 ms are many light requests."""
_LINGER_SECONDS = 0.25
"""How long open connections are given for requests that are on their way, once it is time to end."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Take the port on every address of the host; connections are refused until somebody listens.

    Raises:
        ConfigError: the host or the port is not one that this process can listen on.
    """
    sockets = []
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in addresses:
            own = socket.socket(family, kind, protocol)
            sockets.append(own)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            own.bind(address)
    except (OSError, UnicodeError) as error:
        for each in sockets:
            each.close()
        raise ConfigError(_unusable(host, port, error)) from error
    return sockets


def _unusable(host: str, port: int, error: OSError | UnicodeError) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return (
                f"{PREFIX}PORT={port}: something listens on {host} port {port} already; stop it, or set "
                f"{PREFIX}PORT to another port (0 picks a free one)"
            )
        case OSError(errno=errno.EACCES):
            return f"{PREFIX}PORT={port}: this user may not listen on it; set {PREFIX}PORT to 1024 or above"
        case _:
            reason = error.strerror if isinstance(error, OSError) else "not a host name"
            return (
                f"{PREFIX}HOST={host!r}: {reason}; set {PREFIX}HOST to an address of this machine, "
                "such as 127.0.0.1, or 0.0.0.0 for all of them"
            )


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight."""
    argparse.ArgumentParser(
        prog="python -m app",
        description="Serve the newest artifact. Everything is set by environment variables:",
        epilog=settings_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    settings = settings_or_exit()
    logs.configure(settings.log_level)
    try:
        sockets = bind(settings.host, settings.port)
    except ConfigError as error:
        print(f"foldrec: {error}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    for each in sockets:
        host, port = each.getsockname()[:2]
        logger.info("listening on %s port %d once started", host, port)
    if settings.workers == 1:
        serve(settings, sockets)
    else:
        Workers(settings, sockets, partial(serve, settings)).run()


def serve(settings: Settings, sockets: list[socket.socket], parent: Parent | None = None) -> None:
    """Answer requests until told to stop, and drain; as one of several workers where there is a parent."""
    app = create_app(settings, parent=parent)
    gc.freeze()  # a full collection walks all that was imported: some request would wait 16 ms for it
    gc.enable()
    sys.setswitchinterval(_SWITCH_SECONDS)
    config = uvicorn.Config(
        app,
        http="httptools",
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
