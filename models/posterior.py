"""How sure a score is: the Gaussian posterior of a row.

Least squares with weights and a ridge is the mode of a Gaussian model: given the other side's factors, the
row's targets have the noise variance σ² divided by their weights, and the row the prior N(0, σ²/ρ). Then

    p | history ~ N(p̂, σ²A⁻¹),    var(score(j)) = σ² · x_jᵀ A⁻¹ x_j

with the A of the row problem. The other side's factors are held fixed, as if they were known. `models.noise`
estimates σ².

References:
    Bishop: Pattern Recognition and Machine Learning, 2006, sec. 3.3 (Bayesian linear regression).
    Salakhutdinov, Mnih: Probabilistic Matrix Factorization, NIPS 2007 (the model of which p̂ is the mode).
    Li, Chu, Langford, Schapire: A Contextual-Bandit Approach to Personalized News Article Recommendation,
    WWW 2010 (the same A⁻¹ for an upper confidence bound).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.fold_in import LeastSquaresSolution
from models.row_solve import SingularRowError

if TYPE_CHECKING:
    from models.fold_in import FoldedRow
    from models.row_rules import FixedSide, Rule
    from models.types import Float32Array, Float64Array, RowArray


class Posterior:
    """Standard deviations of scores, and draws of rows.

    Args:
        side: the fixed side.
        rule: the convention of the rows, which must be `gaussian`.
        noise_variance: σ²; see `models.noise`.
    """

    def __init__(self, side: FixedSide, rule: Rule, noise_variance: float) -> None:
        self.noise_variance = noise_variance
        self._side = side
        self._rule = rule

    def deviations(self, row: FoldedRow, items: RowArray) -> Float64Array:
        """The standard deviation of each item's score: float64, shape ``(len(items),)``."""
        asked = self._rule.asked(items, row.history, self._side).astype(np.float64)
        spreads = np.einsum("nd,dn->n", asked, least_squares(row).solution.inverse_times(asked.T))
        deviations: Float64Array = np.sqrt(self.noise_variance * np.maximum(spreads, 0))  # -0 by rounding
        return deviations

    def draw(self, row: FoldedRow, rng: np.random.Generator) -> Float32Array:
        """A row drawn from the posterior, in the layout of a stored factor row: float32, shape ``(D,)``.

        Raises:
            SingularRowError: the values are so extreme that A⁻¹ has no root in float64.
        """
        solution = least_squares(row).solution
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


def least_squares(row: FoldedRow) -> LeastSquaresSolution:
    """The row's solution, which must be one of least squares."""
    if not isinstance(row.solution, LeastSquaresSolution):
        raise TypeError("only least squares have a Gaussian posterior")
    return row.solution
