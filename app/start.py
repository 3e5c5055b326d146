"""The command: settings and sockets first, the model in a thread, and meanwhile the rest of the service."""

import argparse
import errno
import logging
import socket
import sys
from functools import partial

from app import logs
from app.early import LoadedEarly
from app.settings import PREFIX, settings_or_exit, settings_table
from models.errors import ConfigError

logger = logging.getLogger(__name__)

_SWITCH_SECONDS = 0.0005
"""How long a thread with a batch may make the event loop wait; Python's own 5 ms are many light requests."""


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
    sys.setswitchinterval(_SWITCH_SECONDS)
    load = LoadedEarly(settings.artifacts)
    from app.serve import serve  # noqa: PLC0415 - FastAPI and uvicorn take as long as a model
    from app.workers import Workers  # noqa: PLC0415

    if settings.workers == 1:
        serve(settings, sockets, load=load)
    else:
        Workers(settings, sockets, partial(serve, settings), load=load).run()
