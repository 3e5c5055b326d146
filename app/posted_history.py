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
        values: dict[int, float] = {}
        times: dict[int, int] = {}
        ignored: list[str] = []
        for interaction in interactions:
            row = self._items.get(interaction.item_id)
            if row is None:
                ignored.append(interaction.item_id)
                continue
            value = self._implied(interaction) if interaction.value is None else interaction.value
            time = self._now if interaction.timestamp is None else interaction.timestamp
            if row in values:
                value = self._merged(interaction, values[row], value, is_later=time >= times[row])
                time = max(time, times[row])
            values[row], times[row] = value, time
        items = sorted(values)
        return (
            Rows.one(
                np.array(items, dtype=np.int32),
                np.array([values[item] for item in items], dtype=np.float32),
                np.array([times[item] for item in items], dtype=np.int64) if self._rule.timed else None,
            ),
            ignored,
        )

    def _merged(self, interaction: Interaction, known: float, value: float, *, is_later: bool) -> float:
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
