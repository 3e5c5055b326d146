"""The exact index against a full sort, with ties, duplicates, zeros and exclusions of every size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.index import exact as exact_module
from models.index.base import Eligible
from models.index.exact import ExactIndex, inverse_norms
from tests.models.index.samples import NOTHING, ordered, skewed, small_searches


@given(small_searches())
def test_search_is_a_full_sort_cut_at_k(search):
    """Rows come by descending score, ties by row, none of them excluded, as many as there are up to k."""
    vectors, query, k, excluded = search
    rows, scores = ExactIndex(vectors).search(query, k, excluded)
    truth = vectors.astype(np.float64) @ query
    assert rows.tolist() == ordered(truth, excluded)[:k].tolist()
    assert scores.tolist() == truth[rows].tolist()  # integers: nothing is rounded
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32


@given(small_searches(), st.integers(0, 2**32))
def test_only_eligible_rows_are_returned(search, seed):
    """A mask and a list of exclusions together leave what neither forbids."""
    vectors, query, k, excluded = search
    eligible = np.random.default_rng(seed).random(len(vectors)) < 0.5
    rows, _ = ExactIndex(vectors).search(query, k, excluded, Eligible.where(eligible))
    forbidden = np.union1d(excluded, np.flatnonzero(~eligible))
    assert rows.tolist() == ordered(vectors @ query, forbidden)[:k].tolist()


@given(small_searches(integers=False), st.integers(0, 2**32), st.booleans(), st.sampled_from([1, 16, 2**18]))
def test_scoring_only_the_eligible_rows_gives_what_the_scan_gives(search, seed, scaled, block_bytes):
    """Rows, scores to the bit, and ties, in blocks of any size, zero vectors under the cosine included."""
    vectors, query, k, excluded = search
    vectors[0] = 0
    index = ExactIndex(vectors, inverse_norms(vectors) if scaled else None)
    eligible = Eligible.where(np.random.default_rng(seed).random(len(vectors)) < 0.7)
    scanned = index.search(query, k, excluded, eligible)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(exact_module, "_GATHERED_BYTES", block_bytes)
        among = index.search_among(query, k, eligible.rows, excluded[eligible.mask[excluded]])
    for ours, theirs in zip(among, scanned, strict=True):
        assert ours.tolist() == theirs.tolist()
        assert ours.dtype == theirs.dtype


@given(small_searches(integers=False))
def test_equal_vectors_score_equally_and_come_by_row(search):
    """Copies of one vector have one score to the bit, although a matrix product rounds them apart."""
    vectors, query, k, excluded = search
    rows, scores = ExactIndex(vectors).search(query, k, excluded)
    best_first = list(zip((-scores).tolist(), rows.tolist(), strict=True))
    assert best_first == sorted(best_first)
    for row, score in zip(rows, scores, strict=True):
        copies = np.flatnonzero((vectors == vectors[row]).all(axis=1))
        returned = np.isin(rows, copies)
        assert (scores[returned] == score).all()
        # Of the copies that are left, the first ones are returned.
        left = np.setdiff1d(copies, excluded)
        assert rows[returned].tolist() == left[: returned.sum()].tolist()


@pytest.mark.parametrize("n", [1003, 4098, 41_001])
def test_no_copy_is_lost_to_the_rounding_of_the_matrix_product(n):
    """The last rows of a matrix product, which are summed in another order, still tie with their copies."""
    rng = np.random.default_rng(1)
    vectors = np.tile(rng.standard_normal(64, dtype=np.float32), (n, 1))
    query = rng.standard_normal(64, dtype=np.float32)
    excluded = np.arange(n - 6, dtype=np.int32)
    rows, scores = ExactIndex(vectors).search(query, 4, excluded)
    assert rows.tolist() == list(range(n - 6, n - 2))
    assert len(set(scores.tolist())) == 1


@given(small_searches(integers=False))
def test_a_larger_k_extends_the_list(search):
    """The k best are the first k of the k + 1 best."""
    vectors, query, k, excluded = search
    index = ExactIndex(vectors)
    rows, scores = index.search(query, k, excluded)
    more_rows, more_scores = index.search(query, k + 1, excluded)
    assert more_rows[: len(rows)].tolist() == rows.tolist()
    assert more_scores[: len(rows)].tolist() == scores.tolist()


@given(small_searches(integers=False), st.integers(0, 29))
def test_excluding_a_returned_row_removes_it_and_promotes_the_next(search, place):
    """Nothing else moves when one row is excluded."""
    vectors, query, k, excluded = search
    index = ExactIndex(vectors)
    rows, _ = index.search(query, k + 1, excluded)
    if len(rows) == 0:
        return
    gone = rows[place % len(rows)]
    left, _ = index.search(query, k, np.union1d(excluded, gone).astype(np.int32))
    assert left.tolist() == [row for row in rows.tolist() if row != gone][:k]


def test_many_queries_at_once_are_answered_as_one_by_one():
    """A batch gives the same rows and, to the bit, the same scores as single searches."""
    rng = np.random.default_rng(2)
    vectors, queries = skewed(3000, 24, rng), rng.standard_normal((50, 24), dtype=np.float32)
    excluded = [np.sort(rng.choice(3000, size, replace=False)).astype(np.int32) for size in range(50)]
    for scale in (None, inverse_norms(vectors)):
        index = ExactIndex(vectors, scale)
        for answer, query, rows in zip(
            index.search_many(queries, 9, excluded), queries, excluded, strict=True
        ):
            for batch, single in zip(answer, index.search(query, 9, rows), strict=True):
                assert batch.tolist() == single.tolist()


@pytest.mark.parametrize("n", [10, 6000])
def test_a_query_without_direction_returns_the_first_rows(n):
    """A query of zeros ties all rows, however many, and ties fall by row."""
    vectors = np.random.default_rng(3).standard_normal((n, 4), dtype=np.float32)
    rows, scores = ExactIndex(vectors).search(np.zeros(4, np.float32), 5, np.array([0, 2], dtype=np.int32))
    assert rows.tolist() == [1, 3, 4, 5, 6]
    assert scores.tolist() == [0.0] * 5


def test_scaled_scores_are_cosines_and_zero_vectors_are_never_returned():
    """With inverse norms and a unit query scores are cosines; a vector without direction has none."""
    rng = np.random.default_rng(4)
    vectors = skewed(200, 8, rng)
    vectors[[5, 50]] = 0
    vectors[7] = 1e-41  # so short that float32 cannot hold the inverse of its norm
    query = (vectors[9] / np.linalg.norm(vectors[9].astype(np.float64))).astype(np.float32)
    index = ExactIndex(vectors, inverse_norms(vectors))
    rows, scores = index.search(query, 200)
    assert index.n_eligible == len(rows) == 197
    assert not np.isin([5, 7, 50], rows).any()
    precise = vectors[rows].astype(np.float64)
    cosines = precise @ query / np.linalg.norm(precise, axis=1)
    np.testing.assert_allclose(scores, cosines, atol=1e-6)  # a few float32 roundings of numbers up to 1
    assert rows[0] == 9


def test_a_read_only_memory_map_is_searched_in_place(tmp_path):
    """Mapped vectors, as an artifact has them, give the same answers and are not copied."""
    vectors = np.random.default_rng(5).standard_normal((500, 16), dtype=np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    index = ExactIndex(mapped)
    assert np.shares_memory(index.vectors, mapped)
    for ours, theirs in zip(
        index.search(mapped[3], 7), ExactIndex(vectors).search(vectors[3], 7), strict=True
    ):
        assert ours.tolist() == theirs.tolist()


def test_nothing_is_found_where_nothing_is():
    """An empty catalogue, everything excluded and everything masked all give empty answers."""
    empty = ExactIndex(np.empty((0, 3), dtype=np.float32))
    some = ExactIndex(np.ones((4, 3), dtype=np.float32))
    query = np.ones(3, dtype=np.float32)
    everything = np.arange(4, dtype=np.int32)
    for rows, scores in (
        empty.search(query, 5),
        some.search(query, 5, everything),
        some.search(query, 5, NOTHING, Eligible.where(np.zeros(4, dtype=bool))),
        some.search_among(query, 5, everything, everything),
        some.search_among(query, 5, NOTHING),
    ):
        assert len(rows) == len(scores) == 0
