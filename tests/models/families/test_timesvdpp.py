"""timeSVD++: its fold-in and predictions against dense least squares, and what it makes of time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import TypeAdapter

from models.errors import DataError
from models.families.base import closing_sweep, row_solutions
from models.families.svdpp import SVDPP, SVDPPConfig
from models.families.timesvdpp import TimeSVDPP, TimeSVDPPConfig
from models.fold_in import FoldIn
from models.metrics import root_mean_squared_error
from models.row_rules import BIN_BIASES, IMPLICIT_FACTORS, FixedSide, Periods, RowRule, TimeSVDPPRule
from models.row_solve import Rows
from models.split import random_split
from tests import reference
from tests.models.strategies import make_dataset

DAY = 86_400


@st.composite
def cases(draw):
    """An item side, two histories with times, and a rule."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_items, n_factors = draw(st.integers(3, 12)), draw(st.integers(1, 5))
    edges = (5 * DAY, 9 * DAY)
    bin_biases = rng.normal(size=(n_items, 3)).astype(np.float32)
    factors = np.column_stack([rng.normal(size=(n_items, n_factors)), bin_biases[:, -1]]).astype(np.float32)
    implicit = rng.normal(0, 0.3, (n_items, n_factors)).astype(np.float32)
    lengths = [draw(st.integers(1, n_items)), draw(st.integers(1, n_items))]
    rows = Rows(
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([np.sort(rng.permutation(n_items)[:length]) for length in lengths]).astype(np.int32),
        rng.integers(1, 6, sum(lengths)).astype(np.float32),
        rng.integers(0, draw(st.sampled_from([1, 3 * DAY, 15 * DAY])), sum(lengths)),
    )
    rule = TimeSVDPPRule(
        global_mean=3.5,
        regularization=draw(st.floats(0.02, 2)),
        drift_power=draw(st.sampled_from([0.4, 1.0])),
        drift_scale=0.5,
        period_seconds=DAY,
        period_regularization=draw(st.floats(0.1, 20)),
        bin_edges=edges,
    )
    return FixedSide(factors, {IMPLICIT_FACTORS: implicit, BIN_BIASES: bin_biases}), rows, rule


