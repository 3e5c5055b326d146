"""A column of ratings, counts or weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from models.tables.problems import Problems, UnusableError
from models.tables.report import shown

if TYPE_CHECKING:
    from models.types import Float32Array

_LARGEST: Final = float(np.finfo(np.float32).max)


def parse_values(column: pl.Series) -> tuple[Float32Array, Problems]:
    """The numbers of a column of text or numbers.

    Returns:
        float32, shape ``(len(column),)``, and what is wrong in the rows whose number is missing, not a
        number, or not finite as a float32.
    """
    parsed = column.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    with np.errstate(over="ignore"):  # what overflows is a suspect
        values = parsed.astype(np.float32)
    suspects = np.flatnonzero(~np.isfinite(values))
    problems: Problems = {}
    for row, raw in zip(suspects.tolist(), column.gather(suspects).to_list(), strict=True):
        try:
            values[row] = _parse_value(raw)
        except UnusableError as error:
            problems[row] = error.problem
    return values, problems


def _parse_value(raw: object) -> float:
    if raw is None or raw == "":
        raise UnusableError("missing value", "the value is missing")
    try:
        value = float(str(raw))
    except ValueError:
        value = None
    if value is None or "_" in str(raw):  # Python reads 1_000
        raise UnusableError("unparsable value", f"{shown(raw)} is not a number")
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise UnusableError("infinite value or NaN", f"{shown(raw)} is not finite as a 32-bit float")
    return value
