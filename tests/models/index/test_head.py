"""The head: whatever its size, answers are those of the scan of all rows; and it is chosen to suffice."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ArtifactError
from models.index import head
from models.index.base import Eligible
from models.index.certificate import GraphSetting, HeadSetting, RecallCertificate
from models.index.exact import ExactIndex, row_norms
from models.index.head import Head, shortest_norm
from models.index.hnsw import HnswIndex
from models.index.retriever import FilteredCosts, Retriever, open_retriever
from tests.models.index.samples import NOTHING, ordered, skewed, small_searches


def with_head(vectors, share):
    """An exact index whose head are the rows of the largest norms, about this share of them."""
    shortest = float(np.quantile(row_norms(vectors), 1 - share))
    return ExactIndex(vectors, head=Head(vectors, shortest))


@given(
    search=small_searches() | small_searches(integers=False),
    share=st.floats(0, 1),
    seed=st.none() | st.integers(0, 2**32),
    besides=st.sampled_from([0, 1]),
)
def test_with_a_head_the_scan_answers_the_same(search, share, seed, besides):
    """Bit for bit, for every head: ties, exclusions, filters, too few rows and queries of zeros included."""
    vectors, query, k, excluded = search
    eligible = None
    if seed is not None:
        eligible = Eligible.where(np.random.default_rng(seed).random(len(vectors)) < 0.6)
    expected = ExactIndex(vectors).search(query, k, excluded, eligible)
    index = with_head(vectors, share)
    with patch.object(head, "_BESIDES", besides):
        for found in (
            index.search(query, k, excluded, eligible),
            index.head.search(query, k, excluded, eligible) or expected,
        ):
            assert found[0].tolist() == expected[0].tolist()
            assert found[1].tobytes() == expected[1].tobytes()
    if eligible is None:
        (many,) = index.search_many(query[np.newaxis], k, [excluded])
        assert many[0].tolist() == expected[0].tolist()
        assert many[1].tobytes() == expected[1].tobytes()


def test_a_head_of_skewed_norms_settles_most_queries_and_leaves_the_others():
    """Both kinds occur: a query along the head's items, and one that no item of the head fits."""
    rng = np.random.default_rng(0)
    vectors = skewed(2000, 8, rng)
    index = with_head(vectors, 0.2)
    queries = rng.standard_normal((300, 8)).astype(np.float32)
    settled = [index.head.search(query, 10, NOTHING, None) is not None for query in queries]
    assert np.mean(settled) > 0.8
    vectors[index.head.rows, 0] = 0
    index = with_head(vectors, 0.2)
    axis = np.eye(8, dtype=np.float32)[0]
    assert index.head.search(axis, 10, NOTHING, None) is None
    assert index.search(axis, 10)[0].tolist() == ordered(vectors @ axis)[:10].tolist()


def test_what_the_head_does_not_settle_takes_few_others_besides(monkeypatch):
    """Long lists: the answer is that of the scan, and no more rows are scored than can matter."""
    rng = np.random.default_rng(6)
    vectors = skewed(4000, 8, rng)
    index = with_head(vectors, 0.05)
    scored = []
    search_among = ExactIndex.search_among

    def counted(self, vector, k, rows, *rest):
        scored.append(len(rows))
        return search_among(self, vector, k, rows, *rest)

    monkeypatch.setattr(ExactIndex, "search_among", counted)
    monkeypatch.setattr(ExactIndex, "scan", None)
    for query in rng.standard_normal((50, 8)).astype(np.float32):
        excluded = np.sort(rng.choice(4000, 30, replace=False)).astype(np.int32)
        found = index.head.search(query, 40, excluded, None)
        if found is not None:
            assert found[0].tolist() == ordered(vectors @ query, excluded)[:40].tolist()
    assert len(scored) > 10
    assert max(scored) <= 4000 / 8


def test_rows_outside_are_not_the_head_and_are_shorter():
    """A head copies what is at least as long as asked, in the order of rows."""
    vectors = skewed(500, 6, np.random.default_rng(1))
    norms = row_norms(vectors)
    own = Head(vectors, float(np.median(norms)))
    assert own.rows.tolist() == np.flatnonzero(norms >= np.median(norms)).tolist()
    np.testing.assert_array_equal(own.exact.vectors, vectors[own.rows])


def test_the_norm_is_chosen_so_that_nearly_all_queries_are_settled():
    """And it lies between the norms of two rows, lest another machine's rounding move one."""
    rng = np.random.default_rng(2)
    vectors = skewed(3000, 8, rng)
    queries = rng.standard_normal((400, 8)).astype(np.float32)
    kth = np.array(
        [scores[-1] for _, scores in ExactIndex(vectors).search_many(queries, 10, [NOTHING] * 400)]
    )
    shortest = shortest_norm(vectors, queries, kth)
    own = Head(vectors, shortest)
    settled = [own.search(query, 10, NOTHING, None) is not None for query in queries]
    assert np.mean(settled) >= 0.985
    assert len(own.rows) < 1500
    norms = row_norms(vectors)
    assert np.abs(norms / shortest - 1).min() > 1e-10
    assert kth.min() < np.inf
    assert shortest_norm(np.repeat(vectors, 2, axis=0), queries, kth) == pytest.approx(shortest)


