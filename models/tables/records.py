"""Delimited text taken apart record by record: slow, exact, and the definition of what is accepted.

A field that begins with a double quote ends at the next quote that is not doubled, and a separator or the end
of the line must follow (RFC 4180); everything between is literal, line ends included. A quote elsewhere is
literal. Lines end in LF or CR LF. Blank lines are passed over. A line that cannot be taken apart is given up
as a whole, and the next line begins anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_QUOTED_FIELD: Final = 1 << 20
"""Bytes after which a quote counts as never closed."""

_QUOTED: Final = re.compile(rb'"([^"]*(?:""[^"]*)*)"(?!")')


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record.

    Attributes:
        line: where it begins, counted from the start of the buffer, from 0.
        end: the offset just after its line end.
        fields: its fields; where `problem` is given, the line as a whole.
        problem: why it cannot be taken apart.
    """

    line: int
    end: int
    fields: list[bytes]
    problem: str | None = None


def read_records(buffer: bytes, separator: bytes, *, quoting: bool, final: bool) -> Iterator[RawRecord]:
    """The complete records of a buffer that begins at one; all of them at the end of a file (`final`)."""
    position = line = 0
    while position < len(buffer):
        end = buffer.find(b"\n", position)
        if end < 0 and not final:
            return
        end = len(buffer) if end < 0 else end
        text = buffer[position:end].removesuffix(b"\r")
        if not text:
            record = None
            position = end + 1
            line += 1
        elif quoting and b'"' in text:
            record = _quoted_record(buffer, position, separator, line, final=final)
            if record is None:
                return
            line += buffer.count(b"\n", position, record.end)
            position = record.end
        else:
            record = RawRecord(line, end + 1, text.split(separator))
            position = end + 1
            line += 1
        if record is not None:
            yield record


def _quoted_record(
    buffer: bytes, start: int, separator: bytes, line: int, *, final: bool
) -> RawRecord | None:
    """The record that begins here, or None where the buffer ends before it does."""
    fields: list[bytes] = []
    position = start
    while True:
        if buffer.startswith(b'"', position):
            closed = _QUOTED.match(buffer, position)
            if closed is None or closed.end() - position > LONGEST_QUOTED_FIELD:
                if closed is None and not final and len(buffer) - position <= LONGEST_QUOTED_FIELD:
                    return None
                return _given_up(buffer, start, line, "a quote that is opened here is never closed")
            fields.append(closed[1].replace(b'""', b'"'))
            position = closed.end()
        else:
            end = buffer.find(b"\n", position)
            end = len(buffer) if end < 0 else end
            at_separator = buffer.find(separator, position, end)
            if at_separator < 0:
                fields.append(buffer[position:end].removesuffix(b"\r"))
                position = end - buffer.startswith(b"\r\n", end - 1)
            else:
                fields.append(buffer[position:at_separator])
                position = at_separator
        if buffer.startswith(separator, position):
            position += len(separator)
            continue
        rest = buffer[position : position + 2]
        if rest.startswith(b"\n") or rest == b"\r\n":
            return RawRecord(line, position + rest.index(b"\n") + 1, fields)
        if position + len(rest) >= len(buffer) and rest in {b"", b"\r"}:
            return RawRecord(line, len(buffer), fields) if final else None
        return _given_up(buffer, start, line, "text follows a closing quote")


def _given_up(buffer: bytes, start: int, line: int, problem: str) -> RawRecord:
    end = buffer.find(b"\n", start)
    end = len(buffer) if end < 0 else end
    return RawRecord(line, end + 1, [buffer[start:end].removesuffix(b"\r")], problem)
