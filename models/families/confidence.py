"""What implicit families share: values become confidence before anything is factorized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol, TypeAlias

import numpy as np
from pydantic import BeforeValidator

from models.errors import DataError
from models.row_rules import BM25Weighting, FixedSide, Weighting
from models.row_rules.weighting import LENGTH_NORM

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.row_solve import Rows
    from models.types import BoolArray, Float32Array, FloatArray


def _by_name(weighting: object) -> object:
    return {"kind": weighting} if isinstance(weighting, str) else weighting


NamedWeighting: TypeAlias = Annotated[Weighting, BeforeValidator(_by_name)]
"""A weighting, by name or with its own parameters."""


class WeighsEntries(Protocol):
    """A weighting, or a rule that has one."""

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:
        """Signed confidence: float32, shape ``(n_entries,)``."""
        ...


def item_arrays(dataset: Dataset, weighting: Weighting) -> dict[str, FloatArray]:
    """What the weighting looks up per item, to be stored with the model."""
    if not isinstance(weighting, BM25Weighting):
        return {}
    histories = dataset.histories
    sums = np.bincount(histories.indices, np.abs(histories.values), minlength=dataset.shape[1])
    return {LENGTH_NORM: weighting.length_norms(sums.astype(np.float64))}


def confidence(
    dataset: Dataset, weighing: WeighsEntries, weighting: Weighting, arrays: dict[str, FloatArray]
) -> Float32Array:
    """Signed confidence of all entries: float32, shape ``(n_entries,)``.

    Raises:
        DataError: it is 0 throughout, or nowhere positive.
    """
    # Weightings look only at the number of items, so factors that do not exist yet are not needed.
    unfitted = FixedSide(np.empty((dataset.shape[1], 0), dtype=np.float32), arrays)
    weighed = weighing.confidence(dataset.histories, unfitted)
    if not weighed.any():
        raise DataError(
            f"{weighting.kind} weighting gives every interaction the confidence 0, because every user has "
            "every item; use another --set weighting=…, or more data"
        )
    if not (weighed > 0).any():
        raise DataError(
            "no value is positive, and negative values are dislikes: there is nothing to recommend; "
            "name another --value-column"
        )
    return weighed


def unliked(dataset: Dataset, confidence: Float32Array) -> BoolArray:
    """The items that nobody likes: bool, shape ``(n_items,)``.

    Their solution is 0. Conjugate gradients leave a rest of 1e-12, whose direction would be taken for a
    meaning by whoever looks for similar items.
    """
    unliked = np.ones(dataset.shape[1], dtype=bool)
    unliked[dataset.histories.indices[confidence > 0]] = False
    return unliked
