"""The training command: what it publishes, and what it says of bad input, without a traceback."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from models.artifact import current_version, open_artifact, versions
from scripts.train import main
from tests.models.strategies import clustered_table


@pytest.fixture
def table(tmp_path):
    """A CSV file of ratings with times, and its rows."""
    ratings = clustered_table(60, 40, 3, np.random.default_rng(0))
    rows = [
        (f"user {user}", f"ítem {item}", ratings[user, item], 1_700_000_000 + 60 * user + item)
        for user, item in zip(*np.nonzero(~np.isnan(ratings)), strict=True)
    ]
    path = tmp_path / "ratings.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("who", "what", "stars", "at"), *rows])
    return path, rows


@pytest.fixture
def run(table, tmp_path, capsys):
    """Run the command on the table; returns exit status, what was printed, and where it publishes."""
    columns = ("--user-column", "who", "--item-column", "what", "--value-column", "stars")

    def _run(*words, interactions=table[0]):
        root = tmp_path / "artifacts"
        status = main([*("--interactions", str(interactions), "--artifacts", str(root)), *columns, *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err, root

    return _run


@pytest.mark.parametrize("family", ["ials", "als", "svd", "nmf"])
def test_every_family_is_published_with_its_configuration(run, table, family):
    """The artifact holds every rating under its ids, the recipe, holdout metrics and both certificates."""
    status, printed, root = run(
        *(
            "--family",
            family,
            "--set",
            "factors=5",
            "--time-column",
            "at",
            "--holdout",
            "latest",
            "--seed",
            "3",
        )
    )
    assert status == 0, printed
    artifact = open_artifact(root / current_version(root))
    manifest = artifact.manifest
    rows = table[1]
    assert (manifest.family, manifest.config["factors"], manifest.seed) == (family, 5, 3)
    assert manifest.dataset.rows == len(rows)
    assert manifest.dataset.first_timestamp == min(row[3] for row in rows)
    assert 0 < manifest.metrics["model"]["ndcg@10"] <= 1
    low, high = manifest.metrics["intervals"]["model"]["ndcg@10"]
    assert low < manifest.metrics["model"]["ndcg@10"] < high
    assert f"({low:.4f} to {high:.4f})" in " ".join(printed.split())
    assert set(manifest.retrieval) == {"recommend", "similar"}
    assert manifest.fold_in.max_relative_difference < 1e-5
    stored = {
        (artifact.users.external(user), artifact.items.external(item)): value
        for user in range(len(artifact.users))
        for item, value in zip(*map(np.ndarray.tolist, artifact.histories.row(user)), strict=True)
    }
    assert stored == {(user, item): value for user, item, value, _ in rows}


def test_item_metadata_come_along(run, tmp_path):
    """Titles from --items are stored with their items."""
    items = tmp_path / "items.ndjson"
    items.write_text(json.dumps({"what": "ítem 1", "name": "<b>One</b>", "tags": ["a"]}) + "\n")
    status, printed, root = run("--set", "factors=3", "--items", str(items), "--title-column", "name")
    assert status == 0, printed
    artifact = open_artifact(root / current_version(root))
    assert json.loads(artifact.metadata(artifact.items.get("ítem 1"))) == {
        "title": "<b>One</b>",
        "tags": ["a"],
    }


def test_lists_are_precomputed_where_asked_for(run):
    """--precompute stores the lists of all users, says how large they are, and how long it took."""
    status, printed, root = run("--set", "factors=3", "--precompute", "7")
    assert status == 0, printed
    assert re.search(r"top lists +7 items a user in 0\.0 MiB; fewer are left for \d+ users", printed)
    assert "top lists 0." in printed
    artifact = open_artifact(root / current_version(root))
    assert artifact.top_lists.items.shape == (len(artifact.users), 7)


def test_the_seconds_of_every_phase_are_told_and_recorded(run):
    """From reading to writing; the manifest, which is written last, has all but the writing."""
    status, printed, root = run("--set", "factors=3", "--set", "iterations=2")
    assert status == 0, printed
    phases = ["read", "map", "fit", "closing sweep", "index", "certify fold-in", "estimate noise", "describe"]
    recorded = open_artifact(root / current_version(root)).manifest.training.seconds
    assert list(recorded) == phases
    assert min(recorded.values()) > 0
    told = re.sub(r"\s+", " ", printed)
    assert re.search(r"seconds " + ", ".join(rf"{phase} \d+\.\d" for phase in [*phases, "write"]), told)


def test_the_same_seed_gives_the_same_model(run):
    """Two runs publish two versions with equal factors."""
    roots = [run("--set", "factors=4")[2] for _ in range(2)]
    first, second = (open_artifact(roots[0] / version) for version in versions(roots[0]))
    np.testing.assert_array_equal(first.item_factors, second.item_factors)
    np.testing.assert_array_equal(first.user_factors, second.user_factors)


def test_old_versions_go_only_when_asked(run):
    """--keep 1 leaves the new version alone; without it all stay."""
    run("--set", "factors=3")
    _, _, root = run("--set", "factors=3")
    assert len(versions(root)) == 2
    _, printed, _ = run("--set", "factors=3", "--keep", "1")
    assert versions(root) == [current_version(root)]
    assert "removed 2 older" in printed


def test_bad_rows_stop_the_run_or_are_counted(run, table):
    """A bad row is named with line and column and nothing is published; skipped rows are reported."""
    path, rows = table
    path.write_text(path.read_text() + "user 1,ítem 39,many,0\n")
    status, printed, root = run("--set", "factors=3")
    assert status == 1
    assert f"line {len(rows) + 2}, column 'stars': 'many' is not a number" in printed
    assert "--on-bad-row=skip" in printed
    assert not root.exists()
    status, printed, _ = run("--set", "factors=3", "--on-bad-row", "skip")
    assert status == 0
    assert "1 bad rows skipped (unparsable value: 1)" in printed
    assert f"line {len(rows) + 2}, column 'stars'" in printed


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--set", "factors=99"], "use --set factors=40 or fewer"),
        (["--set", "factor=9"], "factor=9: Extra inputs are not permitted"),
        (["--set", "factors"], "write name=value"),
        (["--family", "als", "--recipe", "recipes/ials.toml"], "disagree; leave one out"),
        (["--recipe", "nowhere.toml"], "nowhere.toml: No such file or directory"),
        (["--device", "cuda", "--family", "als", "--set", "factors=3"], "trains on the CPU only"),
        (["--holdout", "latest", "--set", "factors=3"], "name their --time-column, or use --holdout random"),
        (["--item-column", "waht"], "waht"),
        (["--min-user-interactions", "1000"], "lower them"),
        (["--items", "nowhere.csv"], "nowhere.csv"),
        (["--family", "hybrid_svd", "--set", "factors=3"], "name their table with --items"),
        (["--family", "ease"], "family ease is evaluated only, not served"),
        (["--family", "popularity", "--set", "half_life=9"], "name their --time-column"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_published(run, words, complaint):
    """Each mistake ends with status 1 and one message that holds the remedy; no traceback, no artifact."""
    status, printed, root = run(*words)
    assert status == 1
    assert "error: " in printed
    assert complaint in " ".join(printed.split())
    assert "Traceback" not in printed
    assert not root.exists()


def test_wrong_usage_is_status_2(run):
    """An unknown option is typer's own complaint."""
    status, printed, root = run("--no-such-option")
    assert status == 2
    assert "--no-such-option" in printed
    assert not root.exists()


