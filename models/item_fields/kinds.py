"""The kinds of values that can be filtered by, and the numbers that stand for them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Kind: TypeAlias = Literal["string", "number", "boolean", "date"]

DTYPES: Final[dict[Kind, type[np.generic]]] = {
    "string": np.int32,
    "number": np.float64,
    "boolean": np.int8,
    "date": np.float64,
}
"""How values are stored: a string's number in the vocabulary, a number, 0 or 1, seconds since the epoch."""

_ISO_8601: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}.*)?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1).total_seconds()


class FieldCard(BaseModel):
    """What a field is called and what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    is_list: bool = Field(description="whether an item may have several values")

    def __str__(self) -> str:
        """For a person: ``genres (list of strings)``."""
        return f"{self.name} (list of {self.kind}s)" if self.is_list else f"{self.name} ({self.kind})"


def span_of_date(text: str) -> tuple[float, float] | None:
    """First and last moment of an ISO 8601 date or datetime; without an offset it is UTC.

    Returns:
        Seconds since the epoch, the same twice for a datetime; None where the text is neither.
    """
    if not _ISO_8601.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    first = (moment - _EPOCH).total_seconds()
    is_day = len(text) == len("1970-01-01")
    return first, math.nextafter(first + _DAY, -math.inf) if is_day else first
