"""NDJSON: one JSON object a line, a block at a time."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import orjson
import polars as pl

from models.errors import DataError
from models.tables.batch import Batch, Record, RecordBatch
from models.tables.report import BadRow, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BLOCK_BYTES: Final = 4 << 20
"""Python objects take some ten times the room of the text they were."""

_ID_TYPES: Final = {str, int, type(None)}
_NUMBER_TYPES: Final = {str, int, float, type(None)}

_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_LINE: Final = 16 << 20


class NdjsonTable:
    """An open NDJSON file."""

    position: Literal["line"] = "line"
    typed = True

    def __init__(self, path: Path, blocks: Iterator[bytes]) -> None:
        self._path = path
        first = next(blocks, b"").removeprefix(_BOM)
        if first.lstrip().startswith(b"["):
            raise DataError(
                f"{path}: a JSON array rather than one object per line; convert it with jq -c '.[]', for one"
            )
        self._batches = self._read(chain([first], blocks))
        self._first = next(self._batches, None)
        if self._first is None:
            raise DataError(f"{path}: the file is empty")
        self.columns = tuple(dict.fromkeys(chain.from_iterable(self._first.records)))

    def batches(
        self, *, ids: Sequence[str], numbers: Sequence[str] = (), times: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """The rows with these columns."""
        for batch in self.record_batches():
            yield _as_columns(batch, ids, (*numbers, *times))

    def record_batches(self) -> Iterator[RecordBatch]:
        """The rows with all columns."""
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._batches

    def _read(self, blocks: Iterator[bytes]) -> Iterator[RecordBatch]:
        rest = b""
        line = 1
        for block in blocks:
            *complete, rest = (rest + block).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise DataError(
                    f"{self._path}: line {line + len(complete):,} is longer than {_LONGEST_LINE:,} bytes; "
                    f"NDJSON has one object per line"
                )
            yield from _parsed(complete, line)
            line += len(complete)
        yield from _parsed([rest], line)


def _parsed(texts: list[bytes], first_line: int) -> Iterator[RecordBatch]:
    numbered = [(line, text) for line, text in enumerate(texts, first_line) if text and not text.isspace()]
    if not numbered:
        return
    lines = [line for line, _ in numbered]
    try:
        records = [orjson.loads(text) for _, text in numbered]
    except orjson.JSONDecodeError:
        records = []
    if set(map(type, records)) == {dict}:
        yield RecordBatch(records, lines, [])
        return
    batch = RecordBatch([], [], [])
    for line, text in numbered:
        record = _parsed_line(text, line)
        if isinstance(record, BadRow):
            batch.bad.append(record)
        else:
            batch.records.append(record)
            batch.lines.append(line)
    yield batch


def _parsed_line(text: bytes, line: int) -> Record | BadRow:
    """One line, as the standard library reads it: it also takes NaN and Infinity, which are judged later."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError:
        raw = text.decode(errors="backslashreplace").strip()
        return BadRow(line, None, raw, "invalid UTF-8", f"{shown(raw)} is not valid UTF-8")
    raw = decoded.strip()
    try:
        record = json.loads(decoded)
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        problem = f"{shown(raw)} holds half of a surrogate pair, which is not text"
        return BadRow(line, None, raw, "invalid JSON", problem)
    except (ValueError, RecursionError) as error:
        return BadRow(line, None, raw, "invalid JSON", f"{shown(raw)} is not JSON: {error}")
    if not isinstance(record, dict):
        problem = f"a JSON object is expected, not {shown(raw)}"
        return BadRow(line, None, raw, "invalid JSON", problem)
    return record


def id_text(value: object) -> str | None:
    """An id as text, None where it is missing.

    Raises:
        TypeError: it is neither text nor a whole number.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(not_an_id(value))


def not_an_id(value: object) -> str:
    """What to say of an id that is neither text nor a whole number."""
    return f"an id must be text or a whole number, not {shown(value)}; write it as text"


def _as_columns(batch: RecordBatch, ids: Sequence[str], numbers: Sequence[str]) -> Batch:
    columns = {column: [record.get(column) for record in batch.records] for column in (*ids, *numbers)}
    mistyped: dict[int, BadRow] = {}
    for column, values in columns.items():
        allowed = _ID_TYPES if column in ids else _NUMBER_TYPES
        if set(map(type, values)) <= allowed:
            continue
        for row, value in enumerate(values):
            if type(value) not in allowed:
                mistyped.setdefault(row, _mistyped(batch.lines[row], column, value, is_id=column in ids))
    kept = [row for row in range(len(batch.lines)) if row not in mistyped] if mistyped else None
    series = []
    for column, values in columns.items():
        usable = values if kept is None else [values[row] for row in kept]
        series.append(_id_series(column, usable) if column in ids else _number_series(column, usable))
    lines = np.array(batch.lines, dtype=np.int64)
    return Batch(
        pl.DataFrame(series), lines if kept is None else lines[kept], [*batch.bad, *mistyped.values()]
    )


def _mistyped(line: int, column: str, value: object, *, is_id: bool) -> BadRow:
    text = json.dumps(value, ensure_ascii=False)
    if not is_id:
        return BadRow(line, column, text, "wrong type", f"{shown(value)} is neither a number nor text")
    return BadRow(line, column, text, "wrong type", not_an_id(value))


def _id_series(column: str, values: list[object]) -> pl.Series:
    return pl.Series(column, [id_text(value) for value in values], dtype=pl.String)


def _number_series(column: str, values: list[object]) -> pl.Series:
    types = set(map(type, values)) - {type(None)}
    try:
        if types <= {int}:
            return pl.Series(column, values, dtype=pl.Int64)
        if types <= {int, float}:
            return pl.Series(column, values, dtype=pl.Float64)
    except OverflowError:  # an integer that neither holds: its text will be judged
        pass
    return pl.Series(column, [None if value is None else str(value) for value in values], dtype=pl.String)
