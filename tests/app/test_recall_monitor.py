"""A graph that does not do what its certificate promises is found out by the requests and replaced."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest

from app import recall_monitor
from app.metrics import Metrics
from app.recall_monitor import RecallMonitor
from app.schemas.service import ServedModel
from app.snapshot import load
from models.artifact import publish
from models.dataset import Dataset
from models.ids import IdMap
from models.index.certificate import GraphSetting, RecallCertificate
from models.index.hnsw import HnswIndex
from models.registry import configure
from models.row_solve import Rows
from models.training import TrainingPlan, train

USERS, ITEMS = 150, 1_500
SETTING = GraphSetting(space="inner_product", m=32, ef_construction=400, ef=400)
PublishGraph = Callable[..., Path]


@pytest.fixture(scope="module")
def publish_graph(tmp_path_factory: pytest.TempPathFactory) -> PublishGraph:
    """Publish a model whose lists come from a graph certified at 0.99; a bad one is of shuffled vectors."""
    rng = np.random.default_rng(0)
    histories = [np.sort(rng.choice(ITEMS, 20, replace=False)).astype(np.int32) for _ in range(USERS)]
    dataset = Dataset(
        users=IdMap.build(f"u{n}" for n in range(USERS)),
        items=IdMap.build(f"i{n}" for n in range(ITEMS)),
        histories=Rows(
            np.arange(0, 20 * USERS + 1, 20), np.concatenate(histories), np.ones(20 * USERS, np.float32)
        ),
        has_values=True,
    )
    plan = TrainingPlan(family="ials", config=configure("ials", {"factors": 16}), seed=0)
    contents, card = train(dataset, plan)

    def _publish(*, bad: bool) -> Path:
        root = tmp_path_factory.mktemp("graph")
        vectors = rng.permutation(contents.item_factors) if bad else contents.item_factors
        graph = HnswIndex.build(vectors, SETTING, seed=0, threads=1)
        claimed = RecallCertificate(
            method="hnsw",
            reason="claimed",
            k=10,
            target=0.99,
            sample_size=1_000,
            recall=0.995,
            recall_as_served=0.993,
            microseconds=10,
            exact_microseconds=100,
            chosen=SETTING,
            max_over_fetch=ITEMS,
        )
        publish(
            root,
            replace(contents, graphs={"recommend": graph.save}),
            card.model_copy(update={"retrieval": {**card.retrieval, "recommend": claimed}}),
        )
        return root

    return _publish


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor does not pause between two answers."""
    monkeypatch.setattr(recall_monitor, "_REST", 0)


def lists(client: httpx.Client) -> np.ndarray:
    """The scores of everybody's list, in the order of ranks."""
    answers = (client.get(f"/recommend?user_id=u{user}").json()["items"] for user in range(USERS))
    return np.array([[item["score"] for item in items] for items in answers])


def live(client: httpx.Client) -> dict[str, Any]:
    """What `/model` says of the recall."""
    answer = client.get("/model").json()
    ServedModel.model_validate(answer)
    return cast("dict[str, Any]", answer["live_recall"])


def exact_lists(root: Path) -> np.ndarray:
    """The same by a full sort of all scores."""
    artifact = load(root).artifact
    scores = artifact.user_factors @ artifact.item_factors.T
    for user, of_all_items in enumerate(scores):
        of_all_items[artifact.histories.row(user)[0]] = -np.inf
    rows = [artifact.users.get(f"u{user}") for user in range(USERS)]
    return -np.sort(-scores[rows])[:, :10]


def test_bad_graph_is_replaced_by_the_exact_scan(
    publish_graph: PublishGraph,
    serve: Callable[..., httpx.Client],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Lists become exact, and /model, the log, the metrics and the entity tags say that something changed."""
    root = publish_graph(bad=True)
    client = serve(artifacts=root, recall_sample=1.0)
    before = client.get("/recommend?user_id=u0")
    assert live(client)["recommend"]["method"] == "hnsw"
    while live(client)["recommend"]["method"] == "hnsw":
        worst = lists(client)
    best = exact_lists(root)
    assert (worst[:20] < best[:20] - 1e-6).any()
    np.testing.assert_allclose(lists(client), best, rtol=1e-5, atol=1e-6)  # float32, 16 factors
    found = live(client)
    assert set(found) == {"recommend"}  # the other index answers exactly anyway
    assert found["recommend"]["floor"] == 0.99
    assert found["recommend"]["samples"] >= 100
    assert found["recommend"]["recall_estimate"] < 0.9
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "recall of recommend has fallen" in record.getMessage()
    text = client.get("/metrics").text
    assert 'foldrec_recall_falls_total{index="recommend"} 1.0' in text
    assert 'foldrec_recall_falls_total{index="similar"} 0.0' in text
    assert 'foldrec_recall_estimate{index="recommend"} 1.0' in text
    assert 'foldrec_retrieval_seconds_count{index="exact"}' in text
    after = client.get("/recommend?user_id=u0", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["x-model-version"] == before.headers["x-model-version"]


def test_good_graph_stays(publish_graph: PublishGraph, serve: Callable[..., httpx.Client]) -> None:
    """A graph that keeps its promise is measured and goes on answering."""
    client = serve(artifacts=publish_graph(bad=False), recall_sample=1.0)
    while live(client)["recommend"]["samples"] < 100:
        lists(client)
    found = live(client)["recommend"]
    assert (found["method"], found["has_fallen"]) == ("hnsw", False)
    assert found["recall_estimate"] > 0.99
    text = client.get("/metrics").text
    estimate = next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith("foldrec_recall_estimate{")
    )
    assert estimate > 0.99
    assert 'foldrec_recall_samples_total{index="recommend",result="checked"}' in text


def test_nothing_is_watched_where_nothing_is_sampled(
    publish_graph: PublishGraph, serve: Callable[..., httpx.Client]
) -> None:
    """With a share of 0 even a bad graph goes on, and nothing is said of its recall."""
    client = serve(artifacts=publish_graph(bad=True), recall_sample=0)
    lists(client)
    assert live(client) == {}
    assert "foldrec_recall_estimate{" not in client.get("/metrics").text


def test_monitor_that_is_behind_drops(publish_graph: PublishGraph) -> None:
    """Answers beyond the bounded queue are counted and forgotten: handing over never waits."""
    metrics = Metrics()
    monitor = RecallMonitor(1.0, metrics)
    snapshot = monitor.watched(load(publish_graph(bad=True)))
    query, nothing = snapshot.artifact.user_factors[0], np.empty(0, dtype=np.int32)
    for _ in range(recall_monitor._WAITING + 5):
        snapshot.recommend.search(query, 10, nothing)
    assert b'foldrec_recall_samples_total{index="recommend",result="dropped"} 5.0' in metrics.render()
