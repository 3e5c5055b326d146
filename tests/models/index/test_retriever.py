"""The retriever: exactly k, exact scores, nothing excluded, whatever the graph proposes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ArtifactError
from models.index.base import Eligible
from models.index.certificate import GraphSetting, RecallCertificate
from models.index.exact import ExactIndex, inverse_norms
from models.index.retriever import FilteredCosts, Retriever, open_retriever
from tests.models.index.samples import NOTHING, build, clustered, ordered, skewed, small_searches


class Proposals:
    """A graph that proposes what it is told, and remembers what it was asked for."""

    in_order = True

    def __init__(self, rows, *, ef=1, reach=None):
        self.rows = np.asarray(rows, dtype=np.int32)
        self.ef = ef
        self.reach = len(self.rows) if reach is None else reach
        self.asked = []

    def __len__(self):
        return len(self.rows)

    def candidates(self, _vector, k):
        """The first k of the rows, none beyond its reach."""
        self.asked.append(k)
        return self.rows[:k] if k <= self.reach else NOTHING


@given(small_searches(), st.integers(1, 40))
def test_with_a_perfect_graph_the_answer_is_the_exact_one(search, ef):
    """Over-fetching and dropping lose nothing that the graph proposed, whatever is excluded."""
    vectors, query, k, excluded = search
    exact = ExactIndex(vectors)
    graph = Proposals(ordered(vectors @ query), ef=ef)
    for ours, theirs in zip(
        Retriever(exact, graph, max_fetch=10**6).search(query, k, excluded),
        exact.search(query, k, excluded),
        strict=True,
    ):
        assert ours.tolist() == theirs.tolist()


@given(small_searches(integers=False), st.integers(0, 2**32), st.integers(0, 30), st.integers(1, 40))
def test_any_graph_leads_to_k_rows_with_exact_scores(search, seed, reach, ef):
    """However badly a graph proposes, min(k, left) distinct rows come, best first, none of them excluded."""
    vectors, query, k, excluded = search
    graph = Proposals(np.random.default_rng(seed).permutation(len(vectors)), reach=reach, ef=ef)
    exact = ExactIndex(vectors)
    rows, scores = Retriever(exact, graph, max_fetch=10**6).search(query, k, excluded)
    assert len(rows) == len(set(rows.tolist())) == min(k, len(vectors) - len(excluded))
    assert not np.isin(rows, excluded).any()
    all_rows, all_scores = exact.search(query, len(vectors))
    score_of = dict(zip(all_rows.tolist(), all_scores.tolist(), strict=True))
    assert scores.tolist() == [score_of[row] for row in rows.tolist()]  # to the bit, by either way
    best_first = list(zip((-scores).tolist(), rows.tolist(), strict=True))
    assert best_first == sorted(best_first)


class Rough(Proposals):
    """Proposes all it has, in an order that is not that of the scores."""

    in_order = False

    def candidates(self, _vector, _k):
        """All rows."""
        return self.rows


def test_candidates_in_a_rough_order_are_all_scored():
    """The best of all that is proposed come back, and not the best of the first k."""
    vectors = np.arange(1, 31, dtype=np.float32)[:, np.newaxis]
    excluded = np.array([28], dtype=np.int32)
    retriever = Retriever(ExactIndex(vectors), Rough(range(30)), max_fetch=30)
    rows, scores = retriever.search(np.ones(1, dtype=np.float32), 3, excluded)
    assert rows.tolist() == [29, 27, 26]
    assert scores.tolist() == [30, 28, 27]


def test_the_graph_is_asked_for_half_of_the_exclusions_then_for_all():
    """With few of the exclusions among the best one short walk does; else a full one; else the scan."""
    vectors = np.arange(100, 0, -1, dtype=np.float32).reshape(-1, 1)
    query = np.ones(1, dtype=np.float32)
    exact = ExactIndex(vectors)
    far, near = np.arange(80, 100, dtype=np.int32), np.arange(20, dtype=np.int32)
    for excluded, ef, asked in ((far, 1, [15]), (far, 18, [18]), (far, 90, [25]), (near, 1, [15, 25])):
        graph = Proposals(np.arange(100), ef=ef)
        rows, _ = Retriever(exact, graph, max_fetch=100).search(query, 5, excluded)
        assert graph.asked == asked
        assert rows.tolist() == ordered(vectors[:, 0], excluded)[:5].tolist()


def test_the_scan_answers_where_it_is_cheaper_or_something_is_masked():
    """Beyond `max_fetch`, and where nobody measured what a filter costs, the graph is not even asked."""
    vectors = clustered(60, 4, np.random.default_rng(0))
    query = np.ones(4, dtype=np.float32)
    exact = ExactIndex(vectors)
    graph = Proposals(ordered(vectors @ query))
    retriever = Retriever(exact, graph, max_fetch=20)
    eligible = np.arange(60) % 3 == 0
    assert retriever.search(query, 5, np.arange(16, dtype=np.int32))[0].tolist() == (
        ordered(vectors @ query, np.arange(16))[:5].tolist()
    )
    assert retriever.search(query, 30, NOTHING)[0].tolist() == ordered(vectors @ query)[:30].tolist()
    assert retriever.search(query, 5, NOTHING, Eligible.where(eligible))[0].tolist() == (
        ordered(vectors @ query, np.flatnonzero(~eligible))[:5].tolist()
    )
    assert graph.asked == []
    retriever.search(query, 5, np.arange(15, dtype=np.int32))
    assert graph.asked


COSTS = st.builds(
    FilteredCosts,
    most_gathered=st.integers(0, 40),
    shortest_walk=st.floats(0.01, 1),
    longest_walk=st.integers(0, 60),
)
WALKS_ARE_FREE = FilteredCosts(shortest_walk=0.001, longest_walk=10**6)


@given(small_searches(integers=False), st.integers(0, 2**32), COSTS, st.integers(0, 30), st.integers(1, 40))
def test_any_graph_leads_to_k_eligible_rows_with_exact_scores(search, seed, costs, reach, ef):
    """Whatever a graph proposes and whatever searches cost: as many as there are, best first, eligible."""
    vectors, query, k, excluded = search
    rng = np.random.default_rng(seed)
    exact = ExactIndex(vectors)
    eligible = Eligible.where(rng.random(len(vectors)) < rng.random())
    graph = Proposals(rng.permutation(len(vectors)), reach=reach, ef=min(ef, len(vectors)))
    retriever = Retriever(exact, graph, max_fetch=10**6, costs=costs)
    rows, scores = retriever.search(query, k, excluded, eligible)
    left = np.setdiff1d(eligible.rows, excluded)
    assert len(rows) == len(set(rows.tolist())) == min(k, len(left))
    assert np.isin(rows, left).all()
    all_rows, all_scores = exact.search(query, len(vectors))
    score_of = dict(zip(all_rows.tolist(), all_scores.tolist(), strict=True))
    assert scores.tolist() == [score_of[row] for row in rows.tolist()]
    best_first = list(zip((-scores).tolist(), rows.tolist(), strict=True))
    assert best_first == sorted(best_first)


@given(small_searches(), st.integers(0, 2**32), COSTS, st.integers(1, 40))
def test_with_a_perfect_graph_a_filtered_answer_is_the_exact_one(search, seed, costs, ef):
    """Walks, rows one by one and the scan agree, so that costs decide about time only."""
    vectors, query, k, excluded = search
    exact = ExactIndex(vectors)
    eligible = Eligible.where(np.random.default_rng(seed).random(len(vectors)) < 0.6)
    graph = Proposals(ordered(vectors @ query), ef=min(ef, len(vectors)))
    retriever = Retriever(exact, graph, max_fetch=10**6, costs=costs)
    for ours, theirs in zip(
        retriever.search(query, k, excluded, eligible),
        exact.search(query, k, excluded, eligible),
        strict=True,
    ):
        assert ours.tolist() == theirs.tolist()


def test_a_filter_that_the_query_dislikes_takes_a_second_walk_then_the_scan():
    """The first walk tells how rare eligible rows are near the query, and so how long the second must be."""
    vectors = np.arange(1000, 0, -1, dtype=np.float32).reshape(-1, 1)
    query = np.ones(1, dtype=np.float32)
    rows = np.arange(1000)
    for mask, asked in (
        (rows % 2 == 0, [19]),
        ((rows % 4 == 0) | (rows >= 500), [16, 38]),
        (rows >= 500, [19]),
    ):
        graph = Proposals(np.arange(1000))
        retriever = Retriever(ExactIndex(vectors), graph, max_fetch=1000, costs=WALKS_ARE_FREE)
        rows, _ = retriever.search(query, 5, NOTHING, Eligible.where(mask))
        assert rows.tolist() == np.flatnonzero(mask)[:5].tolist()
        assert graph.asked == asked


def test_costs_decide_how_eligible_rows_are_searched():
    """The cheapest of a walk, the rows one by one, and the scan; a walk grows with what it must fetch."""
    costs = FilteredCosts(most_gathered=1000, shortest_walk=0.2, longest_walk=500)
    assert costs.reach(50, 150) == 0  # 0.15 of a scan, less than any walk
    assert costs.reach(50, 600) == pytest.approx(50 + 450 * 0.4 / 0.8)
    assert costs.reach(50, 1000) == costs.reach(50, 5000) == 500  # the scan costs the same for all
    assert FilteredCosts().reach(50, 5000) == 0  # nothing measured: no walk


@pytest.mark.parametrize("space", ["inner_product", "augmented_l2", "cosine"])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_walks_under_filters_find_what_walks_without_find(space, share):
    """On clusters, filters that ignore them and filters that are made of them keep nearly all true rows."""
    rng = np.random.default_rng(7)
    vectors = clustered(6000, 24, rng)
    exact = ExactIndex(vectors, inverse_norms(vectors) if space == "cosine" else None)
    retriever = Retriever(exact, build(vectors, space, ef=80), max_fetch=6000, costs=WALKS_ARE_FREE)
    direction = rng.standard_normal(24) @ vectors.T
    at_random, by_direction = rng.random(6000) < share, direction > np.quantile(direction, 1 - share)
    for mask in (at_random, by_direction):
        eligible = Eligible.where(mask)
        found = 0
        for query in vectors[:200]:
            rows, _ = retriever.search(query, 10, NOTHING, eligible)
            found += len(np.intersect1d(rows, exact.search(query, 10, NOTHING, eligible)[0]))
        assert found / 2000 > 0.97  # 0.99 and more without a filter


@pytest.mark.parametrize("space", ["inner_product", "augmented_l2"])
def test_k_rows_come_with_nine_tenths_excluded(space):
    """A history of 90 % of the catalogue leaves k eligible rows, and they come, each a true one."""
    rng = np.random.default_rng(1)
    vectors = skewed(2000, 16, rng)
    retriever = Retriever(ExactIndex(vectors), build(vectors, space), max_fetch=10**6)
    for query in clustered(10, 16, rng):
        excluded = np.sort(rng.choice(2000, 1800, replace=False)).astype(np.int32)
        rows, _ = retriever.search(query, 10, excluded)
        assert len(set(rows.tolist())) == 10
        assert not np.isin(rows, excluded).any()
        rows, _ = retriever.search(query, 500, excluded)
        assert sorted(rows.tolist()) == sorted(set(range(2000)) - set(excluded.tolist()))


@pytest.mark.parametrize("space", ["inner_product", "augmented_l2"])
def test_excluding_a_returned_row_removes_just_it(space):
    """At an effort that finds everything, exclusion promotes the next row and a larger k extends the list."""
    rng = np.random.default_rng(2)
    vectors = skewed(1500, 16, rng)
    retriever = Retriever(ExactIndex(vectors), build(vectors, space, ef=1500), max_fetch=10**6)
    for query in clustered(20, 16, rng):
        rows, _ = retriever.search(query, 12, NOTHING)
        assert retriever.search(query, 7, NOTHING)[0].tolist() == rows[:7].tolist()
        for place in (0, 4, 11):
            left, _ = retriever.search(query, 11, rows[place : place + 1])
            assert left.tolist() == np.delete(rows, place).tolist()


@pytest.mark.parametrize("space", ["inner_product", "augmented_l2", "cosine"])
def test_threads_get_the_answers_that_one_gets(space):
    """Eight threads asking the same retriever at once get bit for bit what one thread gets."""
    rng = np.random.default_rng(3)
    vectors = skewed(3000, 32, rng)
    scale = inverse_norms(vectors) if space == "cosine" else None
    retriever = Retriever(ExactIndex(vectors, scale), build(vectors, space, ef=50), max_fetch=500)
    queries = clustered(400, 32, rng)
    excluded = [np.sort(rng.choice(3000, n, replace=False)).astype(np.int32) for n in range(400)]

    def answer(number):
        rows, scores = retriever.search(queries[number], 10, excluded[number])
        return rows.tolist(), scores.tolist()

    alone = [answer(number) for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(answer, range(400))) == alone


def certificate(setting, max_over_fetch):
    """A certificate of a graph, or of the scan where there is no setting."""
    return RecallCertificate(
        method="exact" if setting is None else "hnsw",
        reason="a test",
        k=10,
        target=0.9,
        sample_size=1,
        recall=1.0,
        recall_as_served=1.0,
        microseconds=1.0,
        exact_microseconds=2.0,
        chosen=setting,
        max_over_fetch=max_over_fetch,
    )


@pytest.mark.parametrize("space", ["inner_product", "augmented_l2", "cosine"])
def test_a_retriever_is_opened_from_its_certificate(space, tmp_path):
    """File and certificate together answer as the retriever that was certified, zero vectors included."""
    rng = np.random.default_rng(4)
    vectors = skewed(1200, 12, rng)
    vectors[3] = 0
    exact = ExactIndex(vectors, inverse_norms(vectors) if space == "cosine" else None)
    setting = GraphSetting(space=space, m=16, ef_construction=200, ef=30)
    graph = build(vectors, space, ef=30)
    graph.save(tmp_path / "graph")
    opened = open_retriever(exact, tmp_path / "graph", certificate(setting, 40))
    for query in clustered(20, 12, rng):
        excluded = np.sort(rng.choice(1200, 30, replace=False)).astype(np.int32)
        for ours, theirs in zip(
            opened.search(query, 10, excluded),
            Retriever(exact, graph, max_fetch=50).search(query, 10, excluded),
            strict=True,
        ):
            assert ours.tolist() == theirs.tolist()


def test_a_certified_scan_needs_no_file():
    """Without a graph the exact index answers."""
    vectors = clustered(40, 4, np.random.default_rng(5))
    rows, _ = open_retriever(ExactIndex(vectors), None, certificate(None, 0)).search(vectors[0], 3, NOTHING)
    assert rows.tolist() == ordered(vectors @ vectors[0])[:3].tolist()


def test_a_graph_of_another_catalogue_is_refused(tmp_path):
    """A graph that lacks one of the vectors does not fit."""
    vectors = clustered(100, 4, np.random.default_rng(6))
    setting = GraphSetting(space="inner_product", m=16, ef_construction=200, ef=30)
    build(vectors[:-1], "inner_product").save(tmp_path / "graph")
    with pytest.raises(ArtifactError, match="99 vectors"):
        open_retriever(ExactIndex(vectors), tmp_path / "graph", certificate(setting, 40))
