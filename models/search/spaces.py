"""What a search may try: the search space of every family, in one place, and grids over it.

Intervals are wide enough to hold the best of small and large tables; what is left out (initial scales,
stopping rules) changes little or follows from the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from models.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_DIGITS = 3
_MOST_POINTS: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: the least.
        high: the largest.
        log: whether ratios matter, rather than differences.
        integer: whether only whole numbers will do.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def grid(self, n_points: int) -> list[float]:
        """Distinct numbers at equal distances, both ends included."""
        space = np.geomspace if self.log else np.linspace
        return sorted({self.rounded(number) for number in space(self.low, self.high, n_points).tolist()})

    def rounded(self, number: float) -> float:
        """The number as recipes have it: whole, or of three significant digits."""
        if self.integer:
            return round(number)
        return min(max(float(f"{number:.{_DIGITS}g}"), self.low), self.high)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    values: tuple[str, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.values


Dimension: TypeAlias = Interval | Choice


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What may be tried of one family.

    Attributes:
        dimensions: by the name of the hyperparameter.
        predicts_values: whether the family predicts values, so that their error can be searched for.
    """

    dimensions: Mapping[str, Dimension]
    predicts_values: bool

    def without(self, names: Container[str]) -> SearchSpace:
        """The space that is left when some hyperparameters are fixed."""
        left = {name: dimension for name, dimension in self.dimensions.items() if name not in names}
        return replace(self, dimensions=left)

    def within(self, shape: tuple[int, int]) -> SearchSpace:
        """The space with no more factors than a table of this shape, less one, can have."""
        factors = self.dimensions.get("factors")
        if not isinstance(factors, Interval):
            return self
        high = max(1, min(int(factors.high), min(shape) - 1))
        narrowed = replace(factors, low=min(factors.low, high), high=high)
        return replace(self, dimensions={**self.dimensions, "factors": narrowed})


class Grid:
    """Every point of a grid over a space once, in a random order, so that a part of it is a fair part.

    Args:
        space: what is searched.
        n_points: along an interval.
        seed: of the order.

    Raises:
        ConfigError: there are more points than could ever be tried.
    """

    def __init__(self, space: SearchSpace, n_points: int, seed: int) -> None:
        self._axes = {
            name: dimension.grid(n_points) if isinstance(dimension, Interval) else dimension.values
            for name, dimension in space.dimensions.items()
        }
        size = math.prod(map(len, self._axes.values()))
        if size > _MOST_POINTS:
            raise ConfigError(
                f"a grid of {n_points} points along each of {len(self._axes)} hyperparameters has {size:,}; "
                "use fewer --grid-points, fix some hyperparameters by --set, or use --sampler random"
            )
        self._order = np.random.default_rng(seed).permutation(size)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """The point at a place of the order."""
        places = np.unravel_index(self._order[number], [len(axis) for axis in self._axes.values()])
        return {
            name: axis[int(place)] for (name, axis), place in zip(self._axes.items(), places, strict=True)
        }


def _log(low: float, high: float) -> Interval:
    return Interval(low, high, log=True)


def _whole(low: int, high: int, *, log: bool = False) -> Interval:
    return Interval(low, high, log=log, integer=True)


_FACTORS: Final = _whole(8, 256, log=True)
_WEIGHTING: Final = Choice(("linear", "log", "bm25"))
_SGD: Final = {
    "factors": _FACTORS,
    "learning_rate": _log(0.002, 0.05),
    "bias_learning_rate": _log(0.001, 0.05),
    "decay": Interval(0.85, 1.0),
    "regularization": _log(0.01, 0.3),
}
_IMPLICIT_SGD: Final = {
    **_SGD,
    "iterations": _whole(5, 80, log=True),
    "implicit_regularization": _log(0.001, 0.3),
}

SEARCH_SPACES: Final[dict[str, SearchSpace]] = {
    "als": SearchSpace(
        {"factors": _FACTORS, "regularization": _log(0.01, 1.0), "iterations": _whole(5, 40, log=True)},
        predicts_values=True,
    ),
    "ease": SearchSpace({"regularization": _log(10.0, 10_000.0)}, predicts_values=False),
    "funk_svd": SearchSpace(_SGD, predicts_values=True),
    "hybrid_svd": SearchSpace(
        {
            "factors": _FACTORS,
            "similarity_weight": Interval(0.0, 0.95),
            "min_feature_items": _whole(1, 30, log=True),
        },
        predicts_values=False,
    ),
    "ials": SearchSpace(
        {
            "factors": _FACTORS,
            "regularization": _log(0.5, 100.0),
            "ridge_exponent": Interval(0.0, 1.0),
            "unobserved_weight": _log(0.003, 3.0),
            "weighting": _WEIGHTING,
            "iterations": _whole(5, 30, log=True),
        },
        predicts_values=False,
    ),
    "ials_implicit": SearchSpace(
        {
            "factors": _FACTORS,
            "regularization": _log(0.1, 300.0),
            "alpha": _log(0.1, 100.0),
            "weighting": _WEIGHTING,
            "iterations": _whole(5, 30, log=True),
        },
        predicts_values=False,
    ),
    "item_knn": SearchSpace(
        {"similarity": Choice(("cosine", "tfidf", "bm25")), "neighbours": _whole(5, 2_000, log=True)},
        predicts_values=False,
    ),
    "nmf": SearchSpace({"factors": _FACTORS, "iterations": _whole(20, 300, log=True)}, predicts_values=False),
    "popularity": SearchSpace({"half_life": _log(0.5, 3650.0)}, predicts_values=False),
    # Where it is centred it does predict values, but of the unobserved ones it takes every one for the mean.
    "spark_als": SearchSpace(
        {
            "factors": _FACTORS,
            "regularization": _log(0.01, 1.0),
            "iterations": _whole(5, 30, log=True),
        },
        predicts_values=True,
    ),
    "spark_ials": SearchSpace(
        {
            "factors": _FACTORS,
            "regularization": _log(0.001, 1.0),
            "alpha": _log(0.1, 100.0),
            "iterations": _whole(5, 30, log=True),
        },
        predicts_values=False,
    ),
    "svd": SearchSpace(
        {"factors": _FACTORS, "centring": Choice(("none", "global", "item", "user"))}, predicts_values=False
    ),
    "svdpp": SearchSpace(_IMPLICIT_SGD, predicts_values=True),
    "timesvdpp": SearchSpace(
        {
            **_IMPLICIT_SGD,
            "bins": _whole(1, 100, log=True),
            "bin_regularization": _log(5.0, 500.0),
            "drift_scale": _log(0.01, 3.0),
            "period_regularization": _log(1.0, 100.0),
        },
        predicts_values=True,
    ),
}
