"""SVD++: what somebody has rated says something by itself, before the ratings do.

r ≈ μ + b_u + b_i + q_i·(p_u + z_u),    z_u = |N(u)|^(−½) Σ_{j ∈ N(u)} y_j

N(u) are the items of the row. With z_u known from them, p_u and b_u are the row problem of explicit
feedback with the targets r − μ − b_i − q_i·z_u; z_u is added to its solution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
from scipy.sparse import csr_matrix

from models.metrics import predict_entries
from models.row_rules.base import Rule
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import Float32Array, Float64Array, FloatArray, RowArray

IMPLICIT_FACTORS: Final = "implicit_factors"
"""y, float32, shape ``(n_items, d)``: what an item says of whoever has rated it."""


class ImplicitPartRule(Rule):
    """What rules with implicit item factors share: z, and the bias as the last coordinate."""

    uses_gram: ClassVar[bool] = False

    biased: Literal[True] = True
    needs_values: Literal[True] = True
    regularization: float
    """λ; the ridge of a row of n entries is λ·n."""

    @property
    def array_names(self) -> frozenset[str]:
        """Looks up y."""
        return frozenset({IMPLICIT_FACTORS})

    def implicit_part(self, rows: Rows, side: FixedSide) -> Float32Array:
        """The z of each row: float32, shape ``(n_rows, d)``; zeros for an empty row."""
        factors = side.arrays[IMPLICIT_FACTORS]
        weights = np.repeat(1 / np.sqrt(np.maximum(rows.lengths, 1)), rows.lengths).astype(np.float32)
        shares = csr_matrix((weights, rows.indices, rows.indptr), shape=(len(rows), len(factors)))
        return np.asarray(shares @ factors, dtype=np.float32)

    def unexplained(self, rows: Rows, side: FixedSide, item_biases: Float32Array) -> Float32Array:
        """What is left, r − μ − b − q·z, of each entry, given its item's bias: float32, ``(n_entries,)``."""
        by_items = predict_entries(self.implicit_part(rows, side), side.factors, rows, biased=False)
        return rows.values - np.float32(self.global_mean) - item_biases - by_items

    def explicit_problem(self, rows: Rows, targets: Float32Array) -> RowProblem:
        """The problem with g = 0, w = 1, ρ = λ·n."""
        return RowProblem(
            gram_weight=0.0,
            weights=np.ones_like(rows.values),
            targets=targets,
            ridge=self.regularization * rows.lengths.astype(np.float64),
        )

    def offsets(self, items: RowArray, rows: Rows, side: FixedSide) -> Float64Array:
        """n^(−½)·q_j·y_i: what having rated item i adds to the score of j, shape ``(len(items), n)``."""
        asked = self.without_bias(side.factors[items]).astype(np.float64)
        rated = side.arrays[IMPLICIT_FACTORS][rows.indices]
        offsets: Float64Array = asked @ rated.T / np.sqrt(max(len(rows.indices), 1))
        return offsets


class SVDPPRule(ImplicitPartRule):
    """SVD++ (Koren 2008, eq. 15): g = 0, w = 1, t = r − μ − bᵢ − qᵢ·z, ρ = λ·n; then z is added."""

    kind: Literal["svdpp"] = "svdpp"

    def design(self, side: FixedSide, items: RowArray | slice = slice(None)) -> FloatArray:
        """[q, 1] for each factor row [q, b]."""
        augmented = np.array(side.factors[items])
        augmented[:, -1] = 1
        return augmented

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        return self.explicit_problem(rows, self.unexplained(rows, side, side.factors[rows.indices, -1]))

    def complete(self, solution: FloatArray, rows: Rows, side: FixedSide) -> FloatArray:
        """[p + z, b] for each solution [p, b]."""
        completed = solution.copy()
        completed[:, :-1] += self.implicit_part(rows, side)
        return completed
