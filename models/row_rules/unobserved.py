"""Implicit feedback with a weight on the unobserved: g = α₀, w = |c|, t = max(c, 0), ρ = λ(α₀·N + n)^ν."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from models.row_rules.base import Duplicates, Rule
from models.row_rules.weighting import LinearWeighting, Weighting
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import Float32Array, PointerArray


class UnobservedRule(Rule):
    """Implicit feedback as Rendle, Krichene, Zhang and Koren (2021) state it.

    Convention: every cell of the table, observed or not, costs α₀·s² for its score s; an observed one costs
    |c|·(x − s)² besides, with preference x = 1, or 0 for a negative value, which is a dislike. The ridge
    counts the row's share of both: N cells of weight α₀, n observed entries (N: rows of the fixed side).
    """

    kind: Literal["unobserved"] = "unobserved"
    duplicates: Duplicates = "sum"
    unobserved_weight: float
    """α₀."""
    regularization: float
    """λ."""
    ridge_exponent: float
    """ν."""
    confidence_scale: float = 1.0
    """What weighted values are multiplied with to become c."""
    weighting: Weighting = LinearWeighting()

    @property
    def array_names(self) -> frozenset[str]:
        """BM25 looks up the items' length norms."""
        return self.weighting.array_names

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:
        """c, signed like r: float32, shape ``(n_entries,)``."""
        return self.scaled(self.weighting.confidence(rows, side))

    def scaled(self, weighed: Float32Array) -> Float32Array:
        """Confidence from weighted values; by way of float64, where values of any size can be scaled."""
        scaled: Float32Array = (np.float64(self.confidence_scale) * weighed).astype(np.float32)
        return scaled

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        return self.problem_of(self.confidence(rows, side), rows.lengths, len(side.factors))

    def problem_of(self, confidence: Float32Array, lengths: PointerArray, n_fixed: int) -> RowProblem:
        """g, w, t and ρ of rows with `lengths` entries each, against a fixed side of `n_fixed` rows."""
        share = np.float64(self.unobserved_weight * n_fixed) + lengths
        return RowProblem(
            gram_weight=self.unobserved_weight,
            weights=np.abs(confidence),
            targets=np.maximum(confidence, 0),
            ridge=self.regularization * share**self.ridge_exponent,
        )
