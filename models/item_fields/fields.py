"""Fields as a filter sees them: for an interval of values, the items that have one in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from models.errors import RequestError
from models.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from models.ids import IdMap
    from models.item_fields.kinds import FieldCard
    from models.types import RowArray

Intervals: TypeAlias = tuple[tuple[float, float], ...]
"""Closed intervals of stored values; one whose end is before its beginning holds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ItemField:
    """One field: its entries, sorted by value. An item has as many entries as values.

    Attributes:
        card: name and kind.
        values: ascending, shape ``(n_entries,)``, of the kind's dtype in `models.item_fields.kinds.DTYPES`.
        items: the item row of each entry, int32, shape ``(n_entries,)``.
        vocabulary: the strings by their number; None for other kinds.
    """

    card: FieldCard
    values: NDArray[Any]
    items: RowArray
    vocabulary: IdMap | None

    def rows(self, intervals: Intervals) -> Iterator[RowArray]:
        """For each interval the rows of the items that have a value in it, in any order, repeats included."""
        # NumPy would convert all the values, not these few, if the types differed.
        ends = np.array(intervals, dtype=np.float64).reshape(-1, 2).astype(self.values.dtype)
        starts = self.values.searchsorted(ends[:, 0], "left")
        stops = self.values.searchsorted(ends[:, 1], "right")
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            yield self.items[start:stop]


class ItemFields:
    """The fields of a catalogue.

    Args:
        fields: at most one of a name.
        unfilterable: the other members of the metadata, and why each cannot be filtered by.
        n_items: number of items.
    """

    def __init__(self, fields: Sequence[ItemField], unfilterable: Mapping[str, str], *, n_items: int) -> None:
        self.n_items = n_items
        self.unfilterable = dict(unfilterable)
        self._fields = {field.card.name: field for field in fields}

    def __iter__(self) -> Iterator[ItemField]:
        return iter(self._fields.values())

    def __getitem__(self, name: str) -> ItemField:
        """A field by name.

        Raises:
            RequestError: there is no such field; the message names those there are.
        """
        field = self._fields.get(name)
        if field is None:
            raise RequestError(self._why_not(name))
        return field

    def _why_not(self, name: str) -> str:
        if not self._fields and not self.unfilterable:
            return (
                f"nothing to filter {name!r} in: the model was published without item metadata; "
                "train it with an items table (--items)"
            )
        known = ", ".join(map(str, (field.card for field in self))) or "none"
        if name in self.unfilterable:
            return f"{name!r} cannot be filtered by, as {self.unfilterable[name]}; fields are {known}"
        hint = did_you_mean(name, list(self._fields))
        return f"{name!r} is no field of the item metadata{hint}; fields are {known}"
