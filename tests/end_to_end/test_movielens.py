"""The whole line on real data: MovieLens 100K fetched, trained, published, served and asked over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from models.artifact import current_version, open_artifact
from tests.service_process import ROOT, eventually, running

_DEADLINE = 60.0


def command(*words):
    """Run one of the command lines as a user does; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def movielens(tmp_path_factory):
    """The directory of MovieLens 100K: the one `make demo` fetched, or fetched now."""
    there = ROOT / "data" / "movielens-100k"
    if (there / "dataset.json").exists():
        return there
    data = tmp_path_factory.mktemp("data")
    fetched = subprocess.run(
        [sys.executable, "-m", "scripts.fetch", "movielens-100k", "--data-dir", str(data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode != 0:
        pytest.skip(f"MovieLens 100K is neither in data/ nor to be fetched from here: {fetched.stderr}")
    return data / "movielens-100k"


@pytest.fixture(scope="module")
def artifacts(movielens, tmp_path_factory):
    """An artifact of iALS on MovieLens 100K, made by the training command."""
    root = tmp_path_factory.mktemp("artifacts")
    recipe = ROOT / "recipes" / "ials.toml"
    printed = command(
        "scripts.train",
        *("--interactions", movielens, "--recipe", recipe, "--holdout", "latest", "--artifacts", root),
    )
    assert "100,000 interactions of 943 users with 1,682 items" in printed
    assert f"published {root}" in printed.replace("\n", "")
    return root


@pytest.fixture(scope="module")
def service(artifacts, tmp_path_factory):
    """A client of a service process."""
    log = tmp_path_factory.mktemp("service") / "log"
    with running(artifacts, log, reload_seconds="0.2") as process:
        eventually(lambda: process.status("/ready") == 200)
        yield process.client
    assert "Traceback" not in log.read_text()


def test_ials_is_clearly_better_than_popularity(artifacts):
    """On the latest fifth of every history, iALS has at least 1.4 times popularity's nDCG@10."""
    metrics = open_artifact(artifacts / current_version(artifacts)).manifest.metrics
    assert metrics["model"]["ndcg@10"] > 1.4 * metrics["popularity"]["ndcg@10"]
    assert metrics["popularity"]["ndcg@10"] > 0.05


def test_both_certificates_are_published(service):
    """GET /model says how well retrieval and fold-in agree with the exact answers, and they do."""
    card = service.get("/model").json()
    for name in ("recommend", "similar"):
        certificate = card["retrieval"][name]
        assert min(certificate["recall"], certificate["recall_as_served"]) >= certificate["target"] == 0.99
    assert card["fold_in"]["max_relative_difference"] < 1e-5
    assert card["fold_in"]["top_k_overlap"] == pytest.approx(1, abs=1e-3)
    assert card["dataset"] == card["dataset"] | {"rows": 100_000, "users": 943, "items": 1682}


def test_a_known_user_gets_unseen_titles_explained(service, artifacts):
    """Ten unseen items, best first, whose explanations sum to their scores."""
    answer = service.get("/recommend", params={"user_id": "196", "k": 10, "explain": True}).json()
    artifact = open_artifact(artifacts / current_version(artifacts))
    seen = set(artifact.items.to_external(artifact.histories.row(artifact.users.get("196"))[0]))
    ids = [item["item_id"] for item in answer["items"]]
    scores = [item["score"] for item in answer["items"]]
    assert answer["source"] == "factors"
    assert len(set(ids)) == 10
    assert not seen & set(ids)
    assert scores == sorted(scores, reverse=True)
    for item in answer["items"]:
        total = sum(part["contribution"] for part in item["because"]) + item["intercept"]
        assert total == pytest.approx(item["score"], rel=1e-5)
    assert service.get(f"/items/{ids[0]}").json()["metadata"]["title"]


def test_a_newcomer_who_likes_star_wars_gets_its_sequels(service):
    """Folding in Star Wars recommends the other two films of the trilogy; so does /similar."""
    liked = {"interactions": [{"item_id": "50", "value": 5}], "k": 10}
    folded = service.post("/fold-in", json=liked).json()
    similar = service.get("/similar", params={"item_id": "50", "k": 10}).json()
    assert folded["source"] == "fold_in"
    for answer in (folded, similar):
        titles = [
            service.get(f"/items/{item['item_id']}").json()["metadata"]["title"] for item in answer["items"]
        ]
        assert "Return of the Jedi" in titles
        assert any("Empire Strikes Back" in title for title in titles)


def test_a_new_version_is_picked_up_while_serving(service, artifacts, movielens):
    """Publishing SVD replaces iALS in the running process; no request fails meanwhile."""
    before = service.get("/model").json()["model_version"]
    trainer = subprocess.Popen(
        [
            *(sys.executable, "-m", "scripts.train", "--interactions", movielens),
            *("--recipe", "recipes/svd.toml", "--artifacts", artifacts),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    end = time.monotonic() + _DEADLINE
    while (now := service.get("/recommend", params={"user_id": "196"})).json()["model_version"] == before:
        assert now.status_code == 200
        assert time.monotonic() < end, "the new version was not picked up"
        time.sleep(0.01)
    assert trainer.wait(timeout=30) == 0
    card = service.get("/model").json()
    assert card["family"] == "svd"
    assert json.dumps(card).find("NaN") == -1
