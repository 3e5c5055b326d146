"""A column of timestamps: numbers since the epoch, or ISO 8601.

The unit of numbers is told, never guessed: a file in milliseconds whose oldest rows are from 1973 would be
read in two units. But 10¹¹ seconds is the year 5138, so a number that large is refused with the hint that its
unit is a finer one. Dates without a zone are UTC. Fractions of a second are rounded down.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl

from models.tables.problems import Problems, UnusableError
from models.tables.report import shown

if TYPE_CHECKING:
    from models.types import PointerArray

_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SECONDS_PER_DAY: Final = 86_400
_LIMIT: Final = 10**11

_DATE: Final = r"^\d{4}-\d{2}-\d{2}"
_TIME: Final = r"[T ]\d{2}:\d{2}:\d{2}(\.\d+)?"
_ISO_SHAPES: Final = (
    (rf"{_DATE}$", "%Y-%m-%d"),
    (rf"{_DATE}{_TIME}$", "%Y-%m-%d %H:%M:%S%.f"),
    (rf"{_DATE}{_TIME}(Z|[+-]\d{{2}}:?\d{{2}})$", "%Y-%m-%d %H:%M:%S%.f%#z"),
)
"""The shapes that polars parses; the standard library parses what is left."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_timestamps(
    column: pl.Series, unit: Literal["s", "ms", "us", "ns"]
) -> tuple[PointerArray, Problems]:
    """The seconds since the epoch of a column of text, numbers or dates.

    Args:
        column: timestamps.
        unit: of those that are numbers.

    Returns:
        int64, shape ``(len(column),)``, and what is wrong in the rows whose timestamp is missing, neither a
        number nor ISO 8601, or out of range.
    """
    if column.dtype.is_temporal():
        seconds = _from_calendar(column)
    else:
        seconds = _from_numbers(column, _PER_SECOND[unit])
        if column.dtype == pl.String and seconds.null_count():
            seconds = seconds.zip_with(seconds.is_not_null(), _from_iso(column))
    suspects = np.flatnonzero(seconds.is_null().to_numpy())
    result = seconds.fill_null(0).to_numpy().copy()
    problems: Problems = {}
    for row, raw in zip(suspects.tolist(), column.gather(suspects).to_list(), strict=True):
        try:
            result[row] = _parse_timestamp(raw, unit)
        except UnusableError as error:
            problems[row] = error.problem
    return result, problems


def _from_calendar(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Date:
        return column.to_physical().cast(pl.Int64) * _SECONDS_PER_DAY
    assert isinstance(column.dtype, pl.Datetime)  # noqa: S101 - the readers let nothing else through
    return column.to_physical() // _PER_SECOND[column.dtype.time_unit]


def _from_numbers(column: pl.Series, per_second: int) -> pl.Series:
    """Seconds, null where there is no number or it is out of range."""
    if column.dtype.is_float():
        seconds = _floored(column.cast(pl.Float64), per_second)
    else:
        seconds = column.cast(pl.Int64, strict=False) // per_second
        if column.dtype == pl.String and seconds.null_count():
            floats = _floored(column.cast(pl.Float64, strict=False), per_second)
            seconds = seconds.zip_with(seconds.is_not_null(), floats)
    return seconds.set(seconds.abs() >= _LIMIT, None)


def _floored(numbers: pl.Series, per_second: int) -> pl.Series:
    return (numbers / per_second).floor().cast(pl.Int64, strict=False)


def _from_iso(column: pl.Series) -> pl.Series:
    """Seconds, null where the text has none of the usual shapes of ISO 8601."""
    text = pl.col(column.name)
    spaced = text.str.replace("T", " ", literal=True)
    return (
        column.to_frame()
        .select(
            pl.coalesce(
                pl.when(text.str.contains(shape)).then(
                    spaced.str.to_datetime(
                        template, time_unit="us", strict=False, time_zone="UTC" if "z" in template else None
                    )
                    .to_physical()
                    .floordiv(_PER_SECOND["us"])
                )
                for shape, template in _ISO_SHAPES
            ).cast(pl.Int64)
        )
        .to_series()
    )


def _parse_timestamp(raw: object, unit: str) -> int:
    if raw is None or raw == "":
        raise UnusableError("missing timestamp", "the timestamp is missing")
    text = str(raw).strip()
    number = _number(text)
    if number is not None:
        if not math.isfinite(number):
            raise UnusableError("infinite timestamp or NaN", f"{shown(raw)} is not a finite timestamp")
        seconds = math.floor(number / _PER_SECOND[unit])
        if abs(seconds) >= _LIMIT:
            raise UnusableError(
                "timestamp out of range",
                f"{shown(raw)} in the unit {unit!r} is past the year 5138; if the unit is a finer one, "
                f"give it (time_unit: ms, us or ns)",
            )
        return seconds
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnusableError(
            "unparsable timestamp", f"{shown(raw)} is neither seconds since 1970 nor an ISO 8601 date"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1)


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
