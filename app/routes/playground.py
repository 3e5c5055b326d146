"""The playground: the page at ``/`` and its files. Open to all: they hold nothing of the model."""

from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from starlette.exceptions import HTTPException

from app import conditional
from app.errors import Header
from app.operation import Operation, Reply

PAGE: Final = "index.html"
_CONTENT_TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}


def router(image_hosts: Sequence[str]) -> APIRouter:
    """Make the routes of the page.

    Args:
        image_hosts: hosts that its pictures may come from, beside this one.
    """
    router = APIRouter(route_class=Operation, include_in_schema=False)
    contents = _files(image_hosts)

    @router.get("/", response_model=None)
    async def page(kept: Kept) -> Reply:
        """Show the page."""
        return contents[PAGE].reply(kept)

    @router.get("/playground/{name}", response_model=None)
    async def file(name: Annotated[str, Path()], kept: Kept) -> Reply:
        """Give one of the files that the page is made of."""
        if name not in contents:
            raise HTTPException(404)
        return contents[name].reply(kept)

    return router


def content_security_policy(image_hosts: Sequence[str]) -> str:
    """Say what the page may load and do: nothing of another host but pictures, and no HTML from strings."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            " ".join(["img-src 'self'", *image_hosts]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


class _File:
    """One file, with what is sent before it."""

    def __init__(self, content: bytes, headers: Sequence[Header]) -> None:
        self._content = content
        self._tag = b'"%b"' % sha256(content).hexdigest()[:16].encode()
        self._headers = (*headers, (b"etag", self._tag))

    def reply(self, kept: bytes) -> Reply:
        """Send it, or say that the client has it: `kept` is the field If-None-Match."""
        if conditional.has(kept, self._tag):
            return Reply(b"", self._headers, status=304)
        return Reply(self._content, self._headers)


def _kept(request: Request) -> bytes:
    return conditional.if_none_match(request.scope["headers"])


Kept = Annotated[bytes, Depends(_kept)]


def _files(image_hosts: Sequence[str]) -> dict[str, _File]:
    policy = content_security_policy(image_hosts).encode()
    return {
        file.name: _File(
            file.read_bytes(),
            (
                (b"content-type", _CONTENT_TYPES["." + file.name.rpartition(".")[2]]),
                (b"content-security-policy", policy),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"no-referrer"),
                (b"cache-control", b"no-cache"),
            ),
        )
        for file in files("app").joinpath("playground").iterdir()
    }
