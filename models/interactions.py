"""A table of interactions: who did what, read from a file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from models.duplicates import Entries, find_repeats, has_duplicates, merge_duplicates
from models.errors import DataError
from models.id_coder import IdCoder
from models.tables import BadRow, BadRows, open_table, require_columns, shown
from models.tables.lines import LineIndex
from models.tables.timestamps import parse_timestamps
from models.tables.values import parse_values

if TYPE_CHECKING:
    import polars as pl

    from models.layouts import Layout
    from models.tables import Batch, LoadReport, Progress, Table
    from models.tables.problems import Problems
    from models.types import Float32Array, PointerArray, RowArray

DuplicatePolicy: TypeAlias = Literal["sum", "max", "last", "error"]
BadRowPolicy: TypeAlias = Literal["stop", "skip"]

_DUPLICATES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Interactions:
    """Interactions of users with items; every pair of user and item occurs once.

    Attributes:
        user_ids: the distinct users, in the order of their first good row.
        item_ids: the distinct items, likewise.
        users: int32, shape ``(n,)``: positions in `user_ids`.
        items: int32, shape ``(n,)``: positions in `item_ids`.
        values: float32, shape ``(n,)``; where the table has no values, 1 (summed: how often the pair occurs).
        timestamps: int64 seconds since the epoch (UTC), shape ``(n,)``; None where the table has none.
        has_values: whether the table has a column of values.
        report: what reading came to.
    """

    user_ids: list[str]
    item_ids: list[str]
    users: RowArray
    items: RowArray
    values: Float32Array
    timestamps: PointerArray | None
    has_values: bool
    report: LoadReport


def read_interactions(
    path: Path | str,
    layout: Layout,
    *,
    duplicates: DuplicatePolicy = "last",
    on_bad_row: BadRowPolicy = "stop",
    progress: Progress | None = None,
) -> Interactions:
    """Read a table of interactions in one pass.

    Ids are text and stay as they are: no folding, no trimming, ``007`` is not ``7``. Whole numbers in NDJSON
    and Parquet become their decimal digits. An empty id is a missing one.

    Args:
        path: CSV, TSV, any delimited text, NDJSON or Parquet; text may be compressed with gzip or zstd.
        layout: the format and the columns.
        duplicates: what becomes of several rows of one user and item: the sum of their values, the largest,
            that of the last (by timestamp, then by position), or an error. A merged row has the latest
            timestamp.
        on_bad_row: whether rows that cannot be used stop the run or are skipped and reported.
        progress: called now and then with the bytes read (Parquet: rows) and how many there are.

    Raises:
        DataError: the file cannot be read or lacks a column, bad rows stop the run, no row is good, or a user
            has an item twice and that is an error. The message names file, line, column and value.
    """
    started = time.perf_counter()
    path = Path(path)
    table = open_table(path, layout.table, progress)
    require_columns(
        path,
        table,
        [
            (layout.user_column, "--user-column"),
            (layout.item_column, "--item-column"),
            *([] if layout.value_column is None else [(layout.value_column, "--value-column")]),
            *([] if layout.time_column is None else [(layout.time_column, "--time-column")]),
        ],
    )
    bad_rows = BadRows(path, table.position, skip=on_bad_row == "skip")
    lines = LineIndex(table.position)
    users, items = IdCoder(), IdCoder()
    entries = _read_entries(table, layout, bad_rows, lines, users, items)
    n_read = len(entries.users)
    user_ids, item_ids = users.ids(), items.ids()
    if has_duplicates(entries, len(item_ids)):
        if duplicates == "error":
            raise _duplicate_error(path, entries, lines, user_ids, item_ids)
        entries = merge_duplicates(entries, len(item_ids), duplicates)
        _check_sums(path, entries, user_ids, item_ids)
    return Interactions(
        user_ids=user_ids,
        item_ids=item_ids,
        users=entries.users,
        items=entries.items,
        values=entries.values,
        timestamps=entries.timestamps,
        has_values=layout.value_column is not None,
        report=bad_rows.report(
            started,
            merged_duplicates=n_read - len(entries.users),
            unused_columns=tuple(
                column for column in table.columns if column not in layout.interaction_columns
            ),
        ),
    )


def _read_entries(
    table: Table, layout: Layout, bad_rows: BadRows, lines: LineIndex, users: IdCoder, items: IdCoder
) -> Entries:
    """All good rows of a table, in file order, their ids coded."""
    parts: list[Entries] = []
    for batch in table.batches(
        ids=(layout.user_column, layout.item_column),
        numbers=() if layout.value_column is None else (layout.value_column,),
        times=() if layout.time_column is None else (layout.time_column,),
    ):
        rows, bad = _parse(batch, layout)
        bad_rows.add(len(batch.lines) + len(batch.bad), bad)
        lines.append(rows.lines)
        parts.append(
            Entries(users.encode(rows.users), items.encode(rows.items), rows.values, rows.timestamps)
        )
    bad_rows.finish()
    return Entries(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.values for part in parts]),
        None
        if layout.time_column is None
        else np.concatenate([part.timestamps for part in parts if part.timestamps is not None]),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Parsed rows, all of them good, and where they stand."""

    users: pl.Series
    items: pl.Series
    values: Float32Array
    timestamps: PointerArray | None
    lines: PointerArray


