"""Tables in files, whatever the format, a batch of rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.errors import DataError
from models.spelling import did_you_mean
from models.tables import delimited, ndjson
from models.tables.batch import Batch, Record, RecordBatch, Table
from models.tables.delimited import DelimitedTable
from models.tables.ndjson import NdjsonTable, id_text
from models.tables.parquet import ParquetTable
from models.tables.report import BadRow, BadRows, LoadReport, shown
from models.tables.source import Progress, check_file, read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from models.layouts import TableFormat

__all__ = [
    "BadRow",
    "BadRows",
    "Batch",
    "LoadReport",
    "Progress",
    "Record",
    "RecordBatch",
    "Table",
    "id_text",
    "open_table",
    "require_columns",
    "shown",
]

_LISTED_COLUMNS: Final = 40


def open_table(path: Path, table_format: TableFormat, progress: Progress | None = None) -> Table:
    """Open a file as a table, once.

    Args:
        path: the file, plain or (text) compressed with gzip or zstd.
        table_format: how it is written.
        progress: called as the file is read.

    Raises:
        DataError: the file cannot be read, is empty, or has no usable header.
    """
    check_file(path)
    match table_format.of(path):
        case "parquet":
            return ParquetTable(path, progress)
        case "ndjson":
            return NdjsonTable(path, read_blocks(path, ndjson.BLOCK_BYTES, progress))
        case _:
            blocks = read_blocks(path, delimited.BLOCK_BYTES, progress)
            return DelimitedTable(path, table_format, blocks)


def require_columns(path: Path, table: Table, wanted: Iterable[tuple[str, str]]) -> None:
    """Check that the table has these columns, each once.

    Args:
        path: the file, for messages.
        table: the open table.
        wanted: pairs of a column and the option that names it.

    Raises:
        DataError: a column is missing or there twice.
    """
    if isinstance(table, NdjsonTable) and not table.columns:
        return  # not one line could be read: the bad rows will say why
    for column, option in wanted:
        count = table.columns.count(column)
        if count == 1:
            continue
        if count:
            raise DataError(f"{path}: there are {count} columns {column!r}; rename one of them in the file")
        there = ", ".join(map(shown, table.columns[:_LISTED_COLUMNS]))
        more = ", …" if len(table.columns) > _LISTED_COLUMNS else ""
        hint = (
            " (a single column: if the separator is another one, give it with --separator)"
            if len(table.columns) == 1 and isinstance(table, DelimitedTable)
            else ""
        )
        raise DataError(
            f"{path}: there is no column {column!r}{did_you_mean(column, table.columns)}; there are "
            f"{there}{more}{hint}. Name the right one with {option}; "
            f"if the file has no header, give the names of all columns with --columns, or --item-columns"
        )
