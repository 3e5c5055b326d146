"""A table of metadata of items, such as titles, years and genres, or of users, by id."""

from __future__ import annotations

import time
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from models.item_members import is_set, members_of, special_columns
from models.tables import BadRow, BadRows, LoadReport, id_text, open_table, require_columns, shown
from models.tables.text_types import convert_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue

    from models.layouts import ItemLayout, Layout
    from models.tables import Progress, Record, RecordBatch


@dataclass(frozen=True, slots=True)
class ItemTable:
    """Metadata of items or users.

    Attributes:
        records: by id, the members of each one's JSON object, the id not among them. What has no value
            is left out: JSON has no NaN and no infinity, and an empty field says nothing.
        report: what reading came to.
    """

    records: dict[str, dict[str, JsonValue]]
    report: LoadReport


def read_items(
    path: Path | str,
    layout: Layout,
    *,
    on_bad_row: Literal["stop", "skip"] = "stop",
    progress: Progress | None = None,
) -> ItemTable:
    """Read a table of item metadata.

    Every column but the id becomes a member, as `models.layouts.ItemLayout` says. In delimited text, columns
    of nothing but numbers become numbers; NDJSON and Parquet keep their types (dates become ISO 8601 text;
    what JSON has no word for, such as bytes, is left out).

    Args:
        path: CSV, TSV, any delimited text, NDJSON or Parquet; text may be compressed with gzip or zstd.
        layout: its `items` say how to read the table.
        on_bad_row: whether rows that cannot be used stop the run or are skipped and reported; among them are
            those with the id of an earlier row.
        progress: called now and then with the bytes read (Parquet: rows) and how many there are.

    Raises:
        DataError: the file cannot be read or lacks a column, bad rows stop the run, or no row is good. The
            message names file, line, column and value.
    """
    return _read(Path(path), layout.items, layout.item_id_column, "item", on_bad_row, progress)


def read_users(
    path: Path | str, layout: Layout, *, on_bad_row: Literal["stop", "skip"] = "stop"
) -> ItemTable:
    """Read a table of user metadata, as `layout.users` says; otherwise like `read_items`."""
    return _read(Path(path), layout.users, layout.user_id_column, "user", on_bad_row, None)


def _read(
    path: Path,
    layout: ItemLayout,
    id_column: str,
    what: Literal["item", "user"],
    on_bad_row: Literal["stop", "skip"],
    progress: Progress | None,
) -> ItemTable:
    started = time.perf_counter()
    table = open_table(path, layout.table, progress)
    special = special_columns(layout)
    require_columns(path, table, [(id_column, f"--{what}-id-column"), *special.items()])
    bad_rows = BadRows(path, table.position, skip=on_bad_row == "skip")
    collector = _Collector(layout, id_column, what)
    for batch in table.record_batches():
        bad = [*batch.bad, *collector.add(batch)]
        bad_rows.add(len(batch.records) + len(batch.bad), sorted(bad, key=attrgetter("line")))
    bad_rows.finish()
    if not table.typed:
        kept_as_text = {id_column, *special}
        columns = [column for column in table.columns if column not in kept_as_text]
        convert_numbers(list(collector.records.values()), columns)
    return ItemTable(
        records={
            identifier: members_of(record, layout, special)
            for identifier, record in collector.records.items()
        },
        report=bad_rows.report(started),
    )


class _Collector:
    """The good records, by id and without it."""

    def __init__(self, layout: ItemLayout, id_column: str, what: Literal["item", "user"]) -> None:
        self.records: dict[str, Record] = {}
        self._lines: dict[str, int] = {}
        self._id_column = id_column
        self._what = what
        self._flag_columns = [column for columns in layout.flags.values() for column in columns]

    def add(self, batch: RecordBatch) -> Iterator[BadRow]:
        """Take the good records of a batch; yields the bad ones."""
        for record, line in zip(batch.records, batch.lines, strict=True):
            bad = self._add(record, line)
            if bad is not None:
                yield bad

    def _add(self, record: Record, line: int) -> BadRow | None:
        column = self._id_column
        try:
            identifier = id_text(record.pop(column, None))
        except TypeError as error:
            return BadRow(line, column, None, "wrong type", str(error))
        if not identifier:
            return BadRow(line, column, identifier, f"missing {self._what} id", "the id is missing")
        if identifier in self.records:
            problem = f"{shown(identifier)} is also the id of line {self._lines[identifier]:,}"
            return BadRow(line, column, identifier, f"repeated {self._what} id", problem)
        for column in self._flag_columns:
            if is_set(record.get(column)) is None:
                text = str(record[column])
                return BadRow(line, column, text, "unparsable flag", f"{shown(text)} is neither 0 nor 1")
        self.records[identifier] = record
        self._lines[identifier] = line
        return None
