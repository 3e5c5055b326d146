"""Filters in a query string: ``genres:Comedy|Romance``, ``year:>=1990``, ``!genres:Horror``.

::

    clause    = ["!"] field ":" condition
    condition = value *("|" value) / (">=" / "<=" / ">" / "<") value / value ".." value

The field ends at the first colon. What the signs stand for cannot be part of a value; JSON says everything.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from models.errors import RequestError
from models.item_filter.clauses import Clause, ItemFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.item_fields import FieldCard, ItemFields

_CLAUSE: Final = re.compile(r"(?P<negated>!?)(?P<field>[^:!][^:]*):(?P<condition>.+)", re.DOTALL)
_COMPARISON: Final = re.compile(r"(?P<sign>[<>]=?)(?P<end>.+)", re.DOTALL)
_ENDS: Final = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}
_BOOLEANS: Final = {"true": True, "false": False}


def parse_filter(texts: Sequence[str], fields: ItemFields) -> ItemFilter:
    """The filter that all of the clauses make together.

    Args:
        texts: one clause each.
        fields: say what kind a clause's values are of.

    Raises:
        RequestError: a text is no clause, names no field, or its values are not of the field's kind.
    """
    clauses: dict[bool, list[Clause]] = {False: [], True: []}
    for text in texts:
        match = _CLAUSE.fullmatch(text)
        if match is None:
            raise RequestError(
                f"filter {text!r} is not of the form field:value, such as genres:Comedy, "
                "genres:Comedy|Romance, year:>=1990, year:1990..1999 or !genres:Horror"
            )
        clause = _clause(match["condition"], fields[match["field"]].card)
        clauses[bool(match["negated"])].append(clause)
    return ItemFilter(must=tuple(clauses[False]), must_not=tuple(clauses[True]))


def _clause(condition: str, card: FieldCard) -> Clause:
    comparison = _COMPARISON.fullmatch(condition)
    if comparison is not None:
        return Clause.model_validate(
            {"field": card.name, _ENDS[comparison["sign"]]: _end(comparison["end"], card)}
        )
    lower, dots, upper = condition.partition("..")
    if dots:
        return Clause(field=card.name, gte=_end(lower, card), lte=_end(upper, card))
    return Clause(field=card.name, any_of=tuple(_value(text, card) for text in condition.split("|")))


def _end(text: str, card: FieldCard) -> float | str:
    if card.kind in ("string", "boolean"):
        raise RequestError(
            f"{card} has no ranges, only numbers and dates have; "
            "a value with .. in it, or < or > before it, can be posted as JSON"
        )
    return _value(text, card)


def _value(text: str, card: FieldCard) -> float | str:
    if card.kind == "boolean":
        if text not in _BOOLEANS:
            raise RequestError(f"{text!r} is neither true nor false, as values of {card} are")
        return _BOOLEANS[text]
    if card.kind == "number":
        number = _number(text)
        if number is None:
            raise RequestError(f"{text!r} is no number, as values of {card} are")
        return number
    return text


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
