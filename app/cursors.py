"""Cursors: where a list goes on. Opaque to clients, signed, of one question to one model version.

A cursor is ``<page>.<signature>.<model version>``. The signature is an HMAC-SHA256, cut to 128 bits, of page,
version and question, all of its parameters included: whoever sends it back with another question, or changes
it, is refused.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

_CURSOR: Final = re.compile(r"([1-9][0-9]{0,8})\.([0-9a-f]{32})\.([A-Za-z0-9-]{1,64})")
_SIGNATURE_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: a page, from 0, of what a version answers."""

    version: str
    page: int


class CursorSigner:
    """Makes cursors and tells its own from others."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def cursor(self, place: Place, question: bytes) -> str:
        """Sign a place in the list that answers a question."""
        return f"{place.page}.{self._signature(place, question)}.{place.version}"

    def place(self, cursor: str, question: bytes) -> Place | None:
        """Read a cursor; None if it was not made by this key for this question."""
        match = _CURSOR.fullmatch(cursor)
        if match is None:
            return None
        place = Place(version=match[3], page=int(match[1]))
        return place if hmac.compare_digest(match[2], self._signature(place, question)) else None

    def _signature(self, place: Place, question: bytes) -> str:
        message = f"{place.page} {place.version} ".encode() + question
        return hmac.digest(self._key, message, hashlib.sha256).hex()[:_SIGNATURE_DIGITS]
