"""Rows that cannot be used, and what reading a table came to."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from models.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SHOWN: Final = 5
_COUNTED_BEFORE_STOPPING: Final = 100_000  # a wrong column makes every row bad: no need to see them all
_LONGEST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: where the row begins, from 1: the line of a text file, the row of a Parquet file.
        column: the column at fault; None where the row as a whole is.
        value: the text at fault, as it stands in the file; None where there is none.
        reason: what is wrong, one of a small set of words, by which bad rows are counted.
        problem: what is wrong with this value, for a person to read.
    """

    line: int
    column: str | None
    value: str | None
    reason: str
    problem: str


def shown(text: object) -> str:
    """A value quoted for a message, shortened in the middle where it is long."""
    quoted = repr(text)
    half = _LONGEST_SHOWN // 2
    return quoted if len(quoted) <= _LONGEST_SHOWN else f"{quoted[:half]} … {quoted[-half:]}"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What reading a table came to.

    Attributes:
        path: the file.
        rows: rows in it, good and bad, the header and blank lines aside.
        bad_rows: how many were skipped because they cannot be used.
        bad_by_reason: how many for each reason, most frequent first.
        first_bad: the first five.
        merged_duplicates: rows that went into another row of the same user and item.
        unused_columns: columns of the file that were not asked for.
        seconds: how long it took.
    """

    path: str
    rows: int
    bad_rows: int
    bad_by_reason: dict[str, int]
    first_bad: tuple[BadRow, ...]
    merged_duplicates: int
    unused_columns: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class BadRows:
    """The bad rows of a table as they are found, and whether to go on."""

    path: Path
    position: Literal["line", "row"]
    skip: bool
    rows: int = 0
    count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: list[BadRow] = field(default_factory=list)

    def add(self, rows: int, bad: Iterable[BadRow]) -> None:
        """Count rows read, of which these are bad (in the order of the file).

        Raises:
            DataError: bad rows stop the run and there are so many that reading on is pointless.
        """
        self.rows += rows
        for row in bad:
            self.count += 1
            self.reasons[row.reason] += 1
            if len(self.first) < _SHOWN:
                self.first.append(row)
        if not self.skip and self.count >= _COUNTED_BEFORE_STOPPING:
            self._stop(f"{self.count:,} bad rows in the first {self.rows:,}; the rest was not read")

    def finish(self) -> None:
        """Everything is read.

        Raises:
            DataError: there are bad rows and they stop the run, or there is no good row.
        """
        if self.rows == 0:
            raise DataError(f"{self.path}: there is not one row in it, only the names of its columns")
        if self.count and (not self.skip or self.count == self.rows):
            self._stop(f"{self.count:,} of {self.rows:,} rows are bad")

    def report(
        self, started: float, *, merged_duplicates: int = 0, unused_columns: tuple[str, ...] = ()
    ) -> LoadReport:
        """What reading came to, begun at this reading of `time.perf_counter`."""
        return LoadReport(
            path=str(self.path),
            rows=self.rows,
            bad_rows=self.count,
            bad_by_reason=self.by_reason,
            first_bad=tuple(self.first),
            merged_duplicates=merged_duplicates,
            unused_columns=unused_columns,
            seconds=time.perf_counter() - started,
        )

    @property
    def by_reason(self) -> dict[str, int]:
        """How many bad rows for each reason, most frequent first."""
        return dict(self.reasons.most_common())

    def _stop(self, summary: str) -> None:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in self.by_reason.items())
        remedy = (
            "no row is left to use; check the format, the columns and their order"
            if self.skip
            else "correct them, or leave them out with --on-bad-row=skip"
        )
        raise DataError(
            "\n".join(
                [
                    f"{self.path}: {summary} ({reasons}):",
                    *(f"  {self._describe(row)}" for row in self.first),
                    *(["  …"] if self.count > len(self.first) else []),
                    remedy,
                ]
            )
        )

    def _describe(self, row: BadRow) -> str:
        column = "" if row.column is None else f", column {row.column!r}"
        return f"{self.position} {row.line:,}{column}: {row.problem}"
