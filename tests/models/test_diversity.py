"""Maximal marginal relevance against a plain loop over a plain list."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.diversity import maximal_marginal_relevance


def greedy(relevances, directions, k, diversity):
    """The paper's definition, one candidate after another, without arrays."""
    low, high = min(relevances, default=0.0), max(relevances, default=0.0)
    width = (high - low) or 1.0
    left, chosen = list(range(len(relevances))), []

    def similarity(one, other):
        return math.fsum(a * b for a, b in zip(directions[one], directions[other], strict=True))

    def value(candidate):
        nearest = max((similarity(candidate, each) for each in chosen), default=0.0)
        return (1 - diversity) * (relevances[candidate] - low) / width - diversity * nearest

    while left and len(chosen) < k:
        best = max(left, key=value)
        chosen.append(best)
        left.remove(best)
    return chosen, value


@given(
    n=st.integers(0, 25),
    d=st.integers(1, 4),
    k=st.integers(1, 30),
    diversity=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_choices_are_those_of_the_greedy_loop(n, d, k, diversity, seed):
    """Any pool: the same items in the same order, or, where rounding decides, ones of the same value."""
    rng = np.random.default_rng(seed)
    relevances = rng.normal(size=n)
    directions = rng.normal(size=(n, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) if n else 1.0
    found = maximal_marginal_relevance(relevances, directions, k, diversity).tolist()
    assert len(found) == len(set(found)) == min(k, n)
    for place, position in enumerate(found):
        # The loop started at what was found so far, so that one tie does not make all the rest differ.
        values = dict.fromkeys(set(range(n)) - set(found[:place]))
        low, width = relevances.min(), np.ptp(relevances) or 1.0
        for each in values:
            nearest = max((float(directions[each] @ directions[s]) for s in found[:place]), default=0.0)
            values[each] = (1 - diversity) * (relevances[each] - low) / width - diversity * nearest
        assert values[position] >= max(values.values()) - 1e-12  # float64 sums in another order
    if 0.05 < diversity < 0.95 and d > 1:  # no ties: a line has cosines of ±1 only
        assert found == greedy(relevances.tolist(), directions.tolist(), k, diversity)[0]


def test_no_diversity_is_the_order_of_relevance():
    """δ = 0 sorts; equals stay in the pool's order."""
    relevances = np.array([1.0, 3.0, 2.0, 3.0], dtype=np.float32)
    directions = np.ones((4, 1))
    assert maximal_marginal_relevance(relevances, directions, 4, 0.0).tolist() == [1, 3, 2, 0]


def test_full_diversity_spreads_out():
    """δ = 1: after the first of the pool, what is least like what was chosen."""
    directions = np.array([[1.0, 0.0], [0.999, 0.045], [0.0, 1.0], [-1.0, 0.0]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    assert maximal_marginal_relevance(np.array([4.0, 3, 2, 1]), directions, 3, 1.0).tolist() == [0, 3, 2]


def test_the_unit_of_relevance_does_not_matter():
    """Relevances times any factor, plus any shift, choose the same; equal ones leave it to the cosines."""
    rng = np.random.default_rng(5)
    relevances, directions = rng.normal(size=30), rng.normal(size=(30, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    plain = maximal_marginal_relevance(relevances, directions, 10, 0.4)
    scaled = maximal_marginal_relevance(1000 * relevances - 7, directions, 10, 0.4)
    assert plain.tolist() == scaled.tolist()
    equal = maximal_marginal_relevance(np.ones(30), directions, 2, 0.5)
    assert equal[1] == np.argmin(directions @ directions[equal[0]])
