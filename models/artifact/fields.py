"""Fields of the item metadata, for filters: `field_<number>_…` files, in the order of the manifest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from models.artifact.arrays import AnyArray, InconsistencyError
from models.artifact.manifest import MANIFEST
from models.ids import IdMap
from models.item_fields import ItemField, ItemFields
from models.item_fields.kinds import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from models.artifact.manifest import ItemFieldsCard

_FILE: Final = re.compile(r"field_[0-9]+_(values\.npy|items\.npy|vocabulary\.marisa)", re.ASCII)


def is_field_file(name: str) -> bool:
    """Whether a file belongs to a field."""
    return _FILE.fullmatch(name) is not None


def write_fields(directory: Path, fields: ItemFields) -> dict[str, AnyArray]:
    """Write the vocabularies.

    Returns:
        The arrays, by the names of their files, for the caller to write.

    Raises:
        OSError: a file cannot be written.
    """
    arrays: dict[str, AnyArray] = {}
    for number, field in enumerate(fields):
        arrays[_values(number)], arrays[_items(number)] = field.values, field.items
        if field.vocabulary is not None:
            field.vocabulary.save(directory / _vocabulary(number))
    return arrays


def open_fields(
    directory: Path, card: ItemFieldsCard, arrays: Mapping[str, AnyArray], *, n_items: int
) -> ItemFields:
    """Map the fields of a version whose files are verified.

    Args:
        directory: of the version.
        card: names and kinds of the fields.
        arrays: the version's arrays by file.
        n_items: number of items.

    Raises:
        InconsistencyError: a file is missing, too many, or its numbers cannot be right.
        ArtifactError: a vocabulary cannot be read.
    """
    fields: list[ItemField] = []
    expected: set[str] = set()
    for number, of_field in enumerate(card.fields):
        needed = {_values(number), _items(number)}
        if of_field.kind == "string":
            needed.add(_vocabulary(number))
        for name in sorted(needed):
            if not (directory / name).exists():
                raise InconsistencyError(f"{name}: is missing, but the field {of_field.name!r} is of it")
        if any(of_field.name == field.card.name for field in fields):
            raise InconsistencyError(f"{MANIFEST}: two fields are called {of_field.name!r}")
        expected |= needed
        field = ItemField(
            card=of_field,
            values=arrays[_values(number)],
            items=arrays[_items(number)],
            vocabulary=IdMap.open(directory / _vocabulary(number)) if of_field.kind == "string" else None,
        )
        _check(field, number, n_items)
        fields.append(field)
    for name in sorted(path.name for path in directory.glob("field_*")):
        if name not in expected:
            raise InconsistencyError(f"{name}: is of no field in the manifest")
    return ItemFields(fields, card.unfilterable, n_items=n_items)


def _check(field: ItemField, number: int, n_items: int) -> None:
    values, items = field.values, field.items
    if values.dtype != DTYPES[field.card.kind] or values.ndim != 1:
        raise InconsistencyError(
            f"{_values(number)}: {values.dtype.str} of shape {values.shape}, no column of {field.card.kind}s"
        )
    if items.dtype != np.int32 or items.shape != values.shape:
        raise InconsistencyError(
            f"{_items(number)}: {items.dtype.str} of shape {items.shape} for {len(values)} values"
        )
    if not len(values):
        return
    # Of what never falls, the ends are the extremes; NaN compares as falling.
    if not (values[1:] >= values[:-1]).all() or not np.isfinite(values[[0, -1]]).all():
        raise InconsistencyError(f"{_values(number)}: not ascending, finite numbers")
    if field.vocabulary is not None and not 0 <= values[0] <= values[-1] < len(field.vocabulary):
        raise InconsistencyError(
            f"{_values(number)}: from {values[0]} to {values[-1]}, of {len(field.vocabulary)} strings"
        )
    if items.min() < 0 or items.max() >= n_items:
        raise InconsistencyError(f"{_items(number)}: from {items.min()} to {items.max()}, of {n_items} items")


def _values(number: int) -> str:
    return f"field_{number}_values.npy"


def _items(number: int) -> str:
    return f"field_{number}_items.npy"


def _vocabulary(number: int) -> str:
    return f"field_{number}_vocabulary.marisa"
