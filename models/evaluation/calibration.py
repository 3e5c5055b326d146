"""Whether standard deviations are right: how often errors stay within the intervals that they promise.

An error over its standard deviation should be standard normal. Then a central interval of level q, which is
±Φ⁻¹((1 + q)/2)
standard deviations wide, covers a share q of the errors, and the root mean square is 1.

References:
    Gneiting, Balabdaoui, Raftery: Probabilistic Forecasts, Calibration and Sharpness, JRSS B 69, 2007.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from models.types import Float64Array

LEVELS: Final = (0.5, 0.8, 0.9, 0.95)


class Calibration(BaseModel):
    """How errors compare with their standard deviations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    errors: int
    coverage: dict[float, float]
    """The share of errors within the interval of each level."""
    ratio: float
    """Root mean square of error over standard deviation: above 1, the deviations are too small."""
    sharpness: float
    """How much more likely the errors are with their own deviations than with one for all, both scaled best:
    the mean difference of log-likelihoods, in nats. Above 0, the deviations know something."""


def calibration(errors: Float64Array, deviations: Float64Array) -> Calibration | None:
    """Compare.

    Args:
        errors: what came, less what was expected, shape ``(n,)``.
        deviations: the standard deviation of each, shape ``(n,)``. Where it is 0 nothing was promised, and
            the error does not count.

    Returns:
        None where nothing counts.
    """
    promised = deviations > 0
    errors, deviations = errors[promised], deviations[promised]
    if not len(errors):
        return None
    standardized = errors / deviations
    ratio = float(np.sqrt(np.mean(standardized**2)))
    half_widths = {level: NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS}
    # Deviations of the best common scale, against one deviation for all: the same number of free parameters.
    own = np.log(deviations).mean() + np.log(ratio) if ratio else 0.0
    common = np.log(np.sqrt(np.mean(errors**2))) if ratio else 0.0
    return Calibration(
        errors=len(errors),
        coverage={
            level: float(np.mean(np.abs(standardized) <= width)) for level, width in half_widths.items()
        },
        ratio=ratio,
        sharpness=float(common - own),
    )
