"""Conditional requests: what a client has already is not sent again (RFC 9110, sections 8.8.3 and 13.1.2).

An answer to a GET is a function of the model and of what was asked, so its entity tag is made before the
answer is: one that the client has kept costs no retrieval. The tags are weak, for the same model on another
processor may answer with other last bits.
"""

import re
from collections.abc import Iterable
from typing import Final
from zlib import crc32

from app.errors import Header

IF_NONE_MATCH: Final = b"if-none-match"
CACHE_CONTROL: Final = (b"cache-control", b"private")
_ENTITY_TAG: Final = re.compile(rb'(?:W/)?"([!#-~\x80-\xff]*)"')


class EntityTags:
    """The tags of one model's answers."""

    def __init__(self, model: str, software: str) -> None:
        """Take what decides an answer besides the question."""
        self._model = model.encode()
        self._seed = crc32(f"{software} {model}".encode())

    def tag(self, path: str, query_string: bytes) -> bytes:
        """Tag the answer to a GET. Tags are only ever compared with tags of the same URI."""
        return b'W/"%b.%08x"' % (self._model, crc32(query_string, crc32(path.encode(), self._seed)))


def if_none_match(headers: Iterable[Header]) -> bytes:
    """All lines of the field in one, empty where there is none."""
    return b",".join(value for name, value in headers if name == IF_NONE_MATCH)


def has(if_none_match: bytes, tag: bytes) -> bool:
    """Whether a client that sends this field has the answer of this tag; weak comparison."""
    opaque = tag.removeprefix(b"W/")[1:-1]
    return opaque in _ENTITY_TAG.findall(if_none_match)


def has_any(if_none_match: bytes) -> bool:
    """Whether the field is ``*``: any answer will do, as long as there is one."""
    return if_none_match.strip() == b"*"
