"""Implicit feedback: g = 1, w = |c| − 1, t = max(c, 0), ρ = λ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from models.row_rules.base import Duplicates, Rule
from models.row_rules.weighting import LinearWeighting, Weighting
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import Float32Array


class ImplicitRule(Rule):
    """Implicit feedback with confidence c = α·weight(r), as `implicit` computes it.

    Convention: Hu, Koren and Volinsky write c = 1 + αr; `implicit` takes its input as c itself, so an
    observed entry adds (c − 1)·qqᵀ to QᵀQ. A negative value is a dislike: preference 0, confidence abs(c).
    """

    kind: Literal["implicit"] = "implicit"
    duplicates: Duplicates = "sum"
    alpha: float
    regularization: float
    weighting: Weighting = LinearWeighting()

    @property
    def array_names(self) -> frozenset[str]:
        """BM25 looks up the items' length norms."""
        return self.weighting.array_names

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:
        """c, signed like r: float32, shape ``(n_entries,)``."""
        return np.float32(self.alpha) * self.weighting.confidence(rows, side)

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        confidence = self.confidence(rows, side)
        return RowProblem(
            gram_weight=1.0,
            weights=np.abs(confidence) - 1,
            targets=np.maximum(confidence, 0),
            ridge=np.full(len(rows), self.regularization),
        )
