"""Search spaces: every family has one, and all that can be drawn from it is a valid recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ConfigError
from models.registry import EVALUATED, configure
from models.search.spaces import SEARCH_SPACES, Choice, Grid, Interval, SearchSpace
from tests.models.strategies import clustered_table, make_dataset

every_family = pytest.mark.parametrize("family", list(EVALUATED))


def test_every_family_has_a_search_space():
    """Neither a family without a space, nor a space without a family."""
    assert SEARCH_SPACES.keys() == EVALUATED.keys()


@every_family
@given(data=st.data())
def test_all_that_can_be_drawn_is_valid(family, data):
    """Whatever point of the space is drawn, rounded as it is tried, the family's config takes it."""
    hyperparameters = {}
    for name, dimension in SEARCH_SPACES[family].dimensions.items():
        if isinstance(dimension, Interval):
            drawn = data.draw(st.floats(dimension.low, dimension.high))
            hyperparameters[name] = dimension.rounded(drawn)
            assert hyperparameters[name] in dimension
        else:
            hyperparameters[name] = data.draw(st.sampled_from(dimension.values))
    configured = configure(family, hyperparameters).model_dump(mode="json")
    for name, value in hyperparameters.items():
        kept = configured[name]["kind"] if isinstance(configured[name], dict) else configured[name]
        assert kept == value


@every_family
def test_defaults_are_in_the_space(family):
    """A search can come back to what the family does anyway, unless that follows from the table (None)."""
    defaults = configure(family, {}).model_dump(mode="json")
    for name, dimension in SEARCH_SPACES[family].dimensions.items():
        default = defaults[name]["kind"] if isinstance(defaults[name], dict) else defaults[name]
        assert default is None or default in dimension, name


@every_family
def test_whether_values_are_predicted_is_what_fits_say(family):
    """The flag that decides whether RMSE may be searched for agrees with a fitted model."""
    ratings = clustered_table(40, 30, 3, np.random.default_rng(0))
    times = np.arange(np.count_nonzero(~np.isnan(ratings))) * 3600
    metadata = {f"i{item:05}": {"genres": [f"genre {item % 5}"]} for item in range(30)}
    dataset = replace(make_dataset(ratings, timestamps=times), metadata=metadata)
    fewer = {"factors": 4} if "factors" in SEARCH_SPACES[family].dimensions else {}
    model = EVALUATED[family].make(configure(family, fewer)).fit(dataset, rng=np.random.default_rng(0))
    assert model.predicts_values == SEARCH_SPACES[family].predicts_values


@given(low=st.floats(1e-3, 1e3), ratio=st.floats(1, 1e3), points=st.integers(2, 7), log=st.booleans())
def test_grids_span_the_interval(low, ratio, points, log):
    """A grid rises, has no more points than asked for, stays inside, and reaches both ends (to 3 digits)."""
    interval = Interval(low, low * ratio, log=log)
    grid = interval.grid(points)
    assert grid == sorted(set(grid))
    assert 1 <= len(grid) <= points
    assert all(point in interval for point in grid)
    np.testing.assert_allclose([grid[0], grid[-1]], [low, low * ratio], rtol=6e-3)  # half of the third digit


def test_small_tables_narrow_the_factors():
    """No more factors than the smaller side less one, and at least one; other dimensions stay."""
    space = SEARCH_SPACES["als"]
    assert space.within((40, 30)).dimensions["factors"] == Interval(8, 29, log=True, integer=True)
    assert space.within((40, 2)).dimensions["factors"] == Interval(1, 1, log=True, integer=True)
    assert space.within((10_000, 10_000)) == space
    assert space.within((40, 30)).without({"factors"}) == space.without({"factors"})


def test_a_grid_is_every_combination_once_in_the_order_of_a_seed():
    """The points are the product of the axes; a seed gives the same order again, another seed another."""
    space = SearchSpace(
        {"factors": Interval(1, 9, integer=True), "weighting": Choice(("linear", "log"))}, False
    )
    points = list(map(tuple, (point.values() for point in Grid(space, 5, 0))))
    assert sorted(points) == [(factors, kind) for factors in (1, 3, 5, 7, 9) for kind in ("linear", "log")]
    assert list(Grid(space, 5, 0)) == list(Grid(space, 5, 0))
    assert list(Grid(space, 5, 0)) != list(Grid(space, 5, 1))


def test_endless_grids_are_refused():
    """More points than anybody tries: the message says how many, and what to do."""
    with pytest.raises(ConfigError, match=r"has [\d,]+; use fewer --grid-points, fix some"):
        Grid(SEARCH_SPACES["timesvdpp"], 10, 0)
