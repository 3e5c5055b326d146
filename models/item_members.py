"""The JSON object of one item, from a row of a table."""

from __future__ import annotations

import math
import re
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container

    from pydantic import JsonValue

    from models.layouts import ItemLayout
    from models.tables import Record

_TITLE_WITH_YEAR: Final = re.compile(r"(.*\S)\s*\((\d{4})\)\s*", re.ASCII | re.DOTALL)


def special_columns(layout: ItemLayout) -> dict[str, str]:
    """The columns that do not simply become members, and the option or layout field that names each."""
    named = [(layout.title_column, "--title-column"), (layout.year_column, "items.year_column")]
    flags = [column for columns in layout.flags.values() for column in columns]
    return {
        **{column: option for column, option in named if column is not None},
        **dict.fromkeys(layout.lists, "items.lists"),
        **dict.fromkeys(flags, "items.flags"),
    }


def members_of(record: Record, layout: ItemLayout, special: Container[str]) -> dict[str, JsonValue]:
    """The members of an item: what a row says, without what JSON cannot say and what says nothing.

    Args:
        record: the fields by column, the id not among them.
        layout: which of them are titles, years, lists and flags.
        special: the columns that are one of those.
    """
    members: Record = {}
    if layout.title_column is not None:
        members["title"], members["year"] = split_title(record.get(layout.title_column))
    if layout.year_column is not None:
        members["year"] = _year(record.get(layout.year_column)) or members.get("year")
    for column, value in record.items():
        if column in layout.lists:
            members[layout.rename.get(column, column)] = _listed(
                value, layout.lists[column], layout.empty_list
            )
        elif column not in special and column and value != "":  # a column without a name is a row number
            members[layout.rename.get(column, column)] = value
    for member, columns in layout.flags.items():
        members[member] = [column for column in columns if is_set(record.get(column))]
    return {name: json for name, value in members.items() if (json := _as_json(value)) is not None}


def split_title(title: object) -> tuple[object, int | None]:
    """``"Toy Story (1995)"`` as ``("Toy Story", 1995)``; what does not end so stays whole."""
    match = _TITLE_WITH_YEAR.fullmatch(title) if isinstance(title, str) else None
    return (title or None, None) if match is None else (match[1], int(match[2]))


def is_set(flag: object) -> bool | None:
    """Whether a 0/1 field is 1 (an empty one is not); None where it is neither."""
    match str(flag):
        case "1" | "True" | "true":
            return True
        case "0" | "False" | "false" | "" | "None":
            return False
        case _:
            return None


def _year(value: object) -> int | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _listed(value: object, separator: str, empty: str | None) -> object:
    if value is None or value == empty:
        return []
    return [part for part in value.split(separator) if part] if isinstance(value, str) else value


def _as_json(value: object) -> JsonValue:
    """The value as JSON has it; None for what JSON does not have, also left out of lists and objects."""
    match value:
        case float() | Decimal():
            return float(value) if math.isfinite(value) else None
        case bool() | int() | str():
            return value
        case date() | time():  # a datetime is a date
            return value.isoformat()
        case list():
            return [json for each in value if (json := _as_json(each)) is not None]
        case dict():
            members = {str(name): _as_json(each) for name, each in value.items()}
            return {name: json for name, json in members.items() if json is not None}
        case _:
            return None
