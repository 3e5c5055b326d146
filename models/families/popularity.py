"""Popularity: everybody is offered what most people had, of late if a half-life says so.

score(j) = Σ over the item's interactions of 2^(−age/half-life), the age counted back from the table's last
interaction; without a half-life their number. One factor, served like any other model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from models.errors import DataError
from models.families.base import FamilyConfig, FittedModel, check_cpu, closing_sweep, silent
from models.row_rules import FixedSide, PopularityRule

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.types import Float64Array

_SECONDS_PER_DAY = 86_400


class PopularityConfig(FamilyConfig):
    """What popularity is."""

    half_life: float | None = Field(default=None, gt=0)
    """Days after which an interaction counts half; without: all count 1."""


class Popularity:
    """The same list for everybody."""

    def __init__(self, config: PopularityConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("popularity", device)
        self._weights(dataset)

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,  # noqa: ARG002
        progress: Progress = silent,  # noqa: ARG002
        device: Device = "cpu",
    ) -> FittedModel:
        """Count; see `models.families.base.Family.fit`. There are no iterations."""
        self.check(dataset, device=device)
        counts = np.bincount(dataset.histories.indices, self._weights(dataset), minlength=dataset.shape[1])
        items = FixedSide(counts.astype(np.float32)[:, np.newaxis])
        rule = PopularityRule()
        return FittedModel(rule, closing_sweep(rule, dataset.histories, items), items, losses=[])

    def _weights(self, dataset: Dataset) -> Float64Array | None:
        """What each interaction counts: shape ``(n_entries,)``; None where all count 1."""
        if self.config.half_life is None:
            return None
        times = dataset.timestamps
        if times is None:
            raise DataError(
                "popularity with a half-life needs timestamps: name their --time-column, or leave the "
                "half-life out"
            )
        ages: Float64Array = (times.max() - times) / _SECONDS_PER_DAY
        return np.asarray(np.exp2(-ages / self.config.half_life))
