"""An HTTP server on the loopback that serves bytes from memory and misbehaves as told."""

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that arrived."""

    path: str
    range: str | None
    if_range: str | None


@dataclass
class FileServer:
    """Files by path, and how to serve them; every list of accidents is used up one request at a time."""

    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    ranges: bool = True
    checks_if_range: bool = True
    range_shift: int = 0
    """Bytes by which partial answers start too late."""
    strong_etag: bool = True
    weak_etag: bool = False
    last_modified: str | None = None
    statuses: list[int] = field(default_factory=list)
    """Answered instead of a file."""
    cuts: list[int] = field(default_factory=list)
    """Bytes of the body after which the connection is closed."""
    stall: int | None = None
    """Bytes of the body after which nothing more comes until `release` is called."""
    redirects: dict[str, str] = field(default_factory=dict)
    _released: threading.Event = field(default_factory=threading.Event)

    def etag(self, body: bytes) -> str | None:
        """A strong or weak ETag of the content, or none."""
        quoted = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.strong_etag:
            return quoted
        return f"W/{quoted}" if self.weak_etag else None

    def wait_for_release(self) -> None:
        """Blocks a handler that stalls."""
        self._released.wait(60)

    def release(self) -> None:
        """Lets stalled handlers go; from now on nothing stalls."""
        self.stall = None
        self._released.set()

    @contextmanager
    def running(self) -> Iterator["FileServer"]:
        """Listens on a free port of 127.0.0.1 until the block ends."""

        class Handler(_Handler):
            server_of_files = self

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
            self.url = f"http://127.0.0.1:{httpd.server_address[1]}"
            thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                self.release()
                httpd.shutdown()
                thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of_files: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server_of_files
        server.asked.append(Asked(self.path, self.headers["Range"], self.headers["If-Range"]))
        if server.statuses:
            self._answer(server.statuses.pop(0), b"")
        elif self.path in server.redirects:
            self._answer(302, b"", Location=server.redirects[self.path])
        elif self.path not in server.files:
            self._answer(404, b"")
        else:
            self._send_file(server.files[self.path])

    def _send_file(self, body: bytes) -> None:
        server = self.server_of_files
        etag = server.etag(body)
        validators = {"ETag": etag, "Last-Modified": server.last_modified}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        unchanged = not server.checks_if_range or self.headers["If-Range"] in (etag, server.last_modified)
        if wanted is None or not server.ranges or not unchanged:
            self._answer(200, body, **validators)
            return
        start = int(wanted.group(1)) + server.range_shift
        if start >= len(body):
            self._answer(416, b"", **{"Content-Range": f"bytes */{len(body)}"})
        else:
            where = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self._answer(206, body[start:], **{"Content-Range": where}, **validators)

    def _answer(self, status: int, body: bytes, **headers: str | None) -> None:
        server = self.server_of_files
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if body and server.cuts:
            self.wfile.write(body[: server.cuts.pop(0)])
            self._hang_up()
        elif body and server.stall is not None:
            self.wfile.write(body[: server.stall])
            self.wfile.flush()
            server.wait_for_release()
            self._hang_up()
        else:
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.wfile.flush()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client was faster
            self.close_connection = True
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name the base class gives it
        """Says nothing."""


def closed_port() -> str:
    """The URL of a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"
