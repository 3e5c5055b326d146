"""Metrics against independent code: trec_eval (ir-measures), scikit-learn, a few lines of NumPy."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from models.evaluation.lists import best_items, found
from models.evaluation.measures import (
    MEASURES,
    accuracy,
    coverage,
    errors,
    gini,
    mean_listed,
    popularity_groups,
    self_information,
)
from models.row_solve import Rows
from models.types import NOBODY


def rows(sets):
    """Rows of the given sets of items."""
    indptr = np.concatenate([[0], np.cumsum([len(items) for items in sets])]).astype(np.int64)
    indices = np.array([item for items in sets for item in sorted(items)], dtype=np.int32)
    return Rows(indptr, indices, np.ones(len(indices), dtype=np.float32))


@st.composite
def judged_people(draw):
    """Scores ``(n, n_items)`` with ties, what is known and what is hidden of each, and k."""
    n_items = draw(st.integers(2, 12))
    n = draw(st.integers(1, 6))
    k = draw(st.integers(1, n_items))
    scores = np.random.default_rng(draw(st.integers(0, 999))).integers(
        0, draw(st.integers(1, 30)), (n, n_items)
    )
    items = st.integers(0, n_items - 1)
    hidden = [draw(st.sets(items, min_size=1)) for _ in range(n)]
    known = [draw(st.sets(items, max_size=n_items - 1)) - hidden[row] for row in range(n)]
    return scores.astype(np.float32), known, hidden, k


@given(judged_people())
def test_lists_are_the_stable_sort_without_what_is_known(case):
    """Best first, equal scores in the order of items, nothing known, and NOBODY where nothing is left."""
    scores, known, _, k = case
    lists = best_items(scores.copy(), rows(known), k)
    for row, of_person in enumerate(known):
        order = [item for item in np.argsort(-scores[row], kind="stable").tolist() if item not in of_person]
        assert lists[row].tolist() == (order + [NOBODY] * k)[:k]


def test_undefined_scores_are_never_listed():
    """NaN and −∞ are no recommendations, whatever k."""
    scores = np.array([[np.nan, 1, -np.inf, 3]], dtype=np.float32)
    assert best_items(scores, rows([set()]), 4).tolist() == [[3, 1, NOBODY, NOBODY]]


@given(judged_people())
def test_accuracy_agrees_with_trec_eval(case):
    """Each metric of each person is trec_eval's, with the denominators that docs/evaluation.md states."""
    scores, known, hidden, k = case
    lists = best_items(scores.copy(), rows(known), k)
    ours = accuracy(found(lists, rows(hidden)), rows(hidden).lengths)
    # Only listed items go into the run, by descending rank, so that trec_eval's own tie rule has no say.
    run = [
        ir_measures.ScoredDoc(str(person), str(item), float(-rank))
        for person, of_person in enumerate(lists.tolist())
        for rank, item in enumerate(of_person)
        if item != NOBODY
    ]
    run += [ir_measures.ScoredDoc(str(person), "padding", -1e6) for person in range(len(lists))]
    qrels = [ir_measures.Qrel(str(p), str(item), 1) for p, items in enumerate(hidden) for item in items]
    asked = {
        "ndcg": nDCG @ k,
        "uncapped_recall": R @ k,
        "precision": P @ k,
        "map": AP @ k,
        "mrr": RR @ k,
        "hit_rate": Success @ k,
    }
    theirs = {(m.query_id, m.measure): m.value for m in ir_measures.iter_calc(asked.values(), qrels, run)}
    n_hidden = np.array([len(items) for items in hidden])
    reachable = np.minimum(n_hidden, k)
    for name, measure in asked.items():
        expected = np.array([theirs[str(person), measure] for person in range(len(hidden))])
        if name == "map":  # trec_eval divides by all hidden items, we by those that fit into the list
            expected = expected * n_hidden / reachable
        np.testing.assert_allclose(ours[name], expected, rtol=1e-9, err_msg=name)  # float64 throughout
    np.testing.assert_allclose(ours["recall"], ours["uncapped_recall"] * n_hidden / reachable, rtol=1e-12)


@given(seed=st.integers(0, 999), n=st.integers(1, 40))
def test_errors_agree_with_scikit_learn(seed, n):
    """RMSE and MAE put together from the parts of users are those over all entries."""
    rng = np.random.default_rng(seed)
    predicted, actual = rng.normal(size=(2, n)).astype(np.float32)
    parts = errors(predicted, actual, rng.integers(0, 5, n).astype(np.int32), 5)
    for name, theirs in (("rmse", root_mean_squared_error), ("mae", mean_absolute_error)):
        ours = MEASURES[name].value(*(part.sum() for part in parts[name]))
        assert ours == pytest.approx(theirs(actual.astype(float), predicted.astype(float)), rel=1e-9)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts):
    """The sorted formula is the definition by all pairs: Σᵢⱼ abs(xᵢ − xⱼ) / (2n Σx)."""
    x = np.array(counts)
    by_pairs = np.abs(x[:, np.newaxis] - x).sum() / (2 * len(x) * x.sum())
    assert gini(x) == pytest.approx(by_pairs, abs=1e-12)


def test_coverage_counts_items_not_listings():
    """Two of four items were listed, however often."""
    assert coverage(np.array([0, 7, 1, 0])) == 0.5


def test_novelty_is_the_mean_self_information_of_the_listed():
    """−log₂ of the shares 1/2 and 1/8 are 1 and 3 bits; NOBODY does not count; no user counts as one."""
    information = self_information(np.array([4, 1, 0]), 8)
    assert information.tolist() == [1.0, 3.0, 3.0]
    lists = np.array([[0, 1], [1, NOBODY], [NOBODY, NOBODY]], dtype=np.int32)
    assert mean_listed(lists, information).tolist() == [2.0, 3.0, 0.0]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60).filter(any), st.integers(1, 10))
def test_popularity_groups_share_the_interactions(counts, n_groups):
    """Groups go from popular to rare, and each has its share of the interactions, to within one item."""
    popularity = np.array(counts)
    groups = popularity_groups(popularity, n_groups)
    by_popularity = groups[np.argsort(-popularity, kind="stable")]
    assert (np.diff(by_popularity) >= 0).all()
    share = popularity.sum() / n_groups
    held = np.bincount(groups, weights=popularity, minlength=n_groups)
    assert (np.abs(held - share) <= popularity.max() + 1e-9).all()