def _parse(batch: Batch, layout: Layout) -> tuple[_Rows, list[BadRow]]:
    """The good rows of a batch, and all its bad ones by line."""
    frame, lines = batch.frame, batch.lines
    faults: list[tuple[str, Problems]] = []
    for role, column in (("user", layout.user_column), ("item", layout.item_column)):
        faults.append((column, _missing_ids(frame[column], role)))
    values = np.ones(len(frame), dtype=np.float32)
    if layout.value_column is not None:
        values, problems = parse_values(frame[layout.value_column])
        faults.append((layout.value_column, problems))
    timestamps = None
    if layout.time_column is not None:
        timestamps, problems = parse_timestamps(frame[layout.time_column], layout.time_unit)
        faults.append((layout.time_column, problems))
    users, items = frame[layout.user_column], frame[layout.item_column]
    bad_of_row: dict[int, BadRow] = {}
    for column, problems in faults:
        for row, (reason, problem) in problems.items():
            raw = frame[column][row]
            bad = BadRow(int(lines[row]), column, None if raw is None else str(raw), reason, problem)
            bad_of_row.setdefault(row, bad)
    if bad_of_row:
        good = np.ones(len(frame), dtype=bool)
        good[list(bad_of_row)] = False
        users, items, values, lines = users.filter(good), items.filter(good), values[good], lines[good]
        timestamps = None if timestamps is None else timestamps[good]
    bad_rows = sorted([*batch.bad, *bad_of_row.values()], key=attrgetter("line"))
    return _Rows(users, items, values, timestamps, lines), bad_rows


def _missing_ids(ids: pl.Series, role: str) -> Problems:
    missing = ids.is_null() | (ids == "")
    return dict.fromkeys(missing.arg_true().to_list(), (f"missing {role} id", "the id is missing"))


def _duplicate_error(
    path: Path, entries: Entries, lines: LineIndex, user_ids: list[str], item_ids: list[str]
) -> DataError:
    repeats = find_repeats(entries, len(item_ids))
    shown_repeats = [
        f"  user {shown(user_ids[entries.users[row]])}, item {shown(item_ids[entries.items[row]])}: "
        f"{lines.position} {lines.line_of(row):,} repeats {lines.position} {lines.line_of(original):,}"
        for row, original in repeats[:_DUPLICATES_SHOWN].tolist()
    ]
    return DataError(
        "\n".join(
            [
                f"{path}: {len(repeats):,} of {len(entries.users):,} rows repeat a user and item:",
                *shown_repeats,
                *(["  …"] if len(repeats) > _DUPLICATES_SHOWN else []),
                "leave them out, or say with --duplicates what becomes of them: sum, max or last",
            ]
        )
    )


def _check_sums(path: Path, entries: Entries, user_ids: list[str], item_ids: list[str]) -> None:
    overflown = np.flatnonzero(~np.isfinite(entries.values))
    if len(overflown):
        row = overflown[0]
        raise DataError(
            f"{path}: the values of user {shown(user_ids[entries.users[row]])} and item "
            f"{shown(item_ids[entries.items[row]])} sum up to more than a 32-bit float holds; scale the "
            f"values down, or merge duplicates with max or last"
        )
