"""A table of interactions, read by a cluster: the same columns, the same bad rows, the same duplicates.

What `models.interactions` says of one file on one machine holds here of whatever Spark reads (a file, a
directory of files, a pattern, an object store), but for this: a bad row is named by its file instead of by
its line; of several rows of one user and item at the same time, or without times, the last is the last in the
file, files taken by name; and text in quotes holds no line ends, so that several executors can read a file.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pyspark.sql import functions as F  # noqa: N812 - what everybody calls it
from pyspark.sql import types as T  # noqa: N812 - likewise

from models.errors import DataError
from models.spelling import did_you_mean
from models.tables import BadRow, BadRows, LoadReport, shown

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, Row

    from models.engines.spark.cluster import Workspace
    from models.interactions import BadRowPolicy, DuplicatePolicy
    from models.layouts import Format, Layout, TableFormat

_BAD: Final = "foldrec__bad"
"""Text of a row that could not be taken apart."""
_SHOWN: Final = 5
_LARGEST: Final = float(np.finfo(np.float32).max)
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_TIME_LIMIT: Final = 10**11
_NUMBER: Final = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_WHOLE: Final = r"^\s*[+-]?\d+\s*$"
_NOT_FINITE: Final = r"(?i)^\s*[+-]?(nan|inf|infinity)\s*$"
_DATE: Final = r"^\s*\d{4}-\d{2}-\d{2}"
_REPLACEMENT: Final = "\ufffd"

_PROBLEMS: Final = {
    "missing user id": "the id is missing",
    "missing item id": "the id is missing",
    "missing value": "the value is missing",
    "missing timestamp": "the timestamp is missing",
    "invalid UTF-8": "{} is not valid UTF-8 (if the file is in latin-1, give that as its encoding)",
    "unparsable value": "{} is not a number",
    "infinite value or NaN": "{} is not finite as a 32-bit float",
    "unparsable timestamp": "{} is neither seconds since 1970 nor an ISO 8601 date",
    "infinite timestamp or NaN": "{} is not a finite timestamp",
    "timestamp out of range": (
        "{} is past the year 5138; if the unit is a finer one, give it (time_unit: ms, us or ns)"
    ),
    "malformed row": "{} has not the fields of the others",
    "invalid JSON": "{} is not a JSON object",
}
"""What to say of a value, by the reason for which it is bad."""


@dataclass(frozen=True, slots=True)
class SparkInteractions:
    """Interactions of users with items; every pair of user and item occurs once.

    Attributes:
        entries: in Parquet: `user` and `item`, text; `value`, float; `time`, long, where the table has times.
        n_entries: how many there are.
        has_values: whether the table has a column of values.
        has_times: whether it has times.
        report: what reading came to.
    """

    entries: DataFrame
    n_entries: int
    has_values: bool
    has_times: bool
    report: LoadReport


def read_interactions(
    workspace: Workspace,
    path: str,
    layout: Layout,
    *,
    duplicates: DuplicatePolicy,
    on_bad_row: BadRowPolicy,
    least: tuple[int, int],
) -> SparkInteractions:
    """Read a table of interactions with all executors.

    Args:
        workspace: the session.
        path: anything that Spark reads: a file, a directory, a pattern, ``s3a://…``.
        layout: the format and the columns.
        duplicates: see `models.interactions.read_interactions`.
        on_bad_row: likewise.
        least: interactions that users and items must have; see `models.dataset.build_dataset`.

    Raises:
        DataError: a column is missing, bad rows stop the run, no row is good, a user has an item twice and
            that is an error, or the thresholds leave nothing.
    """
    started = time.perf_counter()
    kind = layout.table.of(Path(path))
    source = _source(workspace, path, layout.table, kind)
    _require_columns(path, source, layout)
    rows = workspace.read(workspace.write("rows", _judged(source, layout, kind)))
    bad_rows = _bad_rows(path, rows, on_bad_row)
    good = rows.where(F.col("reason").isNull())
    merged = workspace.read(workspace.write("merged", _merged(good, duplicates)))
    n_good = bad_rows.rows - bad_rows.count
    n_merged = merged.count()
    if n_merged < n_good and duplicates == "error":
        raise _duplicate_error(path, merged, n_good)
    _check_sums(path, merged)
    kept = _at_least(workspace, merged.drop("copies"), *least)
    n_kept = kept.count()
    if not n_kept:
        raise DataError(
            f"no interaction of {n_merged:,} is left after --min-user-interactions {least[0]} and "
            f"--min-item-interactions {least[1]}; lower them"
        )
    unused = tuple(column for column in source.columns if column not in {*layout.interaction_columns, _BAD})
    return SparkInteractions(
        kept,
        n_kept,
        has_values=layout.value_column is not None,
        has_times=layout.time_column is not None,
        report=bad_rows.report(started, merged_duplicates=n_good - n_merged, unused_columns=unused),
    )


# Formats


def _source(workspace: Workspace, path: str, table_format: TableFormat, kind: Format) -> DataFrame:
    """The table with its own columns, and `_BAD` where it is text."""
    if kind == "parquet":
        return workspace.spark.read.parquet(path)
    if path.endswith(".zst"):
        raise DataError(f"{path}: Spark reads no zstd here; decompress it, or compress it with gzip")
    reader = workspace.spark.read.option("columnNameOfCorruptRecord", _BAD)
    if kind == "ndjson":
        # As text whatever their type is, so that numbers keep their digits.
        names = workspace.spark.read.json(path, primitivesAsString=True).columns
        return reader.schema(_texts(names)).json(path, mode="PERMISSIVE")
    separator, quoting = table_format.dialect_of(Path(path))
    options = {
        "sep": separator,
        "quote": '"' if quoting else "",
        "escape": '"' if quoting else "",
        "encoding": {"utf-8": "UTF-8", "latin-1": "ISO-8859-1"}[table_format.encoding],
        "header": str(table_format.columns is None),
        "mode": "PERMISSIVE",
        "maxCharsPerColumn": "-1",
    }
    names = list(table_format.columns or workspace.spark.read.options(**options).csv(path).columns)
    names = [name.removeprefix("\ufeff") for name in names]
    if table_format.typed_header:
        names = [name.rsplit(":", 1)[0] for name in names]
    return reader.options(**options).schema(_texts(names)).csv(path)


def _texts(names: list[str]) -> T.StructType:
    return T.StructType([T.StructField(name, T.StringType()) for name in [*names, _BAD]])


def _require_columns(path: str, source: DataFrame, layout: Layout) -> None:
    there = [column for column in source.columns if column != _BAD]
    kinds = {field.name: field.dataType for field in source.schema.fields}
    for column, option, is_right, expected in (
        (layout.user_column, "--user-column", _is_id, "ids must be text or whole numbers"),
        (layout.item_column, "--item-column", _is_id, "ids must be text or whole numbers"),
        (layout.value_column, "--value-column", _is_number, "values must be numbers"),
        (layout.time_column, "--time-column", _is_time, "timestamps must be numbers, dates or text"),
    ):
        if column is None:
            continue
        if column not in there:
            raise DataError(
                f"{path}: there is no column {column!r}{did_you_mean(column, there)}; there are "
                f"{', '.join(map(shown, there))}. Name the right one with {option}; "
                "if the file has no header, give the names of all columns with --columns"
            )
        if not is_right(kinds[column]):
            raise DataError(
                f"{path}: column {column!r} holds {kinds[column].simpleString()}, but {expected}; "
                "cast it where the file is written"
            )


def _is_id(kind: T.DataType) -> bool:
    return isinstance(kind, (T.StringType, T.IntegralType))


def _is_number(kind: T.DataType) -> bool:
    return isinstance(kind, (T.StringType, T.NumericType))


def _is_time(kind: T.DataType) -> bool:
    return _is_number(kind) or isinstance(kind, (T.DateType, T.TimestampType, T.TimestampNTZType))


# Rows


def _judged(source: DataFrame, layout: Layout, kind: Format) -> DataFrame:
    """The rows as `user`, `item`, `value`, `time`, where they stand, and what is wrong with them."""
    kinds = {field.name: field.dataType for field in source.schema.fields}
    is_text = _BAD in kinds
    faults: list[tuple[str | None, Column, Column]] = []  # column, its text, reason or null
    if is_text:
        reason = "invalid JSON" if kind == "ndjson" else "malformed row"
        faults.append((None, F.col(_BAD), F.when(F.col(_BAD).isNotNull(), reason)))
    columns: list[Column] = []
    for role, name in (("user", layout.user_column), ("item", layout.item_column)):
        text = _column(name).cast("string")
        reason = F.when(text.isNull() | (text == ""), f"missing {role} id")
        if is_text and layout.table.encoding == "utf-8":
            reason = reason.when(text.contains(_REPLACEMENT), "invalid UTF-8")
        faults.append((name, text, reason))
        columns.append(text.alias(role))
    value = F.lit(1.0)
    if layout.value_column is not None:
        value, reason = _value(_column(layout.value_column), kinds[layout.value_column])
        faults.append((layout.value_column, _column(layout.value_column).cast("string"), reason))
    columns.append(value.cast("double").alias("value"))
    if layout.time_column is not None:
        per_second = _PER_SECOND[layout.time_unit]
        moment, reason = _seconds(_column(layout.time_column), kinds[layout.time_column], per_second)
        faults.append((layout.time_column, _column(layout.time_column).cast("string"), reason))
        columns.append(moment.cast("long").alias("time"))
    first_fault = F.coalesce(
        *(
            F.when(
                reason.isNotNull(),
                F.struct(reason.alias("reason"), F.lit(name).alias("column"), text.alias("text")),
            )
            for name, text, reason in faults
        )
    )
    place = F.struct(
        F.col("_metadata.file_path").alias("file"),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("row"),
    )
    judged = source.select(*columns, place.alias("place"), first_fault.alias("fault"))
    return judged.select("*", F.col("fault.reason").alias("reason"))


def _column(name: str) -> Column:
    return F.col(f"`{name.replace('`', '``')}`")


def _value(raw: Column, kind: T.DataType) -> tuple[Column, Column]:
    """The value as a double, and why it is none."""
    text = raw.cast("string")
    number = raw.try_cast("double")
    reason = F.when(text.isNull() | (text == ""), "missing value")
    if isinstance(kind, T.StringType):
        readable = text.rlike(_NUMBER) | text.rlike(_NOT_FINITE)
        reason = reason.when(~readable, "unparsable value").when(
            text.rlike(_NOT_FINITE), "infinite value or NaN"
        )
    reason = reason.when(F.isnan(number) | (F.abs(number) > _LARGEST), "infinite value or NaN")
    return number, reason


def _seconds(raw: Column, kind: T.DataType, per_second: int) -> tuple[Column, Column]:
    """Seconds since the epoch, rounded down, and why there are none."""
    text = raw.cast("string")
    missing = F.when(text.isNull() | (text == ""), "missing timestamp")
    if isinstance(kind, (T.DateType, T.TimestampType, T.TimestampNTZType)):
        return F.unix_seconds(raw.cast("timestamp")), missing
    whole, number = raw.try_cast("long"), raw.try_cast("double")
    whole_seconds = ((whole - F.pmod(whole, F.lit(per_second))) / per_second).cast("long")
    seconds = F.coalesce(
        F.when(text.rlike(_WHOLE), whole_seconds),
        F.when(text.rlike(_NUMBER), F.floor(number / per_second)),
        F.when(text.rlike(_DATE), F.unix_seconds(F.trim(text).try_cast("timestamp"))),
    )
    reason = (
        missing.when(text.rlike(_NOT_FINITE), "infinite timestamp or NaN")
        .when(seconds.isNull(), "unparsable timestamp")
        .when(F.abs(seconds) >= _TIME_LIMIT, "timestamp out of range")
    )
    return seconds, reason


def _bad_rows(path: str, rows: DataFrame, on_bad_row: BadRowPolicy) -> BadRows:
    """How many rows there are and which are bad.

    Raises:
        DataError: bad rows stop the run, or no row is good.
    """
    counts = {row["reason"]: row["count"] for row in rows.groupBy("reason").count().collect()}
    found = BadRows(Path(path), "row", skip=on_bad_row == "skip", rows=sum(counts.values()))
    counts.pop(None, None)
    found.count = sum(counts.values())
    found.reasons = Counter(counts)
    if counts:
        bad = rows.where(F.col("reason").isNotNull()).orderBy("place").limit(_SHOWN).collect()
        found.first = [_bad_row(row["fault"], row["place"]) for row in bad]
    found.finish()
    return found


# Pairs


def _merged(rows: DataFrame, duplicates: DuplicatePolicy) -> DataFrame:
    """One row for each user and item, and how many it was made of."""
    has_times = "time" in rows.columns
    latest = F.struct("time", "place") if has_times else F.col("place")
    value = {
        "sum": F.sum("value"),
        "max": F.max("value"),
        "last": F.max_by("value", latest),
        "error": F.max("value"),
    }[duplicates]
    times = [F.max("time").alias("time")] if has_times else []
    return rows.groupBy("user", "item").agg(
        value.cast("float").alias("value"), *times, F.count(F.lit(1)).alias("copies")
    )


def _duplicate_error(path: str, merged: DataFrame, n_rows: int) -> DataError:
    repeated = merged.where(F.col("copies") > 1)
    n_repeats = repeated.agg(F.sum(F.col("copies") - 1)).first()[0]
    examples = [
        f"  user {shown(row['user'])}, item {shown(row['item'])}: {row['copies']:,} rows"
        for row in repeated.orderBy("user", "item").limit(_SHOWN).collect()
    ]
    return DataError(
        "\n".join(
            [
                f"{path}: {n_repeats:,} of {n_rows:,} rows repeat a user and item:",
                *examples,
                "leave them out, or say with --duplicates what becomes of them: sum, max or last",
            ]
        )
    )


def _check_sums(path: str, merged: DataFrame) -> None:
    overflown = merged.where(F.abs("value") == float("inf")).first()
    if overflown is not None:
        raise DataError(
            f"{path}: the values of user {shown(overflown['user'])} and item {shown(overflown['item'])} "
            "sum up to more than a 32-bit float holds; scale the values down, or merge duplicates "
            "with max or last"
        )


def _at_least(workspace: Workspace, entries: DataFrame, users: int, items: int) -> DataFrame:
    """The entries of users and items that have as many of each other, in turn until both hold."""
    n_before = -1
    n_rounds = 0
    while (users > 1 or items > 1) and n_before != (n_before := entries.count()):
        for column, least in (("user", users), ("item", items)):
            enough = entries.groupBy(column).count().where(F.col("count") >= least).select(column)
            entries = entries.join(enough, column, "left_semi")
        n_rounds += 1
        entries = workspace.read(workspace.write(f"kept-{n_rounds}", entries))
    return entries


def _bad_row(fault: Row, place: Row) -> BadRow:
    problem = _PROBLEMS[fault["reason"]].format(shown(fault["text"]))
    return BadRow(None, fault["column"], fault["text"], fault["reason"], f"{problem} (in {place['file']})")
