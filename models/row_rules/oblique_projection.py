"""An oblique projection: g = 0, w = 0, t = r, ρ = 1, with other item factors than those that scores take."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from models.row_rules.base import Rule
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import FloatArray, RowArray

PROJECTION: Final = "projection"
"""V_l, float32, shape ``(n_items, d)``: what an interaction with an item adds to a row."""


class ObliqueProjectionRule(Rule):
    """A row is p = V_lᵀx and scores are V_r p, where V_rᵀV_l = I makes V_l V_rᵀ an oblique projection."""

    gaussian: ClassVar[bool] = False
    uses_gram: ClassVar[bool] = False

    kind: Literal["oblique_projection"] = "oblique_projection"

    @property
    def array_names(self) -> frozenset[str]:
        """Looks up V_l."""
        return frozenset({PROJECTION})

    def design(self, side: FixedSide, items: RowArray | slice = slice(None)) -> FloatArray:
        """V_l."""
        return side.arrays[PROJECTION][items]

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:  # noqa: ARG002
        """The identity for A, so that p = Σ rᵢ·V_l,ᵢ."""
        return RowProblem(
            gram_weight=0.0,
            weights=np.zeros_like(rows.values),
            targets=rows.values,
            ridge=np.ones(len(rows)),
        )

    def asked(self, items: RowArray, rows: Rows, side: FixedSide) -> FloatArray:  # noqa: ARG002
        """V_r."""
        return side.factors[items]
