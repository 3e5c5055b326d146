"""Fetch small images and turn them into data URIs, so that a page with them stays in one file."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable

_TYPES: Final = {"image/jpeg", "image/png", "image/webp", "image/gif"}
_MOST_BYTES: Final = 300_000
_SECONDS: Final = 5.0
_AT_ONCE: Final = 8


def fetch_covers(urls: Iterable[str], *, transport: httpx.BaseTransport | None = None) -> dict[str, str]:
    """Data URIs by address, of those images that could be had: small, of a common type, over HTTP.

    Args:
        urls: addresses; those of other schemes are left out.
        transport: how to connect; None: over the network.
    """
    asked = sorted(url for url in urls if url.startswith(("http://", "https://")))
    with (
        httpx.Client(timeout=_SECONDS, follow_redirects=True, transport=transport) as client,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        found = pool.map(lambda url: _fetch(client, url), asked)
        return {url: uri for url, uri in zip(asked, found, strict=True) if uri is not None}


def _fetch(client: httpx.Client, url: str) -> str | None:
    try:
        with client.stream("GET", url) as answer:
            kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
            if answer.status_code != httpx.codes.OK or kind not in _TYPES:
                return None
            body = b""
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    return None
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return f"data:{kind};base64,{base64.b64encode(body).decode('ascii')}"
