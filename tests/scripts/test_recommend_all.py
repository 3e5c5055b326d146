"""Lists of all users in a file: against a dense oracle, for some users, filtered, and whole or not at all."""

from __future__ import annotations

import csv
import json

import numpy as np
import polars as pl
import pytest

from models.artifact import current_version, open_artifact
from models.top_lists import TopListMaker
from scripts.recommend_all import main
from scripts.train import main as train
from tests.models.strategies import clustered_table


@pytest.fixture(scope="module", params=["ials", "als"])
def root(request, tmp_path_factory):
    """Where a model of 70 users and 40 items with genres is published; user 0 has had everything."""
    folder = tmp_path_factory.mktemp(request.param)
    ratings = clustered_table(70, 40, 3, np.random.default_rng(0))
    ratings[0] = np.where(np.isnan(ratings[0]), 3, ratings[0])
    table, items = folder / "ratings.csv", folder / "items.ndjson"
    with table.open("w", newline="", encoding="utf-8") as file:
        cells = zip(*np.nonzero(~np.isnan(ratings)), strict=True)
        rows = [(f"üser {user}", f"item {item}", ratings[user, item]) for user, item in cells]
        csv.writer(file).writerows([("user_id", "item_id", "stars"), *rows])
    described = [{"item_id": f"item {n}", "genres": ["odd" if n % 2 else "even"]} for n in range(40)]
    items.write_text("".join(json.dumps(item) + "\n" for item in described))
    published = folder / "artifacts"
    words = ("--interactions", str(table), "--value-column", "stars", "--items", str(items))
    options = ("--family", request.param, "--set", "factors=5", "--artifacts", str(published))
    assert train([*words, *options]) == 0
    return published


@pytest.fixture
def write(root, tmp_path, capsys):
    """Run the command; returns its exit status, what was printed, and the path of the file."""
    path = tmp_path / "lists.parquet"

    def _write(*words, artifacts=root):
        status = main(["--artifacts", str(artifacts), "--output", str(path), *words])
        printed = capsys.readouterr()
        return status, printed.out + printed.err, path

    return _write


def by_user(path):
    """Item ids and scores of each user in the file, whose rows must be whole lists in the order of rank."""
    lists = {}
    for user, rank, item, score in pl.read_parquet(path).iter_rows():
        lists.setdefault(user, []).append((item, score))
        assert rank == len(lists[user])
    return lists


def oracle(root, k, may_list=lambda seen, item: item not in seen):
    """Every user's k best items by dense scores in float64: μ + b_u + b_i + p·q, or p·q."""
    artifact = open_artifact(root / current_version(root))
    p, q = artifact.user_factors.astype(np.float64), artifact.item_factors.astype(np.float64)
    scores = p @ q.T
    if artifact.manifest.family == "als":
        scores = artifact.manifest.row_rule.global_mean + p[:, :-1] @ q[:, :-1].T + p[:, -1:] + q[:, -1]
    lists = {}
    for user, of_user in enumerate(scores):
        seen = set(artifact.items.to_external(artifact.histories.row(user)[0]))
        left = [(artifact.items.external(item), score) for item, score in enumerate(of_user)]
        left = [(item, score) for item, score in left if may_list(seen, item)]
        if left:
            lists[artifact.users.external(user)] = sorted(left, key=lambda each: -each[1])[:k]
    return lists


def assert_same(lists, others):
    """The same users with the same items; scores up to float32's rounding of sums of a few products."""
    assert lists.keys() == others.keys()
    for user, ours in lists.items():
        assert [item for item, _ in ours] == [item for item, _ in others[user]]
        assert [score for _, score in ours] == pytest.approx([score for _, score in others[user]], abs=1e-5)


def test_the_file_holds_everybodys_list(root, write):
    """One row a recommendation, in the schema of the docs; that somebody has none is said."""
    status, printed, path = write("--k", "6")
    assert status == 0, printed
    schema = {"user_id": pl.String, "rank": pl.UInt16, "item_id": pl.String, "score": pl.Float32}
    assert pl.read_parquet_schema(path) == schema
    assert_same(by_user(path), oracle(root, 6))
    assert len(by_user(path)) == 69
    assert "414 recommendations for 70 users" in printed
    assert "1 users have no rows" in printed
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_was_seen_can_be_listed_and_short_lists_are_counted(root, write):
    """Without exclusion, and with a k beyond the catalogue, everybody has every item once."""
    status, printed, path = write("--k", "50", "--no-exclude-seen")
    assert status == 0, printed
    assert_same(by_user(path), oracle(root, 50, lambda *_: True))
    assert "fewer than 50 items were left for 70 users" in printed


