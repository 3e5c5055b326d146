"""The command lines against a real cluster, and against one that loses an executor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import polars.testing
import pytest

from app.recommender import Recommender
from app.snapshot import load
from models.artifact import current_version, open_artifact
from models.fold_in import FoldIn
from models.row_rules import FixedSide
from scripts.recommend_all import main as recommend_all
from tests.models.strategies import clustered_table
from tests.spark.standalone import SETTINGS, children, listening

ROOT = Path(__file__).parents[2]
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same as the kernel has it for sockets of IPv6, and ::1."""
CONF = [word for name, value in SETTINGS.items() for word in ("--spark-conf", f"{name}={value}")]


def started(cluster, module, *words, work):
    """A command line with this cluster, in a process of its own."""
    spark = ("--engine", "spark", "--master", cluster.url, "--work-dir", str(work), *CONF)
    return subprocess.Popen(
        [sys.executable, "-m", module, *words, *spark],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, seconds=550):
    """Exit status and what was printed."""
    out, error = process.communicate(timeout=seconds)
    return process.returncode, out + error


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A CSV file of ratings of 400 users and 90 items."""
    ratings = clustered_table(400, 90, 4, np.random.default_rng(0))
    users, items = np.nonzero(~np.isnan(ratings))
    path = tmp_path_factory.mktemp("table") / "ratings.csv"
    pl.DataFrame(
        {
            "user_id": [f"üser {user}" for user in users],
            "item_id": [f"item {item}" for item in items],
            "stars": ratings[users, items],
        }
    ).write_csv(path)
    return path


def training(table, family, root):
    """The words of a training."""
    words = ("--interactions", str(table), "--value-column", "stars", "--family", family)
    return [*words, "--set", "factors=8", "--set", "iterations=7", "--artifacts", str(root)]


@pytest.fixture(scope="module", params=["spark_ials", "spark_als"])
def root(request, cluster, table, tmp_path_factory):
    """Where the cluster's model is published; that nothing was left in the work directory is checked here."""
    work = tmp_path_factory.mktemp("wörk") / "a, b%20c"  # no path is too odd
    work.mkdir()
    root = tmp_path_factory.mktemp("artifacts")
    words = training(table, request.param, root)
    status, said = ended(started(cluster, "scripts.train", *words, work=work))
    assert status == 0, said
    assert "published" in said
    assert not list(work.iterdir())
    return root


@pytest.fixture(scope="module")
def implicit(root):
    """Where implicit feedback is published; what follows need not be shown twice."""
    if open_artifact(root / current_version(root)).manifest.family != "spark_ials":
        pytest.skip("shown for spark_ials")
    return root


def test_the_service_serves_what_the_cluster_trained(root):
    """The artifact loads, and its users are the fold-ins of their histories to 1e-5."""
    artifact = open_artifact(root / current_version(root))
    manifest = artifact.manifest
    assert (manifest.dataset.users, manifest.dataset.items) == (400, 90)
    fold_in = FoldIn(FixedSide(artifact.item_factors), manifest.row_rule)
    folded = [fold_in.solve(artifact.histories.only(user)).vector for user in range(400)]
    np.testing.assert_allclose(folded, artifact.user_factors, rtol=1e-5, atol=1e-6)
    snapshot = Recommender(load(root)).snapshot
    assert snapshot.manifest.family == manifest.family
    assert "spark://" not in (artifact.directory / "manifest.json").read_text()


@pytest.mark.parametrize("words", [(), ("--no-exclude-seen", "--k", "95")])
def test_lists_of_the_cluster_are_those_of_one_machine(cluster, implicit, words, tmp_path):
    """The same rows in the same order with the same types, in parts that several tasks have written."""
    here, there = tmp_path / "here.parquet", tmp_path / "there"
    said = ("--artifacts", str(implicit), *words)
    assert recommend_all([*said, "--output", str(here)]) == 0
    for _ in range(2 if not words else 1):  # the second time it replaces the first
        run = started(cluster, "scripts.recommend_all", *said, "--output", str(there), work=tmp_path)
        status, printed = ended(run)
        assert status == 0, printed
    parts = sorted(there.glob("part-*.parquet"))
    assert len(parts) > 1
    pl.testing.assert_frame_equal(pl.read_parquet(parts), pl.read_parquet(here), check_exact=True)
    assert {path.name for path in there.iterdir()} == {"_SUCCESS", *(part.name for part in parts)}
    assert f"{len(pl.read_parquet(here)):,} recommendations for 400 users" in printed


def test_a_directory_of_something_else_is_not_replaced(cluster, implicit, tmp_path):
    """Only lists make way for lists."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "diary.txt").write_text("dear")
    words = ("--artifacts", str(implicit), "--output", str(tmp_path / "there"))
    status, said = ended(started(cluster, "scripts.recommend_all", *words, work=tmp_path))
    assert status == 1
    assert "holds something else than lists" in said
    assert (tmp_path / "there" / "diary.txt").read_text() == "dear"


def test_an_executor_that_dies_in_the_middle_changes_nothing(cluster, implicit, table, tmp_path):
    """One of two executors is killed while Spark factorizes: the job ends well, with the same factors."""
    before = open_artifact(implicit / current_version(implicit))
    work, again = tmp_path / "work", tmp_path / "artifacts"
    work.mkdir()
    launched = cluster.launched()
    words = training(table, before.manifest.family, again)
    run = started(cluster, "scripts.train", *words, work=work)
    deadline = time.monotonic() + 400
    # The first checkpoint is of the fifth of seven iterations: ALS is at work.
    while not list(work.glob("*/checkpoints/*/rdd-*")):
        assert run.poll() is None, ended(run)
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(cluster.executors()[0], signal.SIGKILL)
    assert run.poll() is None
    exposed = listening([*cluster.family(), run.pid, *children(run.pid)])
    status, said = ended(run)
    assert status == 0, said
    assert cluster.launched() >= launched + 3, "no executor was started in place of the killed one"
    after = open_artifact(again / current_version(again))
    assert after.manifest.dataset == before.manifest.dataset
    # The order of sums is not the same twice, and seven iterations carry its last digits on.
    np.testing.assert_allclose(after.item_factors, before.item_factors, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(after.user_factors, before.user_factors, rtol=1e-3, atol=1e-4)
    assert exposed
    assert exposed <= LOOPBACK


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--family", "ials"], "families spark_ials and spark_als"),
        (["--interactions", "/no/such.csv"], "/no/such.csv"),
        (["--work-dir", "/no/such/directory"], "--work-dir /no/such/directory: there is no such directory"),
    ],
)
def test_mistakes_are_one_line_without_a_traceback(cluster, table, tmp_path, words, complaint):
    """What cannot work is said with its name; nothing is published."""
    given = training(table, "spark_ials", tmp_path / "artifacts")
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option in given:
            given[given.index(option) + 1] = value
    extra = words if words[0] == "--work-dir" else ()
    run = started(cluster, "scripts.train", *given, work=tmp_path)
    if extra:
        run.kill()
        ended(run)
        run = subprocess.Popen([*run.args, *extra], cwd=ROOT, stdout=-1, stderr=-1, text=True)
    status, said = ended(run)
    assert status == 1, said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert complaint in errors[0]
    assert "Traceback" not in said
    assert not (tmp_path / "artifacts").exists()
