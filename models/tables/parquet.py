"""Parquet, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl

from models.errors import DataError
from models.tables.batch import Batch, RecordBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from models.tables.source import Progress

_BATCH_ROWS: Final = 500_000
_RECORD_BATCH_ROWS: Final = 10_000

_UNREADABLE: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises at a damaged file; some damage makes it panic."""


class ParquetTable:
    """An open Parquet file."""

    position: Literal["row"] = "row"
    typed = True

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._progress = progress
        try:
            self._scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            self._schema = self._scan.collect_schema()
            self._rows = self._scan.select(pl.len()).collect().item()
        except _UNREADABLE as error:
            raise DataError(
                f"{path}: not a Parquet file that can be read ({error}); copy it again, or give the format "
                f"that it is in"
            ) from error
        self.columns = tuple(self._schema.names())

    def batches(
        self, *, ids: Sequence[str], numbers: Sequence[str] = (), times: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """The rows with these columns."""
        for columns, is_right, expected in (
            (ids, _is_id_type, "ids must be text or whole numbers"),
            (numbers, _is_number_type, "values must be numbers"),
            (times, _is_time_type, "timestamps must be numbers, dates or text"),
        ):
            for column in columns:
                self._check_type(column, is_right(self._schema[column]), expected)
        selected = [pl.col(column).cast(pl.String) for column in ids]
        selected += [
            pl.col(column).cast(pl.Float64)
            if isinstance(self._schema[column], pl.Decimal)
            else pl.col(column)
            for column in (*numbers, *times)
        ]
        row = 1
        for frame in self._collected(self._scan.select(selected), _BATCH_ROWS):
            yield Batch(frame, np.arange(row, row + len(frame), dtype=np.int64), [])
            row += len(frame)

    def record_batches(self) -> Iterator[RecordBatch]:
        """The rows with all columns."""
        row = 1
        for frame in self._collected(self._scan, _RECORD_BATCH_ROWS):
            yield RecordBatch(frame.to_dicts(), list(range(row, row + len(frame))), [])
            row += len(frame)

    def _collected(self, scan: pl.LazyFrame, chunk_size: int) -> Iterator[pl.DataFrame]:
        done = 0
        try:
            for frame in scan.collect_batches(chunk_size=chunk_size, maintain_order=True):
                yield frame
                done += len(frame)
                if self._progress is not None:
                    self._progress(done, self._rows)
        except _UNREADABLE as error:
            raise DataError(f"{self._path}: the file is damaged ({error}); copy it again") from error
        if done != self._rows:
            raise DataError(
                f"{self._path}: the file is damaged ({done:,} of {self._rows:,} rows are readable); "
                f"copy it again"
            )

    def _check_type(self, column: str, is_right: bool, expected: str) -> None:
        if not is_right:
            raise DataError(
                f"{self._path}: column {column!r} holds {self._schema[column]}, but {expected}; "
                f"cast it where the file is written"
            )


def _is_id_type(kind: pl.DataType) -> bool:
    return kind.is_integer() or isinstance(kind, (pl.String, pl.Categorical, pl.Enum))


def _is_number_type(kind: pl.DataType) -> bool:
    return kind.is_numeric() or isinstance(kind, pl.String)


def _is_time_type(kind: pl.DataType) -> bool:
    return _is_number_type(kind) or isinstance(kind, (pl.Date, pl.Datetime))