def dense_row(side, history, rule):
    """[p, b, α], z, the biases by day, and dev(t) of one history, by the equations as they are written."""
    q = side.factors[history.indices, :-1].astype(np.float64)
    z = side.arrays[IMPLICIT_FACTORS][history.indices].sum(axis=0) / np.sqrt(len(q))
    bins = [sum(time >= edge for edge in rule.bin_edges) for time in history.times]
    item_biases = side.arrays[BIN_BIASES][history.indices, bins]
    targets = history.values - rule.global_mean - item_biases - q @ z
    centre = np.mean(history.times / DAY)

    def drift(time):
        days = time / DAY - centre
        return 0.0 if abs(days) < 1e-9 else rule.drift_scale * np.sign(days) * abs(days) ** rule.drift_power

    days = sorted({time // DAY for time in history.times.tolist()})
    groups = [days.index(time // DAY) for time in history.times.tolist()]
    design = np.column_stack([q, np.ones(len(q)), [drift(time) for time in history.times]])
    solution, biases = reference.biased_row(
        design, targets, rule.regularization * len(q), groups, rule.period_regularization
    )
    return solution, z, dict(zip(days, biases, strict=True)), drift


@given(cases())
def test_fold_in_is_the_joint_dense_solution_at_the_last_entry(case):
    """Eliminating the biases of the days changes nothing: the vector is that of the joint least squares."""
    side, rows, rule = case
    swept = closing_sweep(rule, rows, side)
    for user in range(2):
        history = rows.only(user)
        solution, z, biases, drift = dense_row(side, history, rule)
        last = history.times.max()
        bias = solution[-2] + solution[-1] * drift(last) + biases[last // DAY]
        folded = FoldIn(side, rule).solve(history).vector
        assert_allclose(folded, np.append(solution[:-2] + z, bias), rtol=1e-3, atol=1e-4)  # float32 designs
        assert_allclose(swept[user], folded, rtol=1e-5, atol=1e-6)


@given(cases())
def test_predictions_are_at_the_entries_own_times(case):
    """r̂ of any entry is the equation at its time; a day that the user has no entry on has no bias."""
    side, rows, rule = case
    n_items = len(side.factors)
    rng = np.random.default_rng(0)
    asked = Rows(
        np.array([0, n_items, 2 * n_items]),
        np.tile(np.arange(n_items, dtype=np.int32), 2),
        np.zeros(2 * n_items, np.float32),
        rng.integers(0, 20 * DAY, 2 * n_items),
    )
    predicted = rule.predict(row_solutions(rule, rows, side), rows, asked, side)
    for user in range(2):
        solution, z, biases, drift = dense_row(side, rows.only(user), rule)
        times = asked.only(user).times
        bins = [sum(time >= edge for edge in rule.bin_edges) for time in times]
        expected = (
            3.5
            + side.arrays[BIN_BIASES][np.arange(n_items), bins]
            + side.factors[:, :-1] @ (solution[:-2] + z)
            + solution[-2]
            + solution[-1] * np.array([drift(time) for time in times])
            + np.array([biases.get(time // DAY, 0) for time in times])
        )
        assert_allclose(predicted[user * n_items :][:n_items], expected, rtol=1e-3, atol=2e-4)


@given(cases())
def test_explanations_sum_to_the_score(case):
    """Contributions and intercept of every item are its score as of the last entry."""
    side, rows, rule = case
    fold_in = FoldIn(side, rule)
    row = fold_in.solve(rows.only(0))
    items = np.arange(len(side.factors), dtype=np.int32)
    explained = fold_in.contributions(row, items).sum(axis=1) + fold_in.intercepts(row, items)
    scores = side.factors @ rule.query(row.vector) + rule.shift(row.vector)
    assert_allclose(explained, scores, rtol=1e-4, atol=1e-4)  # scores are sums of float32 products


@given(cases())
def test_periods_group_the_entries_of_a_row_and_day(case):
    """Groups are the distinct pairs of row and day, in their order; sums are over their entries."""
    _, rows, _ = case
    periods = Periods.of(rows, DAY)
    pairs = list(zip(rows.row_numbers.tolist(), (rows.times // DAY).tolist(), strict=True))
    expected = sorted(set(pairs))
    assert list(zip(periods.rows.tolist(), periods.numbers.tolist(), strict=True)) == expected
    assert [expected[group] for group in periods.of_entry] == pairs
    sums = [
        sum(v for v, pair in zip(rows.values.tolist(), pairs, strict=True) if pair == e) for e in expected
    ]
    assert_allclose(periods.sums(rows.values), sums)
    assert_array_equal(periods.find(rows.row_numbers, rows.times // DAY)[0], periods.of_entry)


def test_an_empty_history_folds_in_to_zeros():
    """Nobody's history has no factors and no bias."""
    side = FixedSide(
        np.ones((3, 3), np.float32),
        {IMPLICIT_FACTORS: np.ones((3, 2), np.float32), BIN_BIASES: np.ones((3, 1), np.float32)},
    )
    rule = TimeSVDPPRule(
        regularization=1,
        drift_power=0.4,
        drift_scale=1,
        period_seconds=DAY,
        period_regularization=1,
        bin_edges=(),
    )
    nothing = Rows.one(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert not FoldIn(side, rule).solve(nothing).vector.any()
    adapter = TypeAdapter(RowRule)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule


def test_a_table_without_times_is_refused_with_the_remedy():
    """No time column is an error before training, and names the column's option and the model to use."""
    with pytest.raises(DataError, match="--time-column, or use family svdpp"):
        TimeSVDPP(TimeSVDPPConfig(factors=1)).fit(
            make_dataset(np.array([[1.0, 2.0], [3.0, 4.0]])), rng=np.random.default_rng(0)
        )


def test_moods_of_a_day_and_fashions_of_items_are_learned():
    """Where users have days and items have seasons, timeSVD++ predicts far better than SVD++."""
    rng = np.random.default_rng(11)
    shape = (150, 60)
    days = rng.integers(0, 20, shape)
    mood = rng.normal(0, 0.8, (150, 20))[np.arange(150)[:, None], days]
    season = rng.normal(0, 0.8, (60, 2))[np.arange(60)[None, :], days // 10]
    table = 3 + mood + season + rng.normal(0, 0.3, shape)
    table[rng.random(shape) > 0.7] = np.nan
    dataset = make_dataset(table, timestamps=(days * DAY)[~np.isnan(table)])
    hidden = random_split(dataset, 0.2, rng)
    training, test = dataset.with_entries(~hidden), dataset.with_entries(hidden).histories
    common = {
        "factors": 4,
        "iterations": 60,
        "learning_rate": 0.02,
        "bias_learning_rate": 0.02,
        "decay": 0.99,
    }
    timed = TimeSVDPP(TimeSVDPPConfig(bins=2, period_regularization=1, bin_regularization=1, **common)).fit(
        training, rng=rng
    )
    plain = SVDPP(SVDPPConfig(**common)).fit(training, rng=rng)
    error, without = (root_mean_squared_error(model.predict(test), test.values) for model in (timed, plain))
    assert error < 0.75 * without
