"""Fold-in: the closed-form row of somebody the model has never seen, and its exact explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.row_solve import RowProblem, Rows, RowSolution, SingularRowError, gram_matrix, solve_row

if TYPE_CHECKING:
    from models.row_rules import FixedSide, RowRule
    from models.types import Float32Array, Float64Array, RowArray


@dataclass(frozen=True, slots=True)
class FoldedRow:
    """A folded-in row.

    Attributes:
        vector: float32, shape ``(D,)``, in the layout of a stored factor row.
        items: the history's row numbers, int32, shape ``(n,)``.
        problem: g, w, t, ρ of the row.
        solution: p and the Cholesky factor of A.
    """

    vector: Float32Array
    items: RowArray
    problem: RowProblem
    solution: RowSolution


class FoldIn:
    """Solves rows against fixed factors, with the Gram matrix computed once.

    Args:
        side: the fixed side, whose factors are float32, shape ``(n, D)``.
        rule: the convention that training used.
    """

    def __init__(self, side: FixedSide, rule: RowRule) -> None:
        self._side = side
        self._rule = rule
        self._gram = None if rule.kind == "explicit" else gram_matrix(rule.design(side.factors))

    def solve(self, items: RowArray, values: Float32Array) -> FoldedRow:
        """Fold in one history: distinct `items`, int32 ``(n,)``, with `values`, float32 ``(n,)``.

        An empty history folds in to zeros, as it does in training.

        Raises:
            SingularRowError: the values are so extreme that the row has no unique solution in float64.
        """
        rows = Rows.one(items, values)
        problem = self._rule.problem(rows, self._side)
        observed = self._rule.design(self._side.factors[items])
        if len(items) == 0:
            solution = RowSolution(np.zeros(observed.shape[1]), np.eye(observed.shape[1]))
        else:
            solution = solve_row(observed, self._gram, problem)
        if not np.isfinite(solution.vector).all():
            raise SingularRowError("the row's solution is not finite")
        vector = self._rule.complete(solution.vector[np.newaxis, :], rows)[0].astype(np.float32)
        return FoldedRow(vector, items, problem, solution)

    def contributions(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """What each history item adds to the scores of `items`: float64, shape ``(len(items), n)``.

        score(j) − intercept(j) = qⱼᵀp = Σᵢ tᵢ · qⱼᵀA⁻¹qᵢ: one solve with the row's Cholesky factor takes
        every score apart, exactly.
        """
        asked = self._rule.design(self._side.factors[items]).astype(np.float64)
        observed = self._rule.design(self._side.factors[row.items]).astype(np.float64)
        contributions: Float64Array = row.solution.inverse_times(asked.T).T @ observed.T * row.problem.targets
        return contributions

    def intercepts(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """What no history item explains of the scores of `items`: float64, shape ``(len(items),)``.

        That is μ, the items' biases and the row's mean. (The bias of an explicit row is a coordinate of its
        solution, so the contributions hold it already.)
        """
        intercepts = np.full(len(items), self._rule.global_mean)
        if self._rule.biased:
            intercepts += self._side.factors[items, -1]
        if self._rule.kind == "projection" and self._rule.biased:
            intercepts += row.vector[-1]
        return intercepts
