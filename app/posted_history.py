"""A posted history becomes a row: external ids looked up, repeated items merged as training merged them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.errors import RequestError
from models.row_solve import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.artifact import Manifest
    from models.ids import IdMap


@dataclass(frozen=True, slots=True)
class Interaction:
    """One entry of a posted history."""

    item_id: str
    value: float | None = None
    timestamp: int | None = None


class HistoryReader:
    """Reads posted histories for one model.

    Args:
        items: the model's items.
        manifest: what the model says of itself: its rule, and the time of its last interaction, which is when
            an interaction without a timestamp is taken to have happened.
    """

    def __init__(self, items: IdMap, manifest: Manifest) -> None:
        self._items = items
        self._rule = manifest.row_rule
        self._family = manifest.family
        self._version = manifest.model_version
        self._now = manifest.dataset.last_timestamp or 0

    def read(self, interactions: Sequence[Interaction]) -> tuple[Rows, list[str]]:
        """One row of the known items, ascending, and the ids that are unknown.

        Raises:
            RequestError: a value is missing where the model was trained on ratings, or an item comes twice
                where the training table had no duplicates.
        """
        rows = self._items.find([interaction.item_id for interaction in interactions])
        known = [row for row in rows if row is not None]
        ignored: list[str] = []
        if len(known) < len(rows):
            ignored = [each.item_id for each, row in zip(interactions, rows, strict=True) if row is None]
            interactions = [each for each, row in zip(interactions, rows, strict=True) if row is not None]
        values = [self._implied(each) if each.value is None else each.value for each in interactions]
        repeated = len(set(known)) < len(known)
        times: list[int] = []
        if repeated or self._rule.timed:
            times = [self._now if each.timestamp is None else each.timestamp for each in interactions]
        if repeated:
            known, values, times = self._merged(known, values, times, interactions)
        items = np.array(known, dtype=np.int32)
        ascending = items.argsort()
        return (
            Rows.one(
                items[ascending],
                np.array(values, dtype=np.float32)[ascending],
                np.array(times, dtype=np.int64)[ascending] if self._rule.timed else None,
            ),
            ignored,
        )

    def _merged(
        self,
        rows: list[int],
        values: list[float],
        times: list[int],
        interactions: Sequence[Interaction],
    ) -> tuple[list[int], list[float], list[int]]:
        """Each row once, with the value and the time that its repetitions come to."""
        merged: dict[int, tuple[float, int]] = {}
        for row, value, time, interaction in zip(rows, values, times, interactions, strict=True):
            if row in merged:
                known, latest = merged[row]
                result = self._both(interaction, known, value, is_later=time >= latest)
                merged[row] = result, max(time, latest)
            else:
                merged[row] = value, time
        return (
            list(merged),
            [value for value, _ in merged.values()],
            [time for _, time in merged.values()],
        )

    def _both(self, interaction: Interaction, known: float, value: float, *, is_later: bool) -> float:
        match self._rule.duplicates:
            case "sum":
                return known + value
            case "max":
                return max(known, value)
            case "last":
                return value if is_later else known
            case "error":
                raise RequestError(
                    f"item {interaction.item_id!r} comes twice, but model {self._version} was trained "
                    "on a table without duplicates; send each item once"
                )

    def _implied(self, interaction: Interaction) -> float:
        """What an interaction without a value is worth."""
        if self._rule.needs_values:
            raise RequestError(
                f"interaction with item {interaction.item_id!r} has no value, but model {self._version} was "
                f"trained on ratings (family {self._family}); send its rating as `value`"
            )
        return 1.0
