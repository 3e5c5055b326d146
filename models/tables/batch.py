"""What a reader hands out: some rows in file order, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from models.tables.report import BadRow, Position
    from models.types import PointerArray

Record: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows whose form is right, as columns.

    Attributes:
        frame: the columns that were asked for; ids are text, numbers and times as the file has them:
            text, numbers or (times, in Parquet) dates.
        lines: int64, shape ``(len(frame),)``: where each row begins in the file, from 1.
        bad: the rows between them whose form is wrong.
    """

    frame: pl.DataFrame
    lines: PointerArray
    bad: list[BadRow]


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Rows whose form is right, as records.

    Attributes:
        records: all columns of each row.
        lines: where each row begins in the file, from 1.
        bad: the rows between them whose form is wrong.
    """

    records: list[Record]
    lines: list[int]
    bad: list[BadRow]


class Table(Protocol):
    """An open table."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Its columns (of NDJSON: the keys found in its first block)."""

    @property
    def position(self) -> Position:
        """What `lines` count."""

    @property
    def typed(self) -> bool:
        """Whether the file itself tells numbers from text."""

    def batches(
        self, *, ids: Sequence[str], numbers: Sequence[str] = (), times: Sequence[str] = ()
    ) -> Iterator[Batch]:
        """The rows with these columns, once."""

    def record_batches(self) -> Iterator[RecordBatch]:
        """The rows with all columns, once."""
