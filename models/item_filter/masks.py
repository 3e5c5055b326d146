"""From filters to the items that they let through, remembered."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from models.errors import RequestError
from models.index.base import Eligible
from models.item_fields.kinds import span_of_date

if TYPE_CHECKING:
    from models.item_fields import FieldCard, Intervals, ItemField, ItemFields
    from models.item_filter.clauses import Bound, Clause, ItemFilter, Value
    from models.types import BoolArray

MAX_CLAUSES: Final = 64
MAX_VALUES: Final = 1_000
"""Clauses and values of one filter, so that the first request with it is answered at once, too."""
_CACHE_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Condition:
    """A clause in terms of stored values."""

    field: str
    intervals: Intervals


@dataclass(frozen=True, slots=True)
class _Conditions:
    """A filter in terms of stored values: equal ones let the same items through."""

    must: frozenset[_Condition]
    must_not: frozenset[_Condition]


class FilterMasks:
    """What each filter lets through, the most recently used ones remembered. Many threads may ask at once.

    Args:
        fields: of the catalogue.
        cache_bytes: that remembered answers may take; the least recently used goes first.
    """

    def __init__(self, fields: ItemFields, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self.fields = fields
        self._free = cache_bytes
        self._remembered: OrderedDict[_Conditions, Eligible] = OrderedDict()
        self._lock = Lock()

    def eligible(self, item_filter: ItemFilter) -> Eligible:
        """The items that pass.

        Raises:
            RequestError: a field is unknown, a value or range does not suit its kind, or the filter is too
                long.
        """
        conditions = self._conditions(item_filter)
        with self._lock:
            known = self._remembered.get(conditions)
            if known is not None:
                self._remembered.move_to_end(conditions)
                return known
        eligible = Eligible.where(self._mask(conditions))
        with self._lock:
            if conditions not in self._remembered:
                self._remembered[conditions] = eligible
                self._free -= eligible.nbytes
            while self._free < 0:
                _, forgotten = self._remembered.popitem(last=False)
                self._free += forgotten.nbytes
        return eligible

    def _conditions(self, item_filter: ItemFilter) -> _Conditions:
        clauses = (*item_filter.must, *item_filter.must_not)
        values = sum(len(clause.any_of) for clause in clauses)
        if len(clauses) > MAX_CLAUSES or values > MAX_VALUES:
            raise RequestError(
                f"a filter of {len(clauses)} clauses with {values:,} values is too long; "
                f"send at most {MAX_CLAUSES} clauses and {MAX_VALUES:,} values"
            )
        return _Conditions(
            must=frozenset(map(self._condition, item_filter.must)),
            must_not=frozenset(map(self._condition, item_filter.must_not)),
        )

    def _condition(self, clause: Clause) -> _Condition:
        return _Condition(clause.field, _intervals(clause, self.fields[clause.field]))

    def _mask(self, conditions: _Conditions) -> BoolArray:
        passing = np.ones(self.fields.n_items, dtype=np.bool_)
        for condition in conditions.must:
            fulfilling = np.zeros_like(passing)
            for rows in self.fields[condition.field].rows(condition.intervals):
                fulfilling[rows] = True
            passing &= fulfilling
        for condition in conditions.must_not:
            for rows in self.fields[condition.field].rows(condition.intervals):
                passing[rows] = False
        return passing


def _intervals(clause: Clause, field: ItemField) -> Intervals:
    if clause.any_of:
        found = {_values(value, field) for value in clause.any_of}
        return tuple(sorted(values for values in found if values is not None))
    first, last = -math.inf, math.inf
    if clause.gte is not None:
        first, _ = _ends(clause.gte, field.card)
    elif clause.gt is not None:
        first = math.nextafter(_ends(clause.gt, field.card)[1], math.inf)
    if clause.lte is not None:
        _, last = _ends(clause.lte, field.card)
    elif clause.lt is not None:
        last = math.nextafter(_ends(clause.lt, field.card)[0], -math.inf)
    return ((first, last),)


def _values(value: Value, field: ItemField) -> tuple[float, float] | None:
    """The stored values that equal one; None if there can be none."""
    match field.card.kind, value:
        case "string", str() if field.vocabulary is not None:
            code = field.vocabulary.get(value)
            return None if code is None else (code, code)
        case ("boolean", bool() as stored) | ("number", float() as stored):
            return (stored, stored)
        case "date", str():
            return _span(value, field.card)
        case _:
            raise _unsuitable(value, field.card)


def _ends(bound: Bound, card: FieldCard) -> tuple[float, float]:
    """First and last stored value that a bound stands for."""
    match card.kind, bound:
        case "number", float():
            return bound, bound
        case "date", str():
            return _span(bound, card)
        case "number" | "date", _:
            raise _unsuitable(bound, card)
        case _:
            raise RequestError(f"{card} has no ranges, only numbers and dates have; use any_of")


def _span(text: str, card: FieldCard) -> tuple[float, float]:
    span = span_of_date(text)
    if span is None:
        raise _unsuitable(text, card)
    return span


def _unsuitable(value: Value, card: FieldCard) -> RequestError:
    wanted = {"date": "ISO 8601 dates, such as 1990-01-31"}.get(card.kind, f"{card.kind}s")
    return RequestError(f"{value!r} does not suit the field {card}; its values are {wanted}")
