"""How an interaction's value becomes confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import Float32Array, Float64Array

LENGTH_NORM: Final = "length_norm"
"""BM25's length normalization of each item, float32, shape ``(n_items,)``."""


class _Weighting(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    array_names: ClassVar[frozenset[str]] = frozenset()
    """What is looked up in :attr:`~models.row_rules.FixedSide.arrays`."""


class LinearWeighting(_Weighting):
    """c = α·r."""

    kind: Literal["linear"] = "linear"

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:  # noqa: ARG002
        """Confidence before α, signed like r: float32, shape ``(n_entries,)``."""
        return rows.values


class LogWeighting(_Weighting):
    """c = α·log(1 + r/ε): Hu et al. 2008, eq. 6."""

    kind: Literal["log"] = "log"
    epsilon: float = Field(default=1.0, gt=0)

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:  # noqa: ARG002
        """Confidence before α, signed like r: float32, shape ``(n_entries,)``."""
        return np.sign(rows.values) * np.log1p(np.abs(rows.values) / np.float32(self.epsilon))


class BM25Weighting(_Weighting):
    """c = α·idf(u)·r(K₁ + 1) / (K₁·norm(i) + r), as `implicit`'s `bm25_weight` weighs items × users.

    norm(i) = 1 − B + B·(sum of item i's values)/(its mean over items) is stored with the artifact;
    idf(u) = max(log n_items − log(1 + n_u), 0) is known from the row itself. The clamp is ours: without it a
    user of every item would be said to dislike them all.
    """

    array_names: ClassVar[frozenset[str]] = frozenset({LENGTH_NORM})

    kind: Literal["bm25"] = "bm25"
    k1: float = Field(default=100.0, gt=0)
    b: float = Field(default=0.8, ge=0, le=1)

    def length_norms(self, value_sums: Float64Array) -> Float32Array:
        """norm(i), float32, shape ``(n_items,)``, from the sum of each item's values."""
        mean = value_sums.mean()
        return ((1 - self.b) + self.b * value_sums / (mean if mean > 0 else 1.0)).astype(np.float32)

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:
        """Confidence before α, signed like r: float32, shape ``(n_entries,)``."""
        size = np.abs(rows.values)
        denominator = self.k1 * side.arrays[LENGTH_NORM][rows.indices] + size
        saturated = (
            size * (self.k1 + 1) / np.where(denominator > 0, denominator, 1)
        )  # 0/0 of a value of 0 is 0
        idf = np.maximum(np.log(len(side.factors)) - np.log1p(rows.lengths), 0.0)
        weighted: Float32Array = (np.sign(rows.values) * saturated * np.repeat(idf, rows.lengths)).astype(
            np.float32
        )
        return weighted


Weighting: TypeAlias = Annotated[LinearWeighting | LogWeighting | BM25Weighting, Field(discriminator="kind")]
