"""Popularity: one factor, the same for everybody, whatever the history says."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from models.row_rules.base import Rule
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import Float32Array, Float64Array, FloatArray, RowArray


class PopularityRule(Rule):
    """Every row is 1, so a score is the item's factor. No entry explains any of it: it is all intercept."""

    gaussian: ClassVar[bool] = False
    uses_gram: ClassVar[bool] = False

    kind: Literal["popularity"] = "popularity"

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:  # noqa: ARG002
        """A problem whose solution is 0: g = 0, w = 0, t = 0, ρ = 1."""
        zeros = np.zeros_like(rows.values)
        return RowProblem(gram_weight=0.0, weights=zeros, targets=zeros, ridge=np.ones(len(rows)))

    def complete(self, solution: FloatArray, rows: Rows, side: FixedSide) -> FloatArray:  # noqa: ARG002
        """1 for each row."""
        return np.ones_like(solution)

    def intercepts(self, items: RowArray, vector: Float32Array, side: FixedSide) -> Float64Array:  # noqa: ARG002
        """The score itself."""
        return np.asarray(side.factors[items, 0], dtype=np.float64)
