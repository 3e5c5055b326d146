"""How sure a score is: the Gaussian posterior of a row.

Least squares with weights and a ridge is the mode of a Gaussian model: given the other side's factors, the
row's targets have the noise variance σ² divided by their weights, and the row the prior N(0, σ²/ρ). Then

    p | history ~ N(p̂, σ²A⁻¹),    var(score(j)) = σ² · x_jᵀ A⁻¹ x_j

with the A of the row problem. σ² is what the weighted residuals of a sample of rows leave for each degree of
freedom (the trace of the hat matrix is what a row of d factors has used up):

    σ² = Σ_rows RSS / Σ_rows (m − tr(A⁻¹(A − ρI))),    RSS = Σᵢ tᵢ²/(g + wᵢ) − b·p − ρ|p|²

where m is the number of the row's cells with a weight: its entries if g = 0, all of them otherwise.

The other side's factors are held fixed, as if they were known. For implicit feedback, where most cells are
zeros that nobody observed, σ² is more of a scale than a variance.

References:
    Bishop: Pattern Recognition and Machine Learning, 2006, sec. 3.3 (Bayesian linear regression).
    Salakhutdinov, Mnih: Probabilistic Matrix Factorization, NIPS 2007 (the model of which p̂ is the mode).
    Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 2009, sec. 7.6 (degrees of freedom).
    Li, Chu, Langford, Schapire: A Contextual-Bandit Approach to Personalized News Article Recommendation,
    WWW 2010 (the same A⁻¹ for an upper confidence bound).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.fold_in import LeastSquaresSolution
from models.row_solve import SingularRowError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from models.fold_in import FoldedRow
    from models.row_rules import FixedSide, Rule
    from models.types import Float32Array, Float64Array, RowArray


class Posterior:
    """Standard deviations of scores, and draws of rows.

    Args:
        side: the fixed side.
        rule: the convention of the rows, which must be `gaussian`.
        noise_variance: σ²; see `noise_variance`.
    """

    def __init__(self, side: FixedSide, rule: Rule, noise_variance: float) -> None:
        self.noise_variance = noise_variance
        self._side = side
        self._rule = rule

    def deviations(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """The standard deviation of each item's score: float64, shape ``(len(items),)``."""
        asked = self._rule.asked(items, row.history, self._side).astype(np.float64)
        spreads = np.einsum("nd,dn->n", asked, _least_squares(row).solution.inverse_times(asked.T))
        deviations: Float64Array = np.sqrt(self.noise_variance * np.maximum(spreads, 0))  # -0 by rounding
        return deviations

    def draw(self, row: FoldedRow, rng: np.random.Generator) -> Float32Array:
        """A row drawn from the posterior, in the layout of a stored factor row: float32, shape ``(D,)``.

        Raises:
            SingularRowError: the values are so extreme that A⁻¹ has no root in float64.
        """
        solution = _least_squares(row).solution
        inverse = solution.inverse_times(np.eye(len(solution.vector)))
        try:
            root = np.linalg.cholesky(inverse)
        except np.linalg.LinAlgError as error:
            raise SingularRowError("the row's covariance is not positive definite") from error
        drawn = solution.vector + np.sqrt(self.noise_variance) * (root @ rng.standard_normal(len(root)))
        completed = self._rule.complete(drawn[np.newaxis, :], row.history, self._side)[0]
        if not (np.abs(completed) < np.finfo(np.float32).max).all():  # neither is NaN
            raise SingularRowError("the row drawn is not finite")
        return np.asarray(completed, dtype=np.float32)


def noise_variance(rows: Iterable[FoldedRow], n_fixed: int) -> float:
    """σ² of the rows of a sample; 0 where there are none, or none has a degree of freedom left.

    Args:
        rows: least squares, each with its history.
        n_fixed: rows of the fixed side.
    """
    residuals = freedom = 0.0
    for row in rows:
        of_row = _residuals(_least_squares(row), n_fixed)
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


def _least_squares(row: FoldedRow) -> LeastSquaresSolution:
    if not isinstance(row.solution, LeastSquaresSolution):
        raise TypeError("only least squares have a Gaussian posterior")
    return row.solution
