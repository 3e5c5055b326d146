"""Truncated SVD: g = 1, w = 0, t = r − μ − bᵢ − b̄, ρ = 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from models.row_rules.base import Rule
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import Float32Array, Float64Array, FloatArray, RowArray


class ProjectionRule(Rule):
    """Truncated SVD: a row is projected on orthonormal item factors, p = Vᵀx with x the centred values."""

    kind: Literal["projection"] = "projection"
    row_centred: bool = False
    """Whether the row's own mean is taken off first; it becomes the row's bias."""

    def design(self, side: FixedSide, items: RowArray | slice = slice(None)) -> FloatArray:
        """V without the bias coordinate."""
        return self.without_bias(side.factors[items])

    def row_means(self, rows: Rows) -> Float64Array:
        """b̄ of each row, float64, shape ``(n_rows,)``; zeros unless `row_centred`."""
        if not self.row_centred:
            return np.zeros(len(rows))
        sums = np.bincount(rows.row_numbers, weights=rows.values, minlength=len(rows))
        return sums / np.maximum(rows.lengths, 1)

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        centred = rows.values - np.float32(self.global_mean)
        if self.biased:
            centred = centred - side.factors[rows.indices, -1] - self.row_means(rows)[rows.row_numbers]
        return RowProblem(
            gram_weight=1.0,
            weights=np.zeros_like(rows.values),
            targets=centred.astype(np.float32),
            ridge=np.zeros(len(rows)),
        )

    def complete(self, solution: FloatArray, rows: Rows, side: FixedSide) -> FloatArray:
        """[p, b̄] for each solution p."""
        if not self.biased:
            return super().complete(solution, rows, side)
        means = self.row_means(rows)[:, np.newaxis].astype(solution.dtype)
        return np.concatenate([solution, means], axis=1)

    def intercepts(self, items: RowArray, vector: Float32Array, side: FixedSide) -> Float64Array:
        """μ, the items' biases, and the row's mean, which is no coordinate of the solution here."""
        intercepts = super().intercepts(items, vector, side)
        return intercepts + vector[-1] if self.biased else intercepts
