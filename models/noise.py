"""How large the noise of a model is: the σ² of `models.posterior`, one number for all rows.

Where only observed entries have a weight (g = 0: ratings), σ² is what the weighted residuals of a sample of
rows leave for each degree of freedom, of which a row has used up the trace of its hat matrix:

    σ² = Σ_rows RSS / Σ_rows (n − tr(A⁻¹(A − ρI))),    RSS = Σᵢ tᵢ²/(g + wᵢ) − b·p − ρ|p|²

Where every cell has one (g > 0: implicit feedback), nearly all residuals are those of zeros that nobody
observed, and that σ² says nothing of what a row would become if more of it were observed. There σ² is such
that scores move as much as the posterior says: folded in from a random half of a history (A₁) and from all of
it (A₂), by the model

    E (s₂(j) − s₁(j))² = σ² · x_jᵀ(A₁⁻¹ − A₂⁻¹)x_j    and so    σ² = Σ (s₂ − s₁)² / Σ x_jᵀ(A₁⁻¹ − A₂⁻¹)x_j

over a sample of rows and items. Where A is the same whatever was observed (truncated SVD), the residuals are
what is left.

References:
    Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 2009, sec. 7.6 (degrees of freedom).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.posterior import Posterior, least_squares
from models.row_rules import Rule
from models.row_solve import SingularRowError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.fold_in import FoldedRow, FoldIn, LeastSquaresSolution
    from models.row_rules import FixedSide, RowRule
    from models.row_solve import Rows
    from models.types import Float64Array, RowArray

_ROWS: Final = 256
"""Sampled rows."""
_ITEMS: Final = 50
"""Scores of a row whose movement is looked at."""
_FEWEST: Final = 4
"""Entries of which half can be left out."""


def estimated_posterior(side: FixedSide, rule: RowRule, fold_in: FoldIn, histories: Rows) -> Posterior | None:
    """The posterior of a model, with σ² from a fixed sample of its histories.

    Returns:
        None where the rule is not Gaussian.
    """
    if not (isinstance(rule, Rule) and rule.gaussian):
        return None
    rng = np.random.default_rng(0)
    sample = rng.permutation(np.flatnonzero(histories.lengths))[:_ROWS].tolist()
    rows = [fold_in.solve(histories.only(row)) for row in sample]
    variance = None
    if rule.uses_gram:
        unit = Posterior(side, rule, 1.0)
        variance = movement_variance([movements(fold_in, unit, row, len(side.factors), rng) for row in rows])
    if variance is None:
        variance = residual_variance(rows, len(side.factors))
    return Posterior(side, rule, variance)


def residual_variance(rows: Iterable[FoldedRow], n_fixed: int) -> float:
    """σ² of the rows of a sample; 0 where there are none, or none has a degree of freedom left.

    Args:
        rows: least squares, each with its history.
        n_fixed: rows of the fixed side.
    """
    residuals = freedom = 0.0
    for row in rows:
        of_row = _residuals(least_squares(row), n_fixed)
        residuals += of_row[0]
        freedom += of_row[1]
    return max(residuals, 0.0) / freedom if freedom > 0 else 0.0


def _residuals(solved: LeastSquaresSolution, n_fixed: int) -> tuple[float, float]:
    """RSS and degrees of freedom of one row."""
    problem, solution = solved.problem, solved.solution
    targets = problem.targets.astype(np.float64)
    weights = problem.gram_weight + problem.weights.astype(np.float64)
    squares = np.divide(targets**2, weights, out=np.zeros_like(targets), where=weights > 0)
    p, ridge = solution.vector, float(problem.ridge[0])
    residual = squares.sum() - (targets @ solved.observed) @ p - ridge * (p @ p)
    used = len(p) - ridge * float(np.trace(solution.inverse_times(np.eye(len(p)))))
    cells = n_fixed if problem.gram_weight else len(targets)
    return float(residual), cells - used


def movement_variance(moved: Iterable[tuple[Float64Array, Float64Array]]) -> float | None:
    """σ² by which scores move as the variance that they lose says; None where none is lost.

    Args:
        moved: of each row, what `movements` returns for σ² = 1.
    """
    squares = lost = 0.0
    for differences, deviations in moved:
        squares += float(differences @ differences)
        lost += float(deviations @ deviations)
    return squares / lost if lost > 0 else None


def movements(
    fold_in: FoldIn, posterior: Posterior, row: FoldedRow, n_items: int, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """How far scores moved from half of a history to the whole, and the standard deviation of that.

    Args:
        fold_in: solves the half.
        posterior: of the same rule.
        row: of the whole history.
        n_items: of the model; of those that are not in the history, some are looked at.
        rng: draws the half and the items.

    Returns:
        Two float64 arrays of one shape; of no length for a history that cannot be halved.
    """
    history = row.history
    if len(history.indices) < _FEWEST:
        return np.empty(0), np.empty(0)
    kept = np.zeros(len(history.indices), dtype=np.bool_)
    kept[rng.permutation(len(kept))[: len(kept) // 2]] = True
    drawn = rng.choice(n_items, size=min(n_items, _ITEMS + len(history.indices)), replace=False)
    items = drawn[~np.isin(drawn, history.indices)][:_ITEMS].astype(np.int32)
    try:
        half = fold_in.solve(history.kept(kept))
    except SingularRowError:  # weights can be negative, and half of them too few
        return np.empty(0), np.empty(0)
    lost = posterior.deviations(half, items) ** 2 - posterior.deviations(row, items) ** 2
    differences = scores(fold_in, row, items) - scores(fold_in, half, items)
    # What was not lost says nothing; a frequency-scaled ridge and negative weights can make it so.
    return differences[lost > 0], np.sqrt(lost[lost > 0])


def scores(fold_in: FoldIn, row: FoldedRow, items: RowArray) -> Float64Array:
    """The scores of items as they are shown, in float64."""
    return np.asarray(fold_in.contributions(row, items).sum(axis=1) + fold_in.intercepts(row, items))
