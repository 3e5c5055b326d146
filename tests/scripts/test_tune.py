"""The tuning command: its recipe, its page, going on after a kill, and what it says of bad input."""

from __future__ import annotations

import csv
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from models.registry import configure
from scripts.recipe import Recipe, read_recipe, write_recipe
from scripts.train import main as train
from scripts.tune import main
from tests.models.strategies import clustered_table

COLUMNS = ("--user-column", "who", "--item-column", "what", "--value-column", "stars")


def write_table(path, seed):
    """A CSV file of ratings with times."""
    ratings = clustered_table(60, 40, 3, np.random.default_rng(seed))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("who", "what", "stars", "at"),
                *(
                    (f"u{user}", f"i{item}", ratings[user, item], 1_700_000_000 + 60 * user + item)
                    for user, item in zip(*np.nonzero(~np.isnan(ratings)), strict=True)
                ),
            ]
        )
    return path


@pytest.fixture
def run(tmp_path, capsys):
    """Run the command on a table; returns exit status, what was printed, and the search's file."""
    table = write_table(tmp_path / "ratings.csv", 0)
    storage = tmp_path / "search.db"

    def _run(*words, interactions=table):
        status = main(
            ["--interactions", str(interactions), *COLUMNS, "--storage", str(storage), "--jobs", "1", *words]
        )
        printed = capsys.readouterr()
        return status, printed.out + printed.err, storage

    return _run


def trials_of(storage):
    """States and values of a search's trials, in their order, by SQL."""
    with sqlite3.connect(f"file:{storage}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "select trials.state, trial_values.value from trials left join trial_values using (trial_id) "
            "order by trials.number"
        ).fetchall()
    connection.close()
    return rows


def test_what_is_found_can_be_trained(run, tmp_path, capsys):
    """The recipe holds what was fixed and searched, says how it was found, and scripts.train takes it."""
    out = tmp_path / "recipes" / "found.toml"
    status, printed, storage = run(
        *("--family", "als", "--metric", "rmse", "--split", "folds", "--rounds", "2", "--trials", "7"),
        *("--set", "factors=3", "--set", "ridge=constant", "--out", str(out)),
    )
    assert status == 0, printed
    recipe = read_recipe(out)
    assert recipe.family == "als"
    assert recipe.config["factors"] == 3
    assert recipe.config["ridge"] == "constant"
    assert {"regularization", "iterations"} <= recipe.config.keys()
    configure(recipe.family, recipe.config)
    comment = "\n".join(line for line in out.read_text().splitlines() if line.startswith("#"))
    for said in ("RMSE of 7 trials", "seed 0", "folds 5", "fingerprint", "On the test part", "default"):
        assert said in comment
    page = storage.with_suffix(".html").read_text()
    assert page.count("<svg") == 1 + 2  # the history, and one for each hyperparameter
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page.replace("http://www.w3.org", ""))
    words = ["--interactions", str(tmp_path / "ratings.csv"), *COLUMNS, "--recipe", str(out)]
    assert train([*words, "--artifacts", str(tmp_path / "artifacts")]) == 0, capsys.readouterr()


def test_looking_twice_is_said(run):
    """When trials are added, the recipe says how often the test part has been looked at."""
    words = ("--family", "svd", "--rounds", "1", "--k", "5", "--set", "centring=none", "--trials")
    status, printed, _ = run(*words, "2")
    assert status == 0, printed
    assert "looked at" not in printed
    assert "looked at" not in run(*words, "2")[1]
    status, printed, storage = run(*words, "4")
    assert status == 0, printed
    assert "The test part has been looked at 2 times" in printed
    assert len(trials_of(storage)) == 4


