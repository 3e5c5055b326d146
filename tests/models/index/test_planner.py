"""The planner: what it certifies is true, and a graph that misses the target is never chosen.

Times decide, and times vary; so most tests replace them by a model of cost. One plan is made on real times.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.synthetic import generate_factors
from models.index import head, planner
from models.index.certificate import RecallCertificate
from models.index.exact import ExactIndex, inverse_norms
from models.index.planner import Queries, plan_retrieval
from models.index.retriever import Retriever, open_retriever
from tests.models.index.samples import NOTHING, build, clustered, ordered, skewed

INNER_PRODUCTS = ("inner_product", "augmented_l2")
TARGET = 0.95


@pytest.fixture
def scan_costs(monkeypatch):
    """Sets what a scan costs, in the candidates of a walk: `cost` of a walk is the candidates it keeps."""

    def cost(index, queries):
        if isinstance(index, ExactIndex):
            return price
        if isinstance(index, planner._Gathering):
            return float(len(index.rows))
        fetches = [max(index._graph.ef, planner.K + len(seen) // 2) for seen in queries.seen]
        return float(np.mean(fetches))

    def set_price(of_a_scan):
        nonlocal price
        price = float(of_a_scan)

    price = 1000.0
    monkeypatch.setattr(planner, "_microseconds", cost)
    return set_price


def users(vectors, rng, n=150):
    """Queries near clusters, with a history of items that fit them and some that do not."""
    queries = clustered(n, vectors.shape[1], rng)
    seen = []
    for query in queries:
        fitting = rng.choice(ordered(vectors @ query)[:60], rng.integers(1, 30), replace=False)
        others = rng.choice(len(vectors), rng.integers(0, 20), replace=False)
        seen.append(np.union1d(fitting, others).astype(np.int32))
    return Queries(queries, seen)


def dwarfed(reach, rng, n=4000):
    """Items whose norms come from one coordinate, up to `reach`, that no query weighs: hard for any graph."""
    items = np.hstack([rng.uniform(0, reach, (n, 1)), rng.standard_normal((n, 16))])
    queries = np.hstack([np.zeros((100, 1)), rng.standard_normal((100, 16))])
    return items.astype(np.float32), Queries(queries.astype(np.float32), [NOTHING] * len(queries))


def plan(exact, queries, spaces=INNER_PRODUCTS, *, target=TARGET, **told):
    """A plan that is the same every time."""
    return plan_retrieval(exact, queries, spaces, target=target, seed=0, threads=1, **told)


def brute_force_recall(retriever, vectors, queries, *, served):
    """Share of the returned rows whose precise score reaches the 10th best's, found by full sort."""
    shares = []
    for query, seen in queries:
        excluded = seen if served else NOTHING
        truth = vectors.astype(np.float64) @ query
        rows, _ = retriever.search(query, 10, excluded)
        tenth = truth[ordered(truth, excluded)[9]]
        # float32 dot products of a few dozen numbers: rounding may swap scores this close, and no others
        shares.append((truth[rows] >= tenth - 1e-5 * abs(tenth)).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize("make", [clustered, skewed])
def test_the_certified_recall_is_the_recall(make, scan_costs, tmp_path):
    """Brute force over the same queries, on the graph reopened from its file, finds the certified recalls."""
    scan_costs(1000)
    rng = np.random.default_rng(0)
    vectors = make(3000, 24, rng)
    queries = users(vectors, rng)
    exact = ExactIndex(vectors)
    certificate, graph = plan(exact, queries)
    assert certificate.method == "hnsw"
    assert graph.ef == certificate.chosen.ef
    graph.save(tmp_path / "graph")
    retriever = open_retriever(exact, tmp_path / "graph", certificate)
    for served, certified in ((False, certificate.recall), (True, certificate.recall_as_served)):
        measured = brute_force_recall(retriever, vectors, queries, served=served)
        assert measured == pytest.approx(certified, abs=1e-3)  # a few ties of 1,500 rows
        assert measured >= TARGET


def test_the_certified_recall_holds_for_users_that_were_not_sampled(scan_costs):
    """On fresh queries recall stays at the target, give or take the error of their sample."""
    scan_costs(1000)
    rng = np.random.default_rng(1)
    vectors = skewed(3000, 24, rng)
    certificate, graph = plan(ExactIndex(vectors), users(vectors, rng, 300))
    retriever = Retriever(ExactIndex(vectors), graph, max_fetch=10**6)
    for served in (False, True):
        fresh = brute_force_recall(retriever, vectors, users(vectors, rng, 300), served=served)
        assert fresh >= certificate.target - 0.02  # three standard errors of 300 queries


def test_the_cheapest_sufficient_setting_is_chosen(scan_costs):
    """Nothing cheaper that was tried reached the target, and an effort just below does not either."""
    scan_costs(1000)
    vectors, queries = dwarfed(10, np.random.default_rng(2))
    certificate, graph = plan(ExactIndex(vectors), queries)
    chosen = next(each for each in certificate.tried if each.setting == certificate.chosen)
    same_space = [each for each in certificate.tried if each.setting.space == chosen.setting.space]
    below = [each for each in same_space if each.setting.ef < chosen.setting.ef]
    assert chosen.setting.ef - max(each.setting.ef for each in below) <= max(1, chosen.setting.ef // 16)
    assert {each.setting.space for each in certificate.tried} == set(INNER_PRODUCTS)
    assert min(certificate.recall, certificate.recall_as_served) >= TARGET
    graph.set_ef(chosen.setting.ef // 2)
    retriever = Retriever(ExactIndex(vectors), graph, max_fetch=10**6)
    assert brute_force_recall(retriever, vectors, queries, served=False) < TARGET


@pytest.mark.parametrize("outcome", ["suffices", "walks far", "fails"])
def test_of_many_items_a_sample_decides_which_space_is_tried_first(outcome, scan_costs, monkeypatch):
    """The other is built too where a graph of the first does not do, or only by a long walk."""
    scan_costs(1 if outcome == "fails" else 1000)
    monkeypatch.setattr(head, "_LARGEST_SHARE", 0)
    if outcome == "walks far":
        monkeypatch.setattr(planner, "_LONG_WALK", 1)
    monkeypatch.setattr(planner, "_FAST_SCAN", 0)
    monkeypatch.setattr(planner, "_SAMPLED_ROWS", 700)
    rng = np.random.default_rng(8)
    vectors, announced = skewed(3000, 24, rng), []
    certificate, _ = plan(ExactIndex(vectors), users(vectors, rng), announce=announced.append)
    assert announced[0] == "spaces, on 700 items"
    assert certificate.head is None
    if outcome == "suffices":
        assert announced[1:] == [f"{certificate.chosen.space} graph, m 24"]
        assert {each.setting.space for each in certificate.tried} == {certificate.chosen.space}
    else:
        assert sorted(announced[1:3]) == ["augmented_l2 graph, m 24", "inner_product graph, m 24"]
    if outcome == "fails":
        assert certificate.method == "exact"
    else:
        assert min(certificate.recall, certificate.recall_as_served) >= TARGET


def test_of_skewed_norms_only_the_longest_rows_are_indexed(scan_costs, tmp_path):
    """Few rows settle nearly all queries: the graph holds those, and answers like the scan of all."""
    scan_costs(1000)
    rng = np.random.default_rng(8)
    vectors = skewed(6000, 12, rng)
    certificate, graph = plan(ExactIndex(vectors), users(vectors, rng))
    assert certificate.method == "hnsw"
    assert len(graph) == certificate.head.rows < 3000
    assert certificate.head.scan_microseconds == 1000
    assert f"the {certificate.head.rows:,} longest rows first" in str(certificate)
    graph.save(tmp_path / "graph")
    retriever = open_retriever(ExactIndex(vectors), tmp_path / "graph", certificate)
    assert brute_force_recall(retriever, vectors, users(vectors, rng), served=True) >= TARGET - 0.02


def test_a_graph_that_misses_the_target_is_not_chosen(scan_costs):
    """Where no graph cheaper than the scan reaches the target, the scan serves and the plan says so."""
    scan_costs(101)
    vectors, queries = dwarfed(30, np.random.default_rng(3))
    certificate, graph = plan(ExactIndex(vectors), queries, target=0.99)
    assert graph is None
    assert certificate.method == "exact"
    assert certificate.recall == certificate.recall_as_served == 1.0
    assert "0.99" in certificate.reason
    densities = {(each.setting.space, each.setting.m) for each in certificate.tried}
    assert len(densities) == 4  # both spaces, sparse and dense
    assert all(each.recall < 0.99 for each in certificate.tried if each.microseconds < 80)


def test_a_long_walk_makes_a_denser_graph_worth_trying(scan_costs):
    """Where the sparse graphs do, but only by long walks, the better space gets a dense one too."""
    scan_costs(4000)
    vectors, queries = dwarfed(30, np.random.default_rng(12))
    certificate, _ = plan(ExactIndex(vectors), queries, target=0.99)
    densities = {(each.setting.space, each.setting.m) for each in certificate.tried}
    assert len(densities) == 3
    assert certificate.method == "hnsw"
    assert min(certificate.recall, certificate.recall_as_served) >= 0.99


@pytest.mark.parametrize("bad", INNER_PRODUCTS)
def test_a_cheaper_graph_that_loses_rows_is_passed_over(bad, scan_costs, monkeypatch):
    """A graph over part of the catalogue, though quicker, is not preferred to one that reaches the target."""
    scan_costs(1000)
    rng = np.random.default_rng(4)
    vectors = clustered(2000, 16, rng)

    class OneEyed(planner.HnswIndex):
        """In one of the spaces, a graph that cannot see a tenth of the vectors."""

        @classmethod
        def build(cls, vectors, setting, **options):
            """Put a copy of the first vector in the place of every tenth."""
            if setting.space == bad:
                vectors = vectors.copy()
                vectors[::10] = vectors[0]
            return super().build(vectors, setting, **options)

    monkeypatch.setattr(planner, "HnswIndex", OneEyed)
    certificate, graph = plan(ExactIndex(vectors), users(vectors, rng))
    assert certificate.chosen.space != bad
    assert graph is not None


def test_recall_as_served_counts_as_much_as_plain_recall(scan_costs):
    """Users whose favourites are all seen need a longer walk than plain queries, and get it."""
    scan_costs(1000)
    rng = np.random.default_rng(5)
    vectors = skewed(3000, 24, rng)
    queries = clustered(100, 24, rng)
    seen = [np.sort(ordered(vectors @ query)[:40]).astype(np.int32) for query in queries]
    certificate, _ = plan(ExactIndex(vectors), Queries(queries, seen))
    assert certificate.recall_as_served >= TARGET
    assert certificate.recall >= TARGET


def test_a_quick_scan_needs_no_graph():
    """On a small catalogue nothing is built and the scan is certified."""
    rng = np.random.default_rng(6)
    vectors = clustered(500, 8, rng)
    announced = []
    certificate, graph = plan(ExactIndex(vectors), users(vectors, rng), announce=announced.append)
    assert graph is None
    assert announced == []
    assert (certificate.method, certificate.chosen, certificate.tried) == ("exact", None, ())
    assert certificate.microseconds == certificate.exact_microseconds > 0


def test_without_queries_nothing_can_be_measured_and_the_scan_serves():
    """No user, no evidence, no graph."""
    vectors = clustered(5000, 8, np.random.default_rng(7))
    certificate, graph = plan(ExactIndex(vectors), Queries(np.empty((0, 8), np.float32), []))
    assert graph is None
    assert certificate.sample_size == 0


@pytest.mark.parametrize(("price", "expected"), [(300, 580), (30, 40), (5000, 2490)])
def test_the_crossover_is_where_the_scan_becomes_cheaper(price, expected, scan_costs):
    """It lies within a quarter below the number of exclusions at which both cost the same, or at the end."""
    vectors = clustered(2500, 16, np.random.default_rng(8))
    scan_costs(price)
    exact, graph = ExactIndex(vectors), build(vectors, "inner_product", ef=20)
    queries = Queries(vectors[:5], [NOTHING] * 5)
    crossover = planner._crossover(exact, graph, queries)
    assert max(0, expected * 0.75 - 32) <= crossover <= expected


def test_similar_items_are_planned_by_cosine(scan_costs):
    """Queries are items, each excludes itself, items without direction are in no graph."""
    scan_costs(1000)
    rng = np.random.default_rng(9)
    vectors = skewed(2500, 16, rng)
    vectors[::100] = 0
    scale = inverse_norms(vectors)
    exact = ExactIndex(vectors, scale)
    items = rng.permutation(np.flatnonzero(scale).astype(np.int32))[:150]
    queries = Queries(
        vectors[items] * scale[items, np.newaxis], [items[n : n + 1] for n in range(len(items))]
    )
    certificate, graph = plan(exact, queries, ("cosine",))
    assert certificate.chosen.space == "cosine"
    assert len(graph) == 2475
    retriever = Retriever(exact, graph, max_fetch=10**6)
    for query, itself in queries:
        rows, scores = retriever.search(query, 10, itself)
        assert itself[0] not in rows
        assert scale[rows].all()
        assert np.abs(scores).max() <= 1 + 1e-6  # float32 rounding of a cosine


def test_a_plan_tells_what_it_builds_and_how_far_it_is(scan_costs):
    """Each graph is announced, and its progress ends at the number of vectors."""
    scan_costs(1000)
    rng = np.random.default_rng(10)
    vectors = clustered(2200, 8, rng)
    announced, told = [], []
    plan(
        ExactIndex(vectors),
        users(vectors, rng),
        announce=announced.append,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [what.split()[0] for what in announced] == list(INNER_PRODUCTS)
    assert told.count((2200, 2200)) == 2


def test_a_plan_on_real_times_is_consistent():
    """On factors shaped like real ones, whichever way is chosen on this machine, the certificate holds."""
    rng = np.random.default_rng(11)
    vectors_of_users, vectors = generate_factors(users=200, items=12_000, factors=64, rng=rng)
    seen = [
        np.sort(rng.choice(ordered(vectors @ vector)[:100], 25, replace=False)).astype(np.int32)
        for vector in vectors_of_users
    ]
    queries = Queries(vectors_of_users, seen)
    exact = ExactIndex(vectors)
    certificate, graph = plan_retrieval(
        exact, queries, INNER_PRODUCTS, target=0.99, seed=0, threads=2, announce=lambda _what: None
    )
    assert (graph is None) == (certificate.method == "exact")
    assert RecallCertificate.model_validate_json(certificate.model_dump_json()) == certificate
    retriever = Retriever(exact, graph, max_fetch=certificate.k + certificate.max_over_fetch)
    for served, certified in ((False, certificate.recall), (True, certificate.recall_as_served)):
        measured = brute_force_recall(retriever, vectors, queries, served=served)
        assert measured == pytest.approx(certified, abs=1e-3)
        assert measured >= 0.99
    assert certificate.microseconds > 0
