"""Numbers in columns of text."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from models.tables.batch import Record

_INTEGER: Final = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)  # more digits are rather a code
_FLOAT: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+([eE][+-]?\d+)?|[eE][+-]\d+)", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)


def convert_numbers(records: Sequence[Record], columns: Iterable[str]) -> None:
    """Make numbers, in place, of the columns in which every field that is not empty is one.

    ``007`` is not a number, for it would lose its zeros. Beside numbers, NaN and infinity become None.
    """
    for column in columns:
        convert = _converter(str(record[column]) for record in records)
        if convert is not None:
            for record in records:
                text = str(record[column])
                record[column] = None if _says_nothing(text) else convert(text)


def _converter(texts: Iterable[str]) -> Callable[[str], int | float] | None:
    convert: Callable[[str], int | float] | None = None
    for text in texts:
        if _INTEGER.fullmatch(text):
            convert = convert or int
        elif _FLOAT.fullmatch(text) and math.isfinite(float(text)):
            convert = float
        elif not _says_nothing(text):
            return None
    return convert


def _says_nothing(text: str) -> bool:
    return not text or _NOT_FINITE.fullmatch(text) is not None