@pytest.mark.timeout(600)  # three processes, one after another
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes are left")
def test_a_killed_search_goes_on(tmp_path):
    """SIGKILL in the middle leaves no worker behind; the same command then finds what it would have found."""
    table = write_table(tmp_path / "ratings.csv", 0)
    words = ["--interactions", str(table), *COLUMNS, "--family", "funk_svd", "--metric", "rmse"]
    words += ["--split", "folds", "--set", "factors=5", "--trials", "20", "--rounds", "2", "--jobs", "1"]

    def command(name):
        return [sys.executable, "-m", "scripts.tune", *words, "--storage", str(tmp_path / name)]

    whole = subprocess.run(command("whole.db"), capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    with subprocess.Popen(
        command("killed.db"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        wait_for(lambda: finished(tmp_path / "killed.db") >= 3)
        os.kill(process.pid, signal.SIGKILL)
    assert finished(tmp_path / "killed.db") < 20
    wait_for(lambda: not members(process.pid))
    resumed = subprocess.run(command("killed.db"), capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert results(tmp_path / "killed.db") == results(tmp_path / "whole.db")
    recipes = [read_recipe(tmp_path / name) for name in ("killed.toml", "whole.toml")]
    assert recipes[0] == recipes[1]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes are left")
@pytest.mark.parametrize("least", [1, 2, 3])
def test_an_interrupt_says_how_to_go_on(tmp_path, least):
    """Ctrl-C ends the workers, with status 130 and one line that names the file of the search."""
    storage = tmp_path / "search.db"
    status, said, session = interrupted(tmp_path, storage, lambda _: finished(storage) >= least)
    assert status == 130
    assert said == (
        f"error: interrupted; the trials so far are in {storage}, and the same command goes on from there\n"
    )
    wait_for(lambda: not members(session))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes are left")
@pytest.mark.parametrize("library", ["numpy", "sklearn", "sqlalchemy"])
def test_an_early_interrupt_is_no_traceback(tmp_path, library):
    """Ctrl-C while modules are imported: status 130, and no more."""
    status, said, session = interrupted(
        tmp_path, tmp_path / "search.db", lambda pid: f"/{library}/" in libraries(pid)
    )
    assert status == 130
    assert "Traceback" not in said
    wait_for(lambda: not members(session))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes are left")
def test_an_interrupt_leaves_starting_workers_silent(tmp_path):
    """A worker that is still importing says nothing of a Ctrl-C, which is the search's to hear."""
    storage = tmp_path / "search.db"
    status, said, session = interrupted(
        tmp_path, storage, lambda session: any("spawn_main" in command_line(pid) for pid in members(session))
    )
    assert status == 130
    assert said == (
        f"error: interrupted; the trials so far are in {storage}, and the same command goes on from there\n"
    )
    wait_for(lambda: not members(session))


def interrupted(folder, storage, when):
    """Begin a long search, and press Ctrl-C: its status, what it said on stderr, and its session."""
    table = write_table(folder / "ratings.csv", 0)
    words = ["--interactions", str(table), *COLUMNS, "--family", "svd", "--trials", "9999", "--jobs", "1"]
    command = [sys.executable, "-m", "scripts.tune", *words, "--k", "5", "--storage", str(storage)]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - it only sets a signal
    ) as process:
        try:
            wait_for(lambda: when(process.pid))
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    return process.returncode, said, process.pid


def heed_interrupts():
    """Started in the background, a shell may have made us ignore SIGINT; a terminal never does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command_line(pid):
    """What a process was started with; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def libraries(pid):
    """The files that a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text()


def finished(storage):
    """Trials that have ended."""
    try:
        return len(results(storage))
    except sqlite3.OperationalError:  # not made yet
        return 0


def results(storage):
    """State and value of each trial, but for those that a kill ended."""
    return [(state, value) for state, value in trials_of(storage) if state in {"COMPLETE", "PRUNED"}]


def members(session):
    """Processes of a session that are still there."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def wait_for(condition, seconds=300):
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--family", "ials", "--metric", "rmse"], "use --metric ndcg, or a family that predicts them: als"),
        (["--family", "als", "--metric", "mae"], "use --split folds, or --metric ndcg"),
        (["--family", "als", "--metric", "novelty"], "is neither good nor bad; use ndcg"),
        (["--family", "als", "--set", "factor=3"], "factor=3: Extra inputs"),
        (["--family", "ease", "--set", "regularization=3"], "leave some to search for"),
        (["--family", "als", "--split", "latest-time"], "--time-column"),
        (["--family", "timesvdpp", "--set", "factors=3"], "--time-column"),
        (["--family", "als", "--split", "folds", "--test-share", "1"], "--test-share 1: give a share"),
        (["--family", "hybrid_svd"], "name their table with --items"),
        (["--family", "als", "--k", "99"], "use --k between 1 and 40"),
        (["--family", "als", "--jobs", "999"], "use --jobs between 1 and"),
        (["--family", "als", "--item-column", "waht"], "waht"),
        (["--family", "als", "--set", "factors=99"], "use --set factors=40 or fewer"),
    ],
)
def test_what_cannot_be_done_is_said(run, words, complaint):
    """Each mistake ends with status 1 and one message that holds the remedy; no traceback, no recipe."""
    status, printed, storage = run(*words)
    assert status == 1
    assert "error: " in printed
    assert complaint in " ".join(printed.split())
    assert "Traceback" not in printed
    assert not storage.with_suffix(".toml").exists()


@pytest.mark.parametrize("words", [["--trials", "0"], ["--metric", "beauty"], ["--sampler", "oracle"], []])
def test_wrong_usage_is_status_2(run, words):
    """What typer checks is typer's complaint."""
    family = ["--family", "als"] if words else ["--family", "nonsense"]
    assert run(*family, *words)[0] == 2


def test_another_table_does_not_go_on_with_this_search(run, tmp_path):
    """The file of a search on one table is refused for another; the remedy is named."""
    words = ("--family", "svd", "--rounds", "1", "--k", "5", "--trials", "1", "--set", "factors=3")
    assert run(*words)[0] == 0
    status, printed, _ = run(*words, interactions=write_table(tmp_path / "other.csv", 1))
    assert status == 1
    assert "holds another search" in printed
    assert "dataset" in printed
    assert "use another --storage" in printed


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"factors": 7, "regularization": 1e-05, "weighting": "linear", "ok": True},
        {"weighting": {"kind": "bm25", "k1": 1.5}, "features": ["genres", 'a "b" \\ é 😀'], "large": 1e22},
    ],
)
def test_recipes_are_read_as_they_were_written(tmp_path, config):
    """Writing and reading a recipe, comments and all, changes nothing."""
    path = tmp_path / "new" / "recipe.toml"
    write_recipe(path, Recipe(family="ials", config=config), ["found by ü", "[not a table]"])
    assert read_recipe(path) == Recipe(family="ials", config=config)
