"""The service as a process: uvicorn, as ``FOLDREC_*`` says."""

import argparse
import gc

import uvicorn

from app import logs
from app.main import create_app
from app.settings import settings_or_exit, settings_table


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
    app = create_app(settings)
    gc.freeze()  # a full collection walks all that was imported: some request would wait 16 ms for it
    gc.enable()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
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