def test_a_holdout_of_nobody_is_refused_before_training(run, table):
    """Where no user has enough to hold one interaction out, the remedy comes before the fit."""
    table[0].write_text("who,what,stars\na,x,1\na,y,2\nb,x,3\nb,y,1\n")
    status, printed, root = run("--holdout", "random", "--set", "factors=1")
    assert status == 1
    assert "use --holdout none" in printed
    assert not root.exists()


def test_an_items_table_of_other_items_is_refused(run, tmp_path):
    """Metadata without one known id is a wrong table or column, and said to be."""
    items = tmp_path / "items.csv"
    items.write_text("what,name\nother,One\n")
    status, printed, root = run("--set", "factors=3", "--items", str(items))
    assert status == 1
    assert "no id in it has interactions" in printed
    assert "--item-id-column" in printed
    assert not root.exists()


def test_a_model_worse_than_popularity_is_published_with_a_warning(run, table):
    """Where bestsellers rank held-out items better, the command says so, and what to try."""
    rng = np.random.default_rng(0)  # item n is seen by one user in n + 1, and rated by the roll of a die
    seen = [(user, item) for user in range(60) for item in range(40) if rng.random() < 1 / (item + 1)]
    lines = [f"{user},{item},{rng.integers(1, 6)},0\n" for user, item in seen]
    table[0].write_text("who,what,stars,at\n" + "".join(lines))
    status, printed, _ = run("--family", "als", "--holdout", "random", "--set", "factors=6")
    assert status == 0, printed
    assert "rank no better" in printed
    assert "use family ials" in printed


