"""CSV, TSV and any other delimited text, a block at a time.

A block whose form is plain goes to polars: valid UTF-8, every record with as many fields as there are
columns, quotes only where RFC 4180 has them. That is checked on the bytes of the block, for polars is lenient
about all three. A block where it does not hold is cut small, and the pieces that are at fault are taken apart
record by record (`models.tables.records`), which finds what is wrong and in which line.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl

from models.errors import DataError
from models.tables.ahead import computed_ahead
from models.tables.batch import Batch, RecordBatch
from models.tables.records import LONGEST_QUOTED_FIELD, RawRecord, read_records
from models.tables.report import BadRow, shown

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from models.layouts import TableFormat
    from models.types import BoolArray, PointerArray

BLOCK_BYTES: Final = 16 << 20
"""Large enough that polars uses its threads, small enough that the columns of a block take little room."""

_PIECE_BYTES: Final = 1 << 18
_LONGEST_LINE: Final = 4 * LONGEST_QUOTED_FIELD

_BOM: Final = b"\xef\xbb\xbf"
_LF: Final = ord("\n")
_CR: Final = ord("\r")
_QUOTE: Final = ord('"')
_STAND_INS: Final = b"\x1f\x1e\x1d\x1c\x01\x02\x03\x04\x05\x06\x07"
"""Control characters, one of which stands for a separator that is not a single byte."""


@dataclass(frozen=True, slots=True)
class _PlainBlock:
    """Whole records that polars reads as we do: its text, a separator of one byte, and each record's line."""

    text: bytes
    separator: bytes
    lines: PointerArray


@dataclass(frozen=True, slots=True)
class _OddPiece:
    """Whole records of which one at least is not plain, the first of them in this line of the file."""

    records: list[RawRecord]
    line: int