@pytest.mark.parametrize("case", ["equal norms", "nothing to find", "queries of zeros", "no scores above 0"])
def test_where_it_would_be_large_there_is_no_head(case):
    """Norms that are alike, people with fewer than k items left, rows of zeros: the scan is for those."""
    rng = np.random.default_rng(3)
    vectors = skewed(300, 5, rng)
    queries = rng.standard_normal((50, 5)).astype(np.float32)
    kth = np.ones(50, dtype=np.float32)
    match case:
        case "equal norms":
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        case "nothing to find":
            kth[:2] = -np.inf
        case "queries of zeros":
            queries[:] = 0
        case "no scores above 0":
            kth[:] = -1
    assert shortest_norm(vectors, queries, kth) is None


@pytest.mark.parametrize("scale", [1e-30, 1e-23, 1e-10, 1e15])
def test_however_short_or_long_a_query_is_it_is_settled_by_its_length(scale):
    """float32 squares of such numbers are 0 or infinite, and everything would seem settled, or nothing."""
    vectors = np.zeros((1000, 4), dtype=np.float32)
    vectors[:20, 0], vectors[:20, 1] = 0.01, 100
    vectors[20:, 0] = np.linspace(1, 2, 980)
    index = ExactIndex(vectors, head=Head(vectors, 50.0))
    across = np.float32([scale, 0, 0, 0])
    along = np.float32([0, scale, 0, 0])
    assert index.search(across, 3)[0].tolist() == [999, 998, 997]
    assert index.head.search(along, 3, NOTHING, None)[0].tolist() == [0, 1, 2]


def test_with_a_head_ties_among_tiny_vectors_go_by_their_rows():
    """What float32 may err is a share of the norms, however small these are."""
    rng = np.random.default_rng(45)
    vectors = (rng.integers(-2, 3, (217, 2)) * 1e-30).astype(np.float32)
    query = rng.standard_normal(2).astype(np.float32)
    index = ExactIndex(vectors, head=Head(vectors, 2e-30))
    assert index.search(query, 2)[0].tolist() == index.scan(query, 2)[0].tolist()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Vectors, a certificate with a head, and the file of the graph of its rows."""
    path = tmp_path_factory.mktemp("graph") / "graph"
    vectors = skewed(4000, 12, np.random.default_rng(4))
    shortest = float(np.quantile(row_norms(vectors), 0.8))
    own = Head(vectors, shortest)
    setting = GraphSetting(space="augmented_l2", m=16, ef_construction=200, ef=200)
    graph = HnswIndex.build(own.exact.vectors, setting, rows=own.rows, seed=0, threads=1)
    graph.save(path)
    certificate = RecallCertificate(
        method="hnsw",
        reason="",
        k=10,
        target=0.9,
        sample_size=1,
        recall=1,
        recall_as_served=1,
        microseconds=20,
        exact_microseconds=50,
        head=HeadSetting(shortest_norm=shortest, rows=len(own.rows), scan_microseconds=200),
        chosen=setting,
        max_over_fetch=300,
        most_gathered=100,
    )
    return vectors, certificate, path


@pytest.mark.parametrize("share", [None, 0.01, 0.3, 0.9])
def test_a_graph_of_the_head_answers_for_all_rows(published, share):
    """Whatever way is taken, rows of the head or not: here a walk of 200 finds all there is to find."""
    vectors, certificate, path = published
    retriever = open_retriever(ExactIndex(vectors), path, certificate)
    rng = np.random.default_rng(5)
    eligible = None if share is None else Eligible.where(rng.random(len(vectors)) < share)
    missed = 0
    for query in rng.standard_normal((200, 12)).astype(np.float32):
        excluded = np.sort(rng.choice(4000, 40, replace=False)).astype(np.int32)
        rows, _ = retriever.search(query, 10, excluded, eligible)
        expected, _ = ExactIndex(vectors).search(query, 10, excluded, eligible)
        missed += len(np.setdiff1d(expected, rows))
        assert len(rows) == min(10, len(expected))
    assert missed <= 10  # of 2,000


def test_a_query_that_the_head_does_not_settle_is_answered_exactly(published):
    """The graph finds ten rows, but rows that it lacks are better."""
    vectors, certificate, _ = published
    across = vectors.copy()
    across[row_norms(vectors) >= 0.9 * certificate.head.shortest_norm, 0] = 0
    own = Head(across, certificate.head.shortest_norm)
    graph = HnswIndex.build(own.exact.vectors, certificate.chosen, rows=own.rows, seed=0, threads=1)
    exact = ExactIndex(across, head=own)
    retriever = Retriever(exact, graph, max_fetch=1000, costs=FilteredCosts(0.3, 50, 0.1, 1000))
    axis = np.eye(12, dtype=np.float32)[0]
    expected = ordered(across @ axis)[:10].tolist()
    assert not set(expected) & set(own.rows.tolist())
    everywhere = Eligible.where(np.ones(len(across), dtype=np.bool_))
    assert retriever.search(axis, 10, NOTHING)[0].tolist() == expected
    assert retriever.search(axis, 10, NOTHING, everywhere)[0].tolist() == expected


def test_a_graph_of_another_head_is_refused(published):
    """Such as of a certificate that was edited."""
    vectors, certificate, path = published
    other = certificate.head.model_copy(update={"rows": certificate.head.rows - 1})
    with pytest.raises(ArtifactError, match=r"800 items are as long as .*, but the manifest says 799"):
        open_retriever(ExactIndex(vectors), path, certificate.model_copy(update={"head": other}))
