"""ScaNN behind the same protocol: what it proposes, what a plan makes of it, and where it is missing."""

from __future__ import annotations

import numpy as np
import pytest

from app.answers.options import Options
from app.recommender import Recommender
from app.snapshot import load
from models.artifact import publish
from models.errors import ArtifactError
from models.index import planner, scann
from models.index.certificate import GraphSetting, RecallCertificate, ScannSetting
from models.index.exact import ExactIndex, inverse_norms
from models.index.planner import Queries, plan_retrieval
from models.index.retriever import Retriever, open_retriever
from models.index.scann import ScannIndex
from models.registry import configure
from models.training import TrainingPlan, train
from tests.models.index.samples import NOTHING, clustered, ordered
from tests.models.strategies import clustered_table, make_dataset

SETTING = ScannSetting(leaves=20, leaves_to_search=20, candidates=100)
needs_scann = pytest.mark.skipif(
    not scann.is_installed(), reason="ScaNN is not installed: pip install 'foldrec[scann]'"
)


@pytest.fixture(scope="module")
def vectors():
    """Two thousand clustered vectors; a tenth of them is zero."""
    drawn = clustered(2000, 16, np.random.default_rng(0))
    drawn[::10] = 0
    return drawn


@pytest.fixture(scope="module")
def index(vectors):
    """Built once."""
    return ScannIndex.build(ExactIndex(vectors), SETTING, threads=1)


@needs_scann
def test_the_retriever_finds_the_best_among_its_candidates(vectors, index):
    """With all partitions searched nearly all of the ten best come back, with exact scores, seen ones out."""
    retriever = Retriever(ExactIndex(vectors), index, max_fetch=1000)
    assert retriever.method == "scann"
    shares = []
    for number, query in enumerate(clustered(50, 16, np.random.default_rng(1))):
        excluded = ordered(vectors @ query)[: number % 7]
        rows, scores = retriever.search(query, 10, np.sort(excluded).astype(np.int32))
        expected = ordered(vectors @ query, excluded)[:10]
        shares.append(np.isin(rows, expected).mean())
        assert not np.isin(rows, excluded).any()
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-5)  # float32 sums of 16 products
    assert np.mean(shares) > 0.95


@needs_scann
def test_by_cosine_zero_vectors_are_left_out(vectors):
    """Directions are compared, and what has none is never proposed."""
    exact = ExactIndex(vectors, inverse_norms(vectors))
    index = ScannIndex.build(exact, SETTING, threads=1)
    assert len(index) == exact.n_eligible == 1800
    query = vectors[7] / np.linalg.norm(vectors[7])
    rows = index.candidates(query, 50)
    assert 7 in rows
    assert vectors[rows].any(axis=1).all()


@needs_scann
@pytest.mark.parametrize("by_cosine", [False, True])
def test_a_saved_index_proposes_what_it_proposed(vectors, by_cosine, tmp_path):
    """One file holds it; opened, it gives the same candidates in the same order, and nothing is left over."""
    exact = ExactIndex(vectors, inverse_norms(vectors) if by_cosine else None)
    index = ScannIndex.build(exact, SETTING, threads=1)
    index.save(tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    opened = ScannIndex.open(tmp_path / "index", exact, SETTING)
    assert len(opened) == len(index)
    for query in clustered(10, 16, np.random.default_rng(2)):
        np.testing.assert_array_equal(opened.candidates(query, 30), index.candidates(query, 30))


@needs_scann
def test_what_is_no_index_of_these_vectors_is_refused(vectors, index, tmp_path):
    """Another number of vectors, half a file and something else are errors that name the file."""
    index.save(tmp_path / "index")
    with pytest.raises(ArtifactError, match=r"2000 vectors, but the model has 1999"):
        ScannIndex.open(tmp_path / "index", ExactIndex(vectors[1:]), SETTING)
    whole = (tmp_path / "index").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"something else"):
        (tmp_path / "index").write_bytes(content)
        with pytest.raises(ArtifactError, match="not an index of ScaNN"):
            ScannIndex.open(tmp_path / "index", ExactIndex(vectors), SETTING)


def test_without_scann_it_is_said_what_to_install(vectors, tmp_path, monkeypatch):
    """The artifact is refused with the remedy, not with an import error."""
    monkeypatch.setattr(scann, "is_installed", lambda: False)
    with pytest.raises(ArtifactError, match=r"pip install 'foldrec\[scann\]'"):
        ScannIndex.open(tmp_path / "index", ExactIndex(vectors), SETTING)


@needs_scann
@pytest.mark.parametrize("is_cheaper", [True, False])
def test_the_plan_takes_scann_where_it_measures_better(vectors, is_cheaper, tmp_path, monkeypatch):
    """By a model of cost in which either wins; the certificate opens what it was issued for."""

    def cost(index, _queries):
        if not isinstance(index, Retriever):
            return 1000.0
        return float(index._graph.ef) * (0.01 if (index.method == "scann") == is_cheaper else 1)

    monkeypatch.setattr(planner, "_microseconds", cost)
    monkeypatch.setattr(planner, "FEWEST", 0)
    queries = Queries(clustered(100, 16, np.random.default_rng(3)), [NOTHING] * 100)
    exact = ExactIndex(vectors)
    certificate, chosen = plan_retrieval(exact, queries, ("inner_product",), target=0.6, seed=0, threads=1)
    assert certificate.method == ("scann" if is_cheaper else "hnsw")
    assert {type(each.setting) for each in certificate.tried} == {GraphSetting, ScannSetting}
    assert min(certificate.recall, certificate.recall_as_served) >= 0.6
    chosen.save(tmp_path / "index")
    certificate = RecallCertificate.model_validate_json(certificate.model_dump_json())
    retriever = open_retriever(exact, tmp_path / "index", certificate)
    assert retriever.method == certificate.method
    found = [retriever.search(query, 10, NOTHING)[0] for query in queries.vectors]
    shares = [
        np.isin(rows, ordered(vectors @ query)[:10]).mean()
        for query, rows in zip(queries.vectors, found, strict=True)
    ]
    # Ties aside, the recall that was certified.
    assert np.mean(shares) == pytest.approx(certificate.recall, abs=0.02)


@needs_scann
def test_an_artifact_holds_it_and_is_served(tmp_path, monkeypatch):
    """Trained where only ScaNN may win, published, verified and loaded, it answers both searches."""
    monkeypatch.setattr(planner, "_FAST_SCAN", 0)
    monkeypatch.setattr(planner, "_DENSITIES", ())
    monkeypatch.setattr(planner, "FEWEST", 0)
    monkeypatch.setattr(planner, "_microseconds", lambda index, _: 1.0 + isinstance(index, ExactIndex))
    dataset = make_dataset(clustered_table(200, 400, 4, np.random.default_rng(4)))
    plan = TrainingPlan(family="ials", config=configure("ials", {"factors": 8}), recall_target=0.3)
    version = publish(tmp_path, *train(dataset, plan))
    assert {path.suffix for path in (tmp_path / version).iterdir()} >= {".scann"}
    snapshot = load(tmp_path)
    assert {each.method for each in snapshot.manifest.retrieval.values()} == {"scann"}
    assert snapshot.recommend.method == snapshot.similar.method == "scann"
    answer = Recommender(snapshot).recommend(dataset.users.external(0), Options(k=5))
    assert len(answer["items"]) == 5
    monkeypatch.setattr(scann, "is_installed", lambda: False)
    with pytest.raises(ArtifactError, match=r"recommend\.scann: .* pip install"):
        load(tmp_path)
