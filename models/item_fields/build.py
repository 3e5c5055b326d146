"""From JSON objects to fields, at publication."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from models.ids import IdMap
from models.item_fields.fields import ItemField, ItemFields
from models.item_fields.kinds import DTYPES, FieldCard, Kind, span_of_date

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import JsonValue

_LONGEST_TEXT: Final = 500
"""Characters. Longer texts are for reading; a vocabulary of them would double the metadata."""


@dataclass(slots=True)
class _Member:
    """All values of one member of the objects, each with its item's row."""

    values: list[JsonValue] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    is_list: bool = False

    def add(self, row: int, value: JsonValue) -> None:
        listed: Iterable[JsonValue] = [value]
        if isinstance(value, list):
            listed = value
            self.is_list = True
        for each in listed:
            if each is not None:
                self.values.append(each)
                self.rows.append(row)


class _NotAFieldError(ValueError):
    """Why a member cannot be filtered by."""


def build_fields(items: IdMap, records: Mapping[str, Mapping[str, JsonValue]]) -> ItemFields:
    """The fields of the items' metadata.

    A member whose values are all strings, all numbers, all booleans or all ISO 8601 dates, or lists of one of
    these, becomes a field; any other is left out, with the reason. Null and empty lists are no values.

    Args:
        items: the catalogue; records of other items do not count.
        records: JSON objects by item id. A member `item_id` is not metadata.
    """
    members: dict[str, _Member] = {}
    for row, item_id in enumerate(items):
        for name, value in records.get(item_id, {}).items():
            if name != "item_id":
                members.setdefault(name, _Member()).add(row, value)
    fields: list[ItemField] = []
    unfilterable: dict[str, str] = {}
    for name, member in sorted(members.items()):
        try:
            fields.append(_field(name, member))
        except _NotAFieldError as reason:
            unfilterable[name] = str(reason)
    return ItemFields(fields, unfilterable, n_items=len(items))


def _field(name: str, member: _Member) -> ItemField:
    kind = _kind(member.values)
    vocabulary = None
    if kind == "string":
        vocabulary = IdMap.build(dict.fromkeys(map(str, member.values)))
    values = np.array(_numbers(kind, member.values, vocabulary), dtype=DTYPES[kind])
    rows = np.array(member.rows, dtype=np.int32)
    order = np.lexsort((rows, values))
    values, rows = values[order], rows[order]
    distinct = np.ones(len(rows), dtype=np.bool_)
    distinct[1:] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])
    card = FieldCard(name=name, kind=kind, is_list=member.is_list)
    return ItemField(card=card, values=values[distinct], items=rows[distinct], vocabulary=vocabulary)


def _kind(values: Sequence[JsonValue]) -> Kind:
    types = {type(value) for value in values}
    if not types:
        raise _NotAFieldError("no item has a value")
    if types == {bool}:
        return "boolean"
    if types <= {int, float}:
        if not all(abs(value) < math.inf for value in map(_as_float, values)):
            raise _NotAFieldError("a number of it is beyond float64")
        return "number"
    if types == {str}:
        texts = list(map(str, values))
        if all(span_of_date(text) for text in texts):
            return "date"
        if max(map(len, texts)) > _LONGEST_TEXT:
            raise _NotAFieldError(f"a text of it is longer than {_LONGEST_TEXT} characters")
        return "string"
    if dict in types:
        raise _NotAFieldError("its values are objects")
    if list in types:
        raise _NotAFieldError("its values are lists of lists")
    raise _NotAFieldError("its values are of different types: " + ", ".join(sorted(map(_type_name, types))))


def _as_float(value: JsonValue) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # an int or a float
    except OverflowError:
        return math.inf


def _type_name(of: type) -> str:
    return {bool: "boolean", str: "string"}.get(of, "number")


def _numbers(kind: Kind, values: Sequence[JsonValue], vocabulary: IdMap | None) -> Sequence[float | None]:
    """The numbers that stand for the values."""
    if vocabulary is not None:
        return [vocabulary.get(str(value)) for value in values]
    if kind == "date":
        return [span[0] for value in values if (span := span_of_date(str(value)))]
    return [_as_float(value) for value in values]
