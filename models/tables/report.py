"""Rows that cannot be used, and what reading a table came to."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from models.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

Position: TypeAlias = Literal["line", "row"]
"""What rows are counted in: lines of a text file, rows of a Parquet file."""

_SHOWN: Final = 5
_COUNTED_BEFORE_STOPPING: Final = 100_000  # a wrong column makes every row bad: no need to see them all
_LONGEST_SHOWN: Final = 80


def shown(text: object) -> str:
    """A value quoted for a message, shortened in the middle where it is long."""
    quoted = repr(text)
    half = _LONGEST_SHOWN // 2
    return quoted if len(quoted) <= _LONGEST_SHOWN else f"{quoted[:half]} … {quoted[-half:]}"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: where the row begins, from 1: the line of a text file, the row of a Parquet file; None where
            that is not known.
        column: the column at fault; None where the row as a whole is.
        value: the text at fault, as it stands in the file; None where there is none.
        reason: what is wrong, one of a small set of words, by which bad rows are counted.
        problem: what is wrong with this value, for a person to read.
    """

    line: int | None
    column: str | None
    value: str | None
    reason: str
    problem: str

    def describe(self, position: Position) -> str:
        """Where it is and what is wrong, `position` being what `line` counts."""
        places = [] if self.line is None else [f"{position} {self.line:,}"]
        places += [] if self.column is None else [f"column {self.column!r}"]
        return ": ".join([*([", ".join(places)] if places else []), self.problem])


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What reading a table came to.

    Attributes:
        path: the file.
        position: what the lines of bad rows count.
        rows: rows in it, good and bad, the header and blank lines aside.
        bad_rows: how many were skipped because they cannot be used.
        bad_by_reason: how many for each reason, most frequent first.
        first_bad: the first five.
        merged_duplicates: rows that went into another row of the same user and item.
        unused_columns: columns of the file that were not asked for.
        seconds: how long it took.
    """

    path: str
    position: Position
    rows: int
    bad_rows: int
    bad_by_reason: dict[str, int]
    first_bad: tuple[BadRow, ...]
    merged_duplicates: int
    unused_columns: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """A few lines for a person: how much, how fast, and everything that was not taken as it stands."""
        rate = self.rows / max(self.seconds, 1e-9)
        lines = [f"{self.path}: {self.rows:,} rows in {self.seconds:.1f} s ({rate:,.0f} rows/s)"]
        if self.merged_duplicates:
            lines.append(f"  {self.merged_duplicates:,} merged into another of the same user and item")
        if self.unused_columns:
            lines.append(f"  columns not used: {', '.join(self.unused_columns)}")
        if self.bad_rows:
            lines.append(f"  {self.bad_rows:,} bad rows skipped ({_counts(self.bad_by_reason)}):")
            lines += _listed(self.first_bad, self.position, self.bad_rows)
        return "\n".join(lines)


@dataclass(slots=True)
class BadRows:
    """The bad rows of a table as they are found, and whether to go on."""

    path: Path
    position: Position
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
            position=self.position,
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
        remedy = (
            "no row is left to use; check the format, the columns and their order"
            if self.skip
            else "correct them, or leave them out with --on-bad-row=skip"
        )
        lines = [f"{self.path}: {summary} ({_counts(self.by_reason)}):"]
        lines += _listed(self.first, self.position, self.count)
        raise DataError("\n".join([*lines, remedy]))


def _counts(by_reason: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {count:,}" for reason, count in by_reason.items())


def _listed(first: Sequence[BadRow], position: Position, count: int) -> list[str]:
    return [f"  {row.describe(position)}" for row in first] + ["  …"] * (count > len(first))