def test_popularity_is_published_without_being_compared_with_itself(run):
    """The baseline is served like any family; that it ranks no better than popularity is no warning."""
    status, printed, root = run("--family", "popularity", "--holdout", "random")
    assert status == 0, printed
    assert open_artifact(root / current_version(root)).manifest.row_rule.kind == "popularity"
    assert "rank no better" not in printed


def test_an_item_that_nobody_has_had_is_recommended_by_its_metadata(run, tmp_path):
    """hybrid_svd takes all items of the items table into the catalogue; other families only what was seen."""
    items = tmp_path / "items.ndjson"
    described = [{"what": f"ítem {n}", "genres": ["odd" if n % 2 else "even"]} for n in range(40)]
    described.append({"what": "brand new", "genres": ["odd"]})
    items.write_text("".join(json.dumps(item) + "\n" for item in described))
    words = ("--items", str(items), "--set", "factors=4")
    status, printed, root = run("--family", "hybrid_svd", *words)
    assert status == 0, printed
    assert "metadata of 40 of 40 items, and of 1 that nobody has had" in printed
    artifact = open_artifact(root / current_version(root))
    row = artifact.items.get("brand new")
    assert artifact.popularity[row] == 0
    assert artifact.item_factors[row].any()
    status, printed, root = run("--family", "ials", *words)
    assert status == 0, printed
    assert open_artifact(root / current_version(root)).items.get("brand new") is None


def test_users_with_metadata_in_common_are_compared(run, tmp_path):
    """hybrid_svd reads --users where user_features name members; published fold-ins agree all the same."""
    items, users = tmp_path / "items.ndjson", tmp_path / "users.csv"
    items.write_text(
        "".join(json.dumps({"what": f"ítem {n}", "genres": [str(n % 3)]}) + "\n" for n in range(40))
    )
    users.write_text(
        "member,trade\n" + "".join(f"user {n},{'cook' if n % 2 else 'poet'}\n" for n in range(50))
    )
    words = ("--family", "hybrid_svd", "--items", str(items), "--set", "factors=4")
    compared = (*words, "--users", str(users), "--user-id-column", "member")
    asked = ("--set", 'user_features=["trade"]')
    published = []
    for chosen in (words, (*compared, *asked)):
        status, printed, root = run(*chosen)
        assert status == 0, printed
        published.append(open_artifact(root / current_version(root)))
    assert "metadata of 50 of 60 users" in printed
    assert not np.allclose(published[0].item_factors, published[1].item_factors)
    assert published[1].manifest.fold_in.max_relative_difference < 1e-5
    users.write_text("member,trade\nsomebody,cook\n")
    status, printed, _ = run(*compared, *asked)
    assert (status, "no id in it has interactions" in printed) == (1, True)
    status, printed, _ = run(*words, *asked)
    assert (status, "name their table with --users" in printed) == (1, True)
