"""The check of a posterior, on data that were drawn from the model that it assumes."""

from __future__ import annotations

import numpy as np
import pytest

from models.posterior_check import check_posterior
from models.row_rules import ExplicitRule, FixedSide, ImplicitRule, PopularityRule
from models.row_solve import Rows

N_USERS, N_ITEMS, D, SIGMA = 300, 120, 5, 0.6


def drawn(scale=1.0):
    """Items, a rule, and known and hidden ratings of users that were drawn from the rule's own prior."""
    rng = np.random.default_rng(0)
    factors = np.hstack([rng.normal(size=(N_ITEMS, D - 1)), rng.normal(0, 0.3, (N_ITEMS, 1))])
    factors = factors.astype(np.float32)
    design = factors.copy()
    design[:, -1] = 1
    known, hidden = [], []
    for _ in range(N_USERS):
        ratings = 3 + factors[:, -1] + design @ rng.normal(size=D) + rng.normal(0, SIGMA, N_ITEMS)
        items = rng.permutation(N_ITEMS)[:18]
        for rows, some in ((known, items[:12]), (hidden, items[12:])):
            chosen = np.sort(some).astype(np.int32)
            rows.append((chosen, ratings[chosen]))
    rule = ExplicitRule(global_mean=3.0, regularization=scale * SIGMA**2, ridge="constant")
    return FixedSide(factors), rule, *(stacked(rows) for rows in (known, hidden))


def stacked(rows):
    """Many rows as one."""
    return Rows(
        np.cumsum([0, *(len(items) for items, _ in rows)], dtype=np.int64),
        np.concatenate([items for items, _ in rows]),
        np.concatenate([values for _, values in rows]).astype(np.float32),
    )


def test_a_true_model_is_calibrated_both_ways():
    """Ratings and scores' movements stay within their intervals as often as promised."""
    side, rule, known, hidden = drawn()
    found = check_posterior(side, rule, known, known, hidden, np.random.default_rng(1))
    assert found.ratings.errors == 256 * 6
    assert found.movement.errors == 256 * 50
    for level in (0.5, 0.9):
        # 1 536 ratings; movements of one row have five degrees of freedom, so 1 280 are independent
        assert found.ratings.coverage[level] == pytest.approx(level, abs=0.05)
        assert found.movement.coverage[level] == pytest.approx(level, abs=0.05)
    assert found.ratings.ratio == pytest.approx(1, abs=0.08)
    assert found.movement.ratio == pytest.approx(1, abs=0.08)
    assert found.movement.sharpness > 0.05  # items differ in how much is known of them


def test_a_wrong_prior_is_found_out():
    """A ridge 100 times too strong promises too little movement."""
    side, rule, known, hidden = drawn(scale=100.0)
    found = check_posterior(side, rule, known, known, hidden, np.random.default_rng(1))
    assert found.movement.ratio > 1.3


def test_preferences_have_no_ratings_to_check():
    """Implicit scores are checked by their movement only; nobody to check is no result."""
    side, _, known, hidden = drawn()
    rule = ImplicitRule(alpha=1.0, regularization=1.0)
    found = check_posterior(side, rule, known, known, hidden, np.random.default_rng(1))
    assert found.ratings is None
    assert found.movement.errors > 128 * 50
    nobody = known.select(np.empty(0, dtype=np.int32))
    empty = check_posterior(side, rule, known, nobody, nobody, np.random.default_rng(1))
    assert (empty.ratings, empty.movement) == (None, None)
    assert check_posterior(side, PopularityRule(), known, known, hidden, np.random.default_rng(1)) is None
