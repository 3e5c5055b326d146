"""Numbers in columns of text."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from models.tables.batch import Record

_INTEGER: Final = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)  # fewer digits than int64 has
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]\d+)?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


def convert_numbers(records: Sequence[Record], columns: Iterable[str]) -> None:
    """Make numbers, in place, of the columns in which every field that is not empty is one.

    ``007`` is not a number: it would lose its zeros. NaN and infinity are numbers where the others are.
    """
    for column in columns:
        convert = _converter(str(text) for record in records if (text := record[column]) != "")
        if convert is not None:
            for record in records:
                if record[column] != "":
                    record[column] = convert(str(record[column]))


def _converter(texts: Iterable[str]) -> Callable[[str], int | float] | None:
    convert: Callable[[str], int | float] | None = None
    for text in texts:
        if _INTEGER.fullmatch(text):
            convert = convert or int
        elif _NUMBER.fullmatch(text) and math.isfinite(float(text)):
            convert = float
        elif not _NOT_FINITE.fullmatch(text):
            return None
    return convert
