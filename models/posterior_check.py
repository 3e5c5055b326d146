"""What came, against what the posterior had promised: held-out ratings, and scores once more is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from models.evaluation.calibration import Calibration, calibration
from models.fold_in import FoldIn
from models.noise import estimated_posterior, movements, scores

if TYPE_CHECKING:
    from models.fold_in import FoldedRow
    from models.posterior import Posterior
    from models.row_rules import FixedSide, RowRule
    from models.row_solve import Rows
    from models.types import Float64Array

_PEOPLE: Final = 256
"""People who are checked."""


class PosteriorCheck(BaseModel):
    """Two tests of one posterior.

    Attributes:
        ratings: of hidden ratings, which scatter by √(σ² + score_std²); None where a score is no rating.
        movement: of scores, folded in from a random half of a history and then from all of it. By the model,
            the second is normal around the first with the variance that was lost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratings: Calibration | None
    movement: Calibration | None


def check_posterior(
    side: FixedSide,
    rule: RowRule,
    training: Rows,
    known: Rows,
    hidden: Rows,
    rng: np.random.Generator,
) -> PosteriorCheck | None:
    """Check a fitted model by people of whom something is hidden.

    Args:
        side: the items.
        rule: of the rows.
        training: the histories that the model was trained on, from which the noise is estimated.
        known: what is known of those people.
        hidden: what is hidden of them, the same rows.
        rng: draws the people and the halves.

    Returns:
        None where the rule is not Gaussian.
    """
    with threadpool_limits(limits=1, user_api="blas"):  # products this small are quicker on one
        fold_in = FoldIn(side, rule)
        posterior = estimated_posterior(side, rule, fold_in, training)
        if posterior is None:
            return None
        people = np.flatnonzero((known.lengths > 0) & (hidden.lengths > 0))
        sample = rng.permutation(people)[:_PEOPLE].tolist()
        rows = [fold_in.solve(known.only(row)) for row in sample]
        moved = [movements(fold_in, posterior, row, len(side.factors), rng) for row in rows]
        ratings: list[tuple[Float64Array, Float64Array]] = []
        if rule.predicts_values:
            ratings = [
                _ratings(fold_in, posterior, row, hidden.only(number))
                for number, row in zip(sample, rows, strict=True)
            ]
    return PosteriorCheck(ratings=_joined(ratings), movement=_joined(moved))


def _ratings(
    fold_in: FoldIn, posterior: Posterior, row: FoldedRow, hidden: Rows
) -> tuple[Float64Array, Float64Array]:
    """The errors of hidden ratings, and their standard deviations."""
    deviations = posterior.deviations(row, hidden.indices)
    errors: Float64Array = hidden.values - scores(fold_in, row, hidden.indices)
    return errors, np.sqrt(posterior.noise_variance + deviations**2)


def _joined(parts: list[tuple[Float64Array, Float64Array]]) -> Calibration | None:
    if not parts:
        return None
    errors, deviations = (np.concatenate(each) for each in zip(*parts, strict=True))
    return calibration(errors, deviations)