class DelimitedTable:
    """An open file of delimited text."""

    position: Literal["line"] = "line"
    typed = False

    def __init__(self, path: Path, table_format: TableFormat, blocks: Iterator[bytes]) -> None:
        separator, self._quoting = table_format.dialect_of(path)
        self._path = path
        self._separator = separator.encode()
        self._latin1 = table_format.encoding == "latin-1"
        self._blocks = blocks
        self._buffer = self._decoded(next(blocks, b"").removeprefix(_BOM))
        self._line = 1
        self.columns = self._read_columns(table_format)

    def batches(
        self, *, ids: Sequence[str], numbers: Sequence[str] = (), times: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """The rows with these columns, all of them text."""
        wanted = [self.columns.index(column) for column in (*ids, *numbers, *times)]
        for part in computed_ahead(self._parts()):
            yield self._parsed(part, wanted) if isinstance(part, _PlainBlock) else self._checked(part, wanted)

    def record_batches(self) -> Iterator[RecordBatch]:
        """The rows with all columns, all of them text."""
        repeated = [name for name, count in Counter(self.columns).items() if count > 1]
        if repeated:
            raise DataError(f"{self._path}: several columns are called {repeated[0]!r}; rename all but one")
        for batch in self.batches(ids=self.columns):
            yield RecordBatch(batch.frame.to_dicts(), batch.lines.tolist(), batch.bad)

    def _read_columns(self, table_format: TableFormat) -> tuple[str, ...]:
        records = read_records(self._buffer, self._separator, quoting=self._quoting, final=True)
        first = next(records, None)
        if first is None:
            raise DataError(f"{self._path}: the file is empty")
        if first.problem is not None:
            raise DataError(f"{self._path}: line {first.line + 1}: {first.problem}: {shown(first.fields[0])}")
        if table_format.columns is not None:
            if len(first.fields) != len(table_format.columns):
                raise DataError(
                    f"{self._path}: line {first.line + 1} has {_fields(len(first.fields))}, but "
                    f"{len(table_format.columns)} names of columns were given "
                    f"({', '.join(table_format.columns)}); give one name for each, and check the separator "
                    f"({shown(self._separator.decode())})"
                )
            return table_format.columns
        try:
            names = [field.decode() for field in first.fields]
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._path}: line {first.line + 1}, the header, is not valid UTF-8; "
                f"if the file is in latin-1, give latin-1 as its encoding"
            ) from error
        if any("\r" in name for name in names):
            raise DataError(
                f"{self._path}: the header holds a carriage return; if the lines end in CR alone, convert "
                f"them: tr '\\r' '\\n'"
            )
        self._line += self._buffer.count(b"\n", 0, first.end)
        self._buffer = self._buffer[first.end :]
        if table_format.typed_header:
            names = [name.rsplit(":", 1)[0] for name in names]
        return tuple(names)

    def _decoded(self, block: bytes) -> bytes:
        return block.decode("latin-1").encode() if self._latin1 and not block.isascii() else block

    def _parts(self) -> Iterator[_PlainBlock | _OddPiece]:
        """All that follows the header."""
        buffer = self._buffer
        for block in self._blocks:
            buffer = yield from self._take(buffer, final=False)
            buffer += self._decoded(block)
        yield from self._take(buffer if buffer.endswith(b"\n") else buffer + b"\n", final=True)

    def _take(self, buffer: bytes, *, final: bool) -> Generator[_PlainBlock | _OddPiece, None, bytes]:
        """Hand out the complete records of a buffer; returns the rest of it."""
        block, rest = self._plain_block(buffer)
        if block is not None:
            yield block
        if not final and len(rest) <= LONGEST_QUOTED_FIELD:
            return rest
        unread, rest = rest, b""
        for start in range(0, len(unread), _PIECE_BYTES):
            stop = start + _PIECE_BYTES
            at_end = final and stop >= len(unread)
            block, rest = self._plain_block(rest + unread[start:stop])
            if block is not None:
                yield block
            if at_end or len(rest) >= _PIECE_BYTES:
                piece, rest = self._odd_piece(rest, final=at_end)
                yield piece
            if len(rest) > _LONGEST_LINE:
                raise DataError(
                    f"{self._path}: line {self._line:,} has over {_LONGEST_LINE:,} bytes; check the format"
                )
        return rest

    def _plain_block(self, buffer: bytes) -> tuple[_PlainBlock | None, bytes]:
        """The complete records at the start of a buffer, if they are plain, and the rest of it."""
        quoted = self._quoting and b'"' in buffer
        inside = _inside_quotes(buffer) if quoted else None
        size = _size_of_complete_records(buffer, inside)
        block = buffer[:size]
        if not block or not _is_utf8(block):
            return None, buffer
        separated = _with_single_byte_separator(block, self._separator)
        if separated is None:
            return None, buffer
        text, separator = separated
        codes = np.frombuffer(text, dtype=np.uint8)
        delimiters = (codes == _LF) | (codes == separator[0])
        if inside is not None:
            inside = inside[:size]
            delimiters &= ~inside
            if not _quotes_are_plain(codes, separator[0]):
                return None, buffer
        if b"\r" in text and _has_lone_returns(codes, inside):
            return None, buffer
        ends = _record_ends(codes, np.flatnonzero(delimiters), n_fields=len(self.columns))
        if ends is None:
            return None, buffer
        plain = _PlainBlock(text, separator, self._line + _lines_of_records(codes, ends))
        self._line += block.count(b"\n")
        return plain, buffer[size:]

    def _odd_piece(self, buffer: bytes, *, final: bool) -> tuple[_OddPiece, bytes]:
        """The complete records at the start of a buffer, one by one, and the rest of it."""
        records = list(read_records(buffer, self._separator, quoting=self._quoting, final=final))
        piece = _OddPiece(records, self._line)
        size = len(buffer) if final else (records[-1].end if records else 0)
        self._line += buffer.count(b"\n", 0, size)
        return piece, buffer[size:]

    def _parsed(self, block: _PlainBlock, wanted: list[int]) -> Batch:
        frame = pl.read_csv(
            block.text,
            has_header=False,
            schema={f"column_{index + 1}": pl.String for index in range(len(self.columns))},
            columns=wanted,
            separator=block.separator.decode(),
            quote_char='"' if self._quoting and b'"' in block.text else None,
            empty_string_is_null=False,
        ).select(pl.col(f"column_{index + 1}").alias(self.columns[index]) for index in wanted)
        if len(frame) != len(block.lines):
            records = read_records(block.text, block.separator, quoting=self._quoting, final=True)
            return self._checked(_OddPiece(list(records), int(block.lines[0])), wanted)
        return Batch(frame, block.lines, [])

    def _checked(self, piece: _OddPiece, wanted: list[int]) -> Batch:
        rows: list[list[str]] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for record in piece.records:
            line = piece.line + record.line
            fields = self._fields_of(record, line, wanted)
            if isinstance(fields, BadRow):
                bad.append(fields)
            else:
                rows.append(fields)
                lines.append(line)
        schema = {self.columns[index]: pl.String for index in wanted}
        return Batch(pl.DataFrame(rows, schema=schema, orient="row"), np.array(lines, dtype=np.int64), bad)

    def _fields_of(self, record: RawRecord, line: int, wanted: list[int]) -> list[str] | BadRow:
        expected, found = len(self.columns), len(record.fields)
        if record.problem is not None or found != expected:
            text = self._separator.join(record.fields).decode(errors="backslashreplace")
            if record.problem is not None:
                return BadRow(line, None, text, "malformed quotes", f"{record.problem}: {shown(text)}")
            reason = "too few fields" if found < expected else "too many fields"
            return BadRow(line, None, text, reason, f"{_fields(found)} instead of {expected}: {shown(text)}")
        fields: list[str] = []
        for index in wanted:
            try:
                fields.append(record.fields[index].decode())
            except UnicodeDecodeError:
                text = record.fields[index].decode(errors="backslashreplace")
                problem = (
                    f"{shown(text)} is not valid UTF-8 (if the file is in latin-1, give that as its encoding)"
                )
                return BadRow(line, self.columns[index], text, "invalid UTF-8", problem)
        return fields


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"


