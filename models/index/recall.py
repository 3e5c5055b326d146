"""Recall: the share of the truly best that an answer has, and whether it has fallen below what was promised.

References:
    Waudby-Smith, Ramdas: Estimating means of bounded random variables by betting, JRSS B 2024.
    Shin, Ramdas, Rinaldo: E-detectors: a nonparametric framework for sequential change detection, New
    England Journal of Statistics in Data Science 2024.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from models.types import Float32Array

_TIE: Final = 1e-6
"""Scores this close, as a share of the larger, are a tie."""
_RECENT: Final = 1_000
_FEWEST: Final = 100
"""Answers before which nothing is concluded: the first may all be of one user."""
_ODDS: Final = 1e6
"""Answers between two false alarms, on average and at least, where recall is exactly what was promised."""
_STAKES: Final = 2.0 ** -np.arange(1, 9)
"""Shares of the largest stake; small ones find small falls, large ones find large falls quickly."""
_LEAST_DOUBT: Final = 1e-3
"""A promise of 1 is taken as one of 0.999: no bet is without risk."""


def least_score(best: Float32Array) -> float:
    """The score that is as good as that of the last of the truly best: float32 may err by so much."""
    return float(best[-1] - _TIE * abs(best[-1]))


def recall(found: Float32Array, best: Float32Array) -> float:
    """Share of the best that was found, in any order; nothing to find: 1.

    Args:
        found: exact scores of what was returned.
        best: scores of as many truly best, best first.
    """
    if not len(best):
        return 1.0
    return min(1.0, int(np.count_nonzero(found >= least_score(best))) / len(best))


class LiveRecall:
    """Recall of the answers of late, and whether it is below a floor for sure.

    Of each of some stakes λ a capital of 1 is multiplied by 1 + λ (floor − recall) with every answer. While
    the mean recall is at or above the floor, no capital is expected to grow; below it, some grow
    exponentially. No capital sinks below 1, so that a fall is noticed as soon after a thousand good answers
    as after none. Chance alone brings their mean to `_ODDS` after as many answers on average, or later,
    however often one looks.

    Args:
        floor: the recall that was promised.

    Attributes:
        samples: answers counted.
        estimate: mean of the last thousand; None before the first.
        has_fallen: the mean recall is below the floor; stays true.
    """

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self.samples = 0
        self.estimate: float | None = None
        self.has_fallen = False
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._stakes = _STAKES / max(1 - floor, _LEAST_DOUBT)
        self._capitals = np.ones(len(_STAKES))

    def add(self, value: float) -> float:
        """Count one answer's recall; returns the new estimate."""
        self.samples += 1
        self._recent.append(value)
        self.estimate = sum(self._recent) / len(self._recent)
        self._capitals = np.maximum(self._capitals, 1) * (1 + self._stakes * (self.floor - value))
        if self.samples >= _FEWEST and self._capitals.mean() >= _ODDS:
            self.has_fallen = True
        return self.estimate
