"""Explicit feedback with biases: g = 0, w = 1, t = r − μ − bᵢ, ρ = λ or λ·n."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from models.row_rules.base import Rule
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import FloatArray, RowArray


class ExplicitRule(Rule):
    """Explicit feedback with biases: r ≈ μ + b_u + b_i + p_u·q_i.

    Q is augmented by a column of ones, so that the row's own bias is one more coordinate of its solution.
    """

    uses_gram: ClassVar[bool] = False

    kind: Literal["explicit"] = "explicit"
    biased: Literal[True] = True
    needs_values: Literal[True] = True
    regularization: float
    ridge: Literal["constant", "frequency"]
    """`constant`: ρ = λ. `frequency`: ρ = λ·n (Zhou et al. 2008)."""

    def design(self, side: FixedSide, items: RowArray | slice = slice(None)) -> FloatArray:
        """[q, 1] for each factor row [q, b]."""
        augmented = np.array(side.factors[items])
        augmented[:, -1] = 1
        return augmented

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        scale = rows.lengths if self.ridge == "frequency" else np.ones(len(rows))
        return RowProblem(
            gram_weight=0.0,
            weights=np.ones_like(rows.values),
            targets=rows.values - np.float32(self.global_mean) - side.factors[rows.indices, -1],
            ridge=self.regularization * scale.astype(np.float64),
        )
