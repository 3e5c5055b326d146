"""Top-k lists of many users: against a dense oracle in float64, whatever the blocks and tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from models import top_lists
from models.index.base import Eligible
from models.index.exact import ExactIndex
from models.row_rules import ExplicitRule, ImplicitRule
from models.row_solve import Rows
from models.row_solve.rows import pointers
from models.top_lists import TopListMaker
from models.types import NOBODY

RULE = ImplicitRule(alpha=1, regularization=1)
BIASED = ExplicitRule(global_mean=3.5, biased=True, regularization=1, ridge="constant")


def histories(seen):
    """Rows in which user u has had the items of seen[u]."""
    indices = np.array([item for items in seen for item in sorted(items)], dtype=np.int32)
    lengths = np.array([len(items) for items in seen], dtype=np.int64)
    return Rows(pointers(lengths), indices, np.ones(len(indices), dtype=np.float32))


def made(maker, users, k, seen=None):
    """Items and scores of all blocks together, as lists without what fills them up."""
    blocks = list(maker.lists(np.asarray(users, dtype=np.int32), k, seen))
    assert_array_equal(np.concatenate([block.users for block in blocks]), users)
    return [
        [(int(item), float(score)) for item, score in zip(items, scores, strict=True) if item != NOBODY]
        for block in blocks
        for items, scores in zip(block.items, block.scores, strict=True)
    ]


def expected(scores, k, excluded):
    """The k best of one user's scores by a full sort, equal scores in the order of items."""
    left = [item for item in range(len(scores)) if item not in excluded]
    best = sorted(left, key=lambda item: (-scores[item], item))[:k]
    return [(item, float(scores[item])) for item in best]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles and blocks so small that a tiny table has several of them, none of which divides it."""
    monkeypatch.setattr(top_lists, "_TILE_USERS", 4)
    monkeypatch.setattr(top_lists, "_TILE_ITEMS", 7)
    monkeypatch.setattr(top_lists, "_LEAST_BLOCK_USERS", 9)
    monkeypatch.setattr(top_lists, "_BLOCK_ENTRIES", 1)


TABLES = st.tuples(st.integers(1, 25), st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**32))


@pytest.mark.parametrize("rule", [RULE, BIASED], ids=["plain", "biased"])
def test_lists_are_those_of_a_full_sort(rule, small_tiles):  # noqa: ARG001
    """Factors are small integers, so that scores are exact and many are equal: ties go by the item's row."""

    @given(TABLES, st.integers(1, 12), st.booleans(), st.booleans())
    def check(table, k, filtered, excluding):
        n_users, n_items, width, seed = table
        rng = np.random.default_rng(seed)
        user_factors = rng.integers(-2, 3, (n_users, width + 1)).astype(np.float32)
        user_factors[:, 0] = 1  # nobody's factors are zero
        item_factors = rng.integers(-2, 3, (n_items, width + 1)).astype(np.float32)
        mask = rng.random(n_items) < 0.5 if filtered else np.ones(n_items, dtype=bool)
        seen = [set(np.flatnonzero(rng.random(n_items) < 0.3).tolist()) for _ in range(n_users)]
        users = rng.permutation(n_users)[: rng.integers(1, n_users + 1)]
        maker = TopListMaker(rule, user_factors, item_factors, Eligible.where(mask) if filtered else None)
        lists = made(maker, users, k, histories(seen) if excluding else None)
        p, q = user_factors.astype(np.float64), item_factors.astype(np.float64)
        scores = 3.5 + p[:, :-1] @ q[:, :-1].T + p[:, -1:] + q[:, -1] if rule is BIASED else p @ q.T
        for user, ours in zip(users.tolist(), lists, strict=True):
            excluded = (seen[user] if excluding else set()) | set(np.flatnonzero(~mask).tolist())
            # Dozens of equal scores can outnumber the spare candidates, and rows come in order all the same.
            assert ours == expected(scores[user], k, excluded)

    check()


def test_lists_are_to_the_bit_those_that_the_service_searches_exactly():
    """On factors of real size, items and scores equal the exact index's, several tiles and blocks wide."""
    rng = np.random.default_rng(0)
    user_factors = rng.normal(size=(700, 64)).astype(np.float32)
    item_factors = rng.normal(size=(3_000, 64)).astype(np.float32)
    item_factors[1_500] = item_factors[3]  # equal scores in two tiles
    seen = [rng.choice(3_000, 20, replace=False).tolist() for _ in range(700)]
    index = ExactIndex(item_factors)
    lists = made(TopListMaker(RULE, user_factors, item_factors), range(700), 10, histories(seen))
    for user, ours in enumerate(lists):
        rows, scores = index.search(user_factors[user], 10, np.sort(np.array(seen[user], dtype=np.int32)))
        assert [item for item, _ in ours] == rows.tolist()
        assert [score for _, score in ours] == scores.tolist()


def test_a_user_without_a_preference_has_no_list():
    """Zero factors rank nothing; with biases of items they do, and then so does the list."""
    user_factors, item_factors = np.zeros((1, 3), np.float32), np.eye(3, dtype=np.float32)
    assert made(TopListMaker(RULE, user_factors, item_factors), [0], 2) == [[]]
    assert made(TopListMaker(BIASED, user_factors, item_factors), [0], 2) == [[(2, 4.5), (0, 3.5)]]
    without_biases = TopListMaker(BIASED, user_factors, item_factors * np.float32([1, 1, 0]))
    assert made(without_biases, [0], 2) == [[]]


def test_who_has_had_everything_and_an_empty_filter_get_nothing():
    """Nothing is made up where no item is left."""
    factors = np.ones((2, 2), dtype=np.float32)
    maker = TopListMaker(RULE, factors, factors)
    assert made(maker, [0, 1], 5, histories([{0, 1}, {0}])) == [[], [(1, 2.0)]]
    nothing = TopListMaker(RULE, factors, factors, Eligible.where(np.zeros(2, dtype=bool)))
    assert made(nothing, [0, 1], 5) == [[], []]


def test_memory_does_not_grow_with_the_number_of_users(monkeypatch):
    """No block is made before it is asked for, and its size depends on k alone."""
    factors = np.ones((5_000, 2), dtype=np.float32)
    maker = TopListMaker(RULE, factors, np.ones((30, 2), dtype=np.float32))
    taken = []
    monkeypatch.setattr(maker, "_lists", lambda users, *_: taken.append(len(users)) or (users, users))
    blocks = maker.lists(np.arange(5_000, dtype=np.int32), 1_000)
    assert taken == []
    next(blocks)
    assert sum(taken) == 1_024
    assert sum(len(block.users) for block in blocks) == 5_000 - 1_024
