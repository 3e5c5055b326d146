"""Fold-in: the closed-form row of somebody the model has never seen, and its exact explanation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.row_solve import RowProblem, Rows, RowSolution, SingularRowError, gram_matrix, solve_row

if TYPE_CHECKING:
    from models.row_rules import FixedSide, RowRule
    from models.types import Float32Array, Float64Array, RowArray

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class FoldedRow:
    """A folded-in row.

    Attributes:
        vector: float32, shape ``(D,)``, in the layout of a stored factor row.
        history: the one row that was folded in.
        observed: the design of its entries, float64, shape ``(n, d)``.
        problem: g, w, t, ρ of the row.
        solution: p and the Cholesky factor of A.
    """

    vector: Float32Array
    history: Rows
    observed: Float64Array
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
        self._gram = gram_matrix(rule.design(side)) if rule.uses_gram else None

    def solve(self, history: Rows) -> FoldedRow:
        """Fold in one history of distinct items, a single row.

        An empty history folds in to zeros, as it does in training.

        Raises:
            SingularRowError: the values are so extreme that the row has no unique solution in float64.
        """
        problem = self._rule.problem(history, self._side)
        observed = self._rule.observed(history, self._side).astype(np.float64)
        if len(observed) == 0:
            n_factors = observed.shape[1]
            solution = RowSolution(np.zeros(n_factors), np.eye(n_factors))
        else:
            solution = solve_row(observed, self._gram, problem)
        completed = self._rule.complete(solution.vector[np.newaxis, :], history, self._side)
        if not (np.abs(completed) < _LARGEST).all():  # neither is NaN
            raise SingularRowError("the row's solution is not finite")
        return FoldedRow(completed[0].astype(np.float32), history, observed, problem, solution)

    def contributions(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """What each history item adds to the scores of `items`: float64, shape ``(len(items), n)``.

        score(j) − intercept(j) = xⱼᵀp = Σᵢ tᵢ · xⱼᵀA⁻¹xᵢ: one solve with the row's Cholesky factor takes
        every score apart, exactly.
        """
        asked = self._rule.asked(items, row.history, self._side).astype(np.float64)
        contributions: Float64Array = (
            row.solution.inverse_times(asked.T).T @ row.observed.T * row.problem.targets
        )
        offsets = self._rule.offsets(items, row.history, self._side)
        return contributions if offsets is None else contributions + offsets

    def intercepts(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """What no history item explains of the scores of `items`: float64, shape ``(len(items),)``."""
        return self._rule.intercepts(items, row.vector, self._side)
