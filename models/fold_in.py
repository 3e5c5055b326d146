"""Fold-in: the row of somebody the model has never seen, and its exact explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from models.row_rules import KLRule
from models.row_solve import (
    RowProblem,
    Rows,
    RowSolution,
    SingularRowError,
    SolvedRow,
    gram_matrix,
    inverse_sums,
    solve_kl_row,
    solve_row,
    solve_short_row,
)

if TYPE_CHECKING:
    from models.row_rules import FixedSide, RowRule, Rule
    from models.types import Float32Array, Float64Array, FloatArray, RowArray

_LARGEST = float(np.finfo(np.float32).max)
_SPILLED: Final = 1e-7
"""Of QᵀQ beside its diagonal this little, as a share of what would make A singular, is nothing to float32."""
_MANY_FACTORS: Final = 48
"""With fewer, the d × d system is solved as soon as the n × n one."""
_SHORT: Final = 2 / 3
"""Entries for each factor up to which the n × n system is sooner solved (measured for 64 to 256 factors)."""


class Solution(Protocol):
    """A solved row that can be taken apart."""

    def factor_row(self) -> FloatArray:
        """The row in the layout of a stored factor row, shape ``(D,)``."""
        ...

    def parts(self, asked: Float64Array) -> Float64Array:
        """What each entry adds to xᵀp for the rows x of `asked` ``(m, d)``: shape ``(m, n)``."""
        ...


class FoldedRow(NamedTuple):
    """A folded-in row.

    Attributes:
        vector: float32, shape ``(D,)``, in the layout of a stored factor row.
        history: the one row that was folded in.
        solution: p, and how the entries make it up.
    """

    vector: Float32Array
    history: Rows
    solution: Solution


class FoldIn:
    """Solves rows against fixed factors; what all rows share is computed once.

    Args:
        side: the fixed side, whose factors are float32, shape ``(n, D)``.
        rule: the convention that training used.
    """

    def __init__(self, side: FixedSide, rule: RowRule) -> None:
        self._side = side
        self._rule = rule
        self._solver = _KLSolver(side) if isinstance(rule, KLRule) else _LeastSquaresSolver(side, rule)

    def solve(self, history: Rows) -> FoldedRow:
        """Fold in one history of distinct items, a single row.

        An empty history folds in to zeros, as it does in training.

        Raises:
            SingularRowError: the values are so extreme that the row has no unique solution in float64.
        """
        solution = self._solver.solve(history)
        row = solution.factor_row()
        if not row @ row < _LARGEST**2:  # neither is NaN
            raise SingularRowError("the row's solution is not finite")
        return FoldedRow(row.astype(np.float32), history, solution)

    def contributions(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """What each history item adds to the scores of `items`: float64, shape ``(len(items), n)``.

        score(j) = intercept(j) + the sum of the contributions, exactly.
        """
        contributions = row.solution.parts(
            self._rule.asked(items, row.history, self._side).astype(np.float64)
        )
        offsets = self._rule.offsets(items, row.history, self._side)
        return contributions if offsets is None else contributions + offsets

    def intercepts(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """What no history item explains of the scores of `items`: float64, shape ``(len(items),)``."""
        return self._rule.intercepts(items, row.vector, self._side)


class _LeastSquaresSolver:
    """A p = b, with g·QᵀQ computed once, and a quicker way for few entries where it is diagonal, or 0."""

    def __init__(self, side: FixedSide, rule: Rule) -> None:
        self._side = side
        self._rule = rule
        self._unobserved: Float64Array | None = None
        self._diagonal: Float64Array | None = np.zeros(1)
        if rule.uses_gram:
            one = rule.problem(Rows.one(np.zeros(1, dtype=np.int32), np.ones(1, dtype=np.float32)), side)
            gram = gram_matrix(rule.design(side))
            self._unobserved = one.gram_weight * gram
            self._diagonal = _diagonal(gram, one)

    def solve(self, history: Rows) -> Solution:
        problem = self._rule.problem(history, self._side)
        observed = self._rule.observed(history, self._side).astype(np.float64)
        n_entries, n_factors = observed.shape
        solution: SolvedRow
        if n_entries == 0:
            solution = RowSolution(np.zeros(n_factors), np.eye(n_factors))
        elif self._diagonal is not None and _is_short(n_entries, n_factors) and problem.weights.min() >= 0:
            solution = solve_short_row(observed, self._diagonal, problem)
        else:
            solution = solve_row(observed, self._unobserved, problem)
        completed = self._rule.complete(solution.vector[np.newaxis, :], history, self._side)
        return LeastSquaresSolution(completed[0], observed, problem, solution)


def _is_short(n_entries: int, n_factors: int) -> bool:
    """Whether a row is sooner solved among its entries; with few factors neither way takes long."""
    return n_factors >= _MANY_FACTORS and n_entries <= _SHORT * n_factors


def _diagonal(gram: Float64Array, one: RowProblem) -> Float64Array | None:
    """The diagonal of QᵀQ where the rest is nothing to a row's matrix, else None.

    That is, where no element beside the diagonal of the matrix of the least ridge, that of a row with `one`
    entry, is more than `_SPILLED` of what would make it singular.
    """
    diagonal = gram.diagonal().copy()
    scale = np.sqrt(one.gram_weight * diagonal + one.ridge[0])
    spilled = one.gram_weight * np.abs(gram - np.diag(diagonal))
    return diagonal if (spilled <= _SPILLED * np.outer(scale, scale)).all() else None


class LeastSquaresSolution(NamedTuple):
    """xᵀp = Σᵢ tᵢ · xᵀA⁻¹xᵢ: one solve with the row's Cholesky factor takes every score apart.

    Attributes:
        completed: the factor row that the solution became, shape ``(D,)``.
        observed: the design of the entries, float64, shape ``(n, d)``.
        problem: g, w, t and ρ of the row.
        solution: p, and A to be divided by.
    """

    completed: FloatArray
    observed: Float64Array
    problem: RowProblem
    solution: SolvedRow

    def factor_row(self) -> FloatArray:
        """The row in the layout of a stored factor row, shape ``(D,)``."""
        return self.completed

    def parts(self, asked: Float64Array) -> Float64Array:
        """What each entry adds to xᵀp for the rows x of `asked` ``(m, d)``: shape ``(m, n)``."""
        return self.solution.responses(asked, self.observed) * self.problem.targets


class _KLSolver:
    """The Kullback–Leibler row problem, with the factors' sums computed once."""

    def __init__(self, side: FixedSide) -> None:
        self._factors = side.factors
        self._inverse = inverse_sums(side.factors)

    def solve(self, history: Rows) -> Solution:
        observed = self._factors[history.indices].astype(np.float64)
        return _KLSolution(solve_kl_row(observed, history.values, self._inverse))


class _KLSolution(NamedTuple):
    """xᵀp = Σᵢ Σₖ xₖ · xᵢγᵢₖ/sₖ: the entries' parts of p, float64, shape ``(n, d)``."""

    shares: Float64Array

    def factor_row(self) -> FloatArray:
        return np.asarray(self.shares.sum(axis=0))

    def parts(self, asked: Float64Array) -> Float64Array:
        return asked @ self.shares.T