def _is_utf8(block: bytes) -> bool:
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _inside_quotes(buffer: bytes) -> BoolArray:
    """Whether each byte stands after an odd number of quotes; bool, shape ``(len(buffer),)``."""
    quotes = np.frombuffer(buffer, dtype=np.uint8) == _QUOTE
    return (np.cumsum(quotes, dtype=np.uint8) & 1).astype(bool)  # uint8 wraps, which keeps the parity


def _size_of_complete_records(buffer: bytes, inside: BoolArray | None) -> int:
    if inside is None:
        return buffer.rfind(b"\n") + 1
    ends = np.flatnonzero((np.frombuffer(buffer, dtype=np.uint8) == _LF) & ~inside)
    return int(ends[-1]) + 1 if len(ends) else 0


def _with_single_byte_separator(block: bytes, separator: bytes) -> tuple[bytes, bytes] | None:
    """The block with a control character it does not hold in place of a longer separator."""
    if len(separator) == 1:
        return block, separator
    stand_in = next((bytes([code]) for code in _STAND_INS if code not in block), None)
    return None if stand_in is None else (block.replace(separator, stand_in), stand_in)


def _quotes_are_plain(codes: NDArray[np.uint8], separator: int) -> bool:
    """Whether quotes only open a field, close it, or stand doubled within; `codes` end with a line end."""
    quotes = np.flatnonzero(codes == _QUOTE)
    opening, closing = quotes[0::2], quotes[1::2]
    if not len(closing):
        return len(opening) == 0
    if (closing - opening).max() > LONGEST_QUOTED_FIELD:
        return False
    before = np.where(opening == 0, _LF, codes[opening - 1])
    after = codes[closing + 1]
    ends_line = (after == _CR) & (codes[np.minimum(closing + 2, len(codes) - 1)] == _LF)
    return bool(
        np.isin(before, [separator, _LF, _QUOTE]).all()
        and (np.isin(after, [separator, _LF, _QUOTE]) | ends_line).all()
    )


def _has_lone_returns(codes: NDArray[np.uint8], inside: BoolArray | None) -> bool:
    """Whether a carriage return outside of quotes ends no line: polars drops it at the end of any field."""
    is_lone = (codes[:-1] == _CR) & (codes[1:] != _LF)
    if inside is not None:
        is_lone &= ~inside[:-1]
    return bool(is_lone.any())


def _record_ends(
    codes: NDArray[np.uint8], delimiters: NDArray[np.intp], *, n_fields: int
) -> NDArray[np.intp] | None:
    """Offsets of the line ends, shape ``(n_records,)``; None unless every record has this many fields.

    Blank lines would pass for records of a single column, so such tables are never plain.
    """
    if n_fields == 1 or len(delimiters) % n_fields:
        return None
    is_end = (codes[delimiters] == _LF).reshape(-1, n_fields)
    if is_end[:, :-1].any() or not is_end[:, -1].all():
        return None
    return delimiters[n_fields - 1 :: n_fields]


def _lines_of_records(codes: NDArray[np.uint8], ends: NDArray[np.intp]) -> PointerArray:
    """Lines before each record, int64, shape ``(n_records,)``: fields may hold line ends of their own."""
    is_line_end = codes == _LF
    if np.count_nonzero(is_line_end) == len(ends):
        return np.arange(len(ends), dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    return np.searchsorted(np.flatnonzero(is_line_end), starts).astype(np.int64)