def test_a_filter_lets_only_its_items_through(root, write):
    """The filters of the service, in its own notation."""
    status, printed, path = write("--k", "4", "--filter", "genres:odd")
    assert status == 0, printed
    assert_same(by_user(path), oracle(root, 4, lambda seen, item: item not in seen and int(item[5:]) % 2))


def test_only_listed_users_are_written_in_the_order_of_the_list(root, write, tmp_path):
    """A list from another system: a byte-order mark, CRLF, an empty line, an id that comes twice."""
    listed = tmp_path / "users.txt"
    listed.write_bytes("\ufeffüser 9\r\nüser 3\r\n\r\nüser 9\r\n".encode())
    status, printed, path = write("--users", str(listed), "--k", "3")
    assert status == 0, printed
    whole = oracle(root, 3)
    assert_same(by_user(path), {user: whole[user] for user in ("üser 9", "üser 3")})
    assert list(by_user(path)) == ["üser 9", "üser 3"]


def test_unknown_users_stop_the_run_or_are_skipped(write, tmp_path):
    """They are named with their line, and counted."""
    listed = tmp_path / "users.txt"
    listed.write_text("üser 3\nnobody\nüser 5\nnothing\n")
    status, printed, path = write("--users", str(listed))
    assert (status, path.exists()) == (1, False)
    assert f"{listed}, line 2: user 'nobody' is not in model" in printed
    assert "(of 4 users 2 are not)" in printed
    status, printed, path = write("--users", str(listed), "--on-unknown", "skip")
    assert status == 0
    assert "skipped 2 unknown users, such as 'nobody'" in printed
    assert by_user(path).keys() == {"üser 3", "üser 5"}


@pytest.mark.parametrize(
    ("trouble", "expected"), [(OSError(28, "No space left on device"), 1), (KeyboardInterrupt(), 130)]
)
def test_a_run_that_breaks_off_leaves_the_old_file(write, monkeypatch, trouble, expected):
    """Nothing half-written is left, and what was there is still there, whole."""
    status, _, path = write("--k", "2")
    assert status == 0
    before = path.read_bytes()
    lists = TopListMaker.lists

    def broken(self, users, k, seen):
        yield from lists(self, users[:20], k, seen)
        raise trouble

    monkeypatch.setattr(TopListMaker, "lists", broken)
    status, printed, _ = write("--k", "3")
    assert (status, "Traceback" in printed) == (expected, False)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--version", "20200101T000000Z-00000000"), "20200101T000000Z-00000000"),
        (("--filter", "colour:red"), "colour"),
        (("--filter", "genres:none"), "no item passes genres:none; use a wider --filter"),
        (("--users", "nowhere.txt"), "nowhere.txt"),
        (("--output", "nowhere/lists.parquet"), "there is no directory nowhere; make it first"),
        (("--output", "."), "that is a directory; name a file"),
    ],
)
def test_what_cannot_be_done_is_said(write, words, complaint):
    """Status 1 and one message that names the value; no traceback, no file."""
    status, printed, path = write(*words)
    assert status == 1
    assert "error: " in printed
    assert complaint in printed
    assert "Traceback" not in printed
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"\xff\n", "is not UTF-8"), (b"a\nb\n", "none of its 2")]
)
def test_a_file_of_users_that_names_none_is_refused(write, tmp_path, content, complaint):
    """Another encoding, or ids of another model."""
    listed = tmp_path / "users.txt"
    listed.write_bytes(content)
    status, printed, path = write("--users", str(listed), "--on-unknown", "skip")
    assert (status, path.exists()) == (1, False)
    assert complaint in printed


def test_nothing_published_is_said(write, tmp_path):
    """Where no model is, training one is the remedy."""
    status, printed, _ = write(artifacts=tmp_path)
    assert (status, "train a model" in printed) == (1, True)
