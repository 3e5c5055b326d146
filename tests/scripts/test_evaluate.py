"""The evaluation command: its table, JSON and page, and what it says of bad input, without a traceback."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser

import httpx
import numpy as np
import pytest

from models.artifact import current_version, open_artifact, report_path
from scripts.covers import fetch_covers
from scripts.evaluate import main
from scripts.train import main as train
from tests.models.strategies import clustered_table

NASTY = "<script>alert('ü')</script> & $x$"


@pytest.fixture
def tables(tmp_path):
    """A CSV file of ratings with times, and one of items with titles that need escaping."""
    ratings = clustered_table(50, 30, 3, np.random.default_rng(0))
    ratings_path, items_path = tmp_path / "ratings.csv", tmp_path / "items.csv"
    with ratings_path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("user_id", "item_id", "stars", "at"),
                *(
                    (f"user {user}", f"item {item}", ratings[user, item], 1_700_000_000 + 60 * user + item)
                    for user, item in zip(*np.nonzero(~np.isnan(ratings)), strict=True)
                ),
            ]
        )
    with items_path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("item_id", "title"), *((f"item {item}", f"{NASTY} {item}") for item in range(30))]
        )
    return ratings_path, items_path


@pytest.fixture
def run(tables, capsys, monkeypatch):
    """Run the command on the table; returns the exit status and what was printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def _run(*words, columns=("--value-column", "stars", "--time-column", "at"), families=("als", "svd")):
        chosen = [word for family in families for word in ("--family", family)]
        settings = ("--set", "factors=4") if "ease" not in families and families else ()
        status = main(
            ["--interactions", str(tables[0]), *columns, *chosen, *settings, "--resamples", "100", *words]
        )
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return _run


class _Page(HTMLParser):
    """Collects what a page refers to, its elements and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.references, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.references += [value for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("split", ["folds", "leave-k-out", "latest-time", "strong", "cold-items"])
def test_every_split_gives_a_table_json_and_a_page(run, tables, tmp_path, split):
    """Models and baselines are in all three; the JSON holds intervals, costs, curves and the fingerprint."""
    json_path, html_path = tmp_path / "new" / "out.json", tmp_path / "report.html"
    status, printed = run(
        *("--items", str(tables[1]), "--split", split, "--folds", "2", "--k", "5"),
        *("--json", str(json_path), "--html", str(html_path)),
    )
    assert status == 0, printed
    result = json.loads(json_path.read_text())
    comparison = result["comparison"]
    names = [each["name"] for each in comparison["results"]]
    assert names == ["als", "svd", "popularity", "item_knn", "ease", "random"]
    assert re.fullmatch("[0-9a-f]{64}", comparison["fingerprint"])
    als = comparison["results"][0]
    assert als["config"]["factors"] == 4
    assert als["metrics"]["ndcg@5"]["low"] <= als["metrics"]["ndcg@5"]["value"]
    assert ("rmse" in als["metrics"]) == (split != "strong")
    assert len(als["steps"]) == als["config"]["iterations"]
    assert [point["iterations"] for point in result["curves"]["als"]] == [1, 2, 4, 8, 15]
    for name in names:
        assert name in printed
    assert f"{als['metrics']['ndcg@5']['value']:.4f}" in printed
    page = _Page(html_path.read_text(encoding="utf-8"))
    assert f"{als['metrics']['ndcg@5']['value']:.4f}" in page.text


def test_the_page_needs_nothing_else_and_escapes_titles(run, tables, tmp_path):
    """No script, no address to load from; a title that looks like a tag is shown as text."""
    html_path = tmp_path / "report.html"
    status, printed = run("--items", str(tables[1]), "--split", "leave-k-out", "--html", str(html_path))
    assert status == 0, printed
    text = html_path.read_text(encoding="utf-8")
    page = _Page(text)
    assert "script" not in page.elements
    assert "link" not in page.elements
    assert page.elements.count("svg") == 9 + 1 + 2 + 1 + 2  # metrics, popularity, curves, loss of als, costs
    assert all(reference.startswith("#") for reference in page.references)
    assert "url(http" not in text
    assert f"{NASTY} 1" in page.text


ATTACHED = ("--split", "leave-k-out", "--no-learning-curves", "--eye-test", "0")


@pytest.fixture
def trained(tables, tmp_path):
    """Artifacts with a version of als by four factors, and the directory of that version."""
    words = ("--value-column", "stars", "--time-column", "at", "--family", "als", "--set", "factors=4")
    status = train(["--interactions", str(tables[0]), *words, "--artifacts", str(tmp_path / "artifacts")])
    assert status == 0
    return tmp_path / "artifacts", tmp_path / "artifacts" / current_version(tmp_path / "artifacts")


def test_the_page_is_kept_with_the_version_that_it_is_about(run, trained, tmp_path):
    """The file beside the version is the page, and the version is as whole as before."""
    artifacts, version = trained
    html_path = tmp_path / "report.html"
    status, printed = run(*ATTACHED, "--html", str(html_path), "--attach-to", str(artifacts))
    assert status == 0, printed
    path = report_path(version)
    assert path.read_bytes() == html_path.read_bytes()
    assert f"wrote {path}" in printed
    open_artifact(version)


def test_a_page_about_other_models_is_not_kept(run, trained):
    """Another family or another configuration than the version's: refused before anything is fitted."""
    artifacts, version = trained
    for words in (("--family", "svd"), ("--family", "als", "--set", "factors=3")):
        status, printed = run(*ATTACHED, *words, "--attach-to", str(artifacts), families=())
        assert status == 1
        assert f"{version} is of family als with factors 4" in " ".join(printed.split())
        assert not report_path(version).exists()


def test_a_page_about_other_interactions_is_not_kept(run, trained):
    """Without the times it is another dataset."""
    artifacts, version = trained
    words = ("--split", "folds", "--attach-to", str(artifacts))
    status, printed = run(*words, columns=("--value-column", "stars"))
    assert status == 1
    assert "was trained on other interactions" in " ".join(printed.split())
    assert not report_path(version).exists()


def test_artifacts_without_a_version_have_no_page_to_keep(run, tmp_path):
    """Nothing published: the remedy is to train."""
    status, printed = run(*ATTACHED, "--attach-to", str(tmp_path / "nothing"))
    assert status == 1
    assert "train a model" in " ".join(printed.split())


def test_curves_and_eye_test_can_be_left_out(run, tmp_path):
    """The page has neither section, and two plots less; training losses stay."""
    html_path = tmp_path / "report.html"
    words = ("--split", "leave-k-out", "--no-learning-curves", "--eye-test", "0", "--html", str(html_path))
    status, printed = run(*words)
    assert status == 0, printed
    page = _Page(html_path.read_text(encoding="utf-8"))
    assert page.elements.count("svg") == 9 + 1 + 1 + 2
    assert "training loss" in page.text
    assert "Eye test" not in page.text


def test_the_calibration_of_gaussian_models_is_in_the_json_and_on_the_page(run, tmp_path):
    """Coverage of ratings and movements; families without a posterior have no row, nor does a mere table."""
    json_path, html_path = tmp_path / "out.json", tmp_path / "report.html"
    words = ("--no-learning-curves", "--eye-test", "0", "--folds", "2", "--k", "5")
    outputs = ("--json", str(json_path), "--html", str(html_path))
    status, printed = run(*words, *outputs, families=("als", "nmf"))
    assert status == 0, printed
    posteriors = json.loads(json_path.read_text())["posteriors"]
    assert posteriors.keys() == {"als"}
    ratings, movement = posteriors["als"]["ratings"], posteriors["als"]["movement"]
    coverage = list(ratings["coverage"].values())
    assert coverage == sorted(coverage)
    text = _Page(html_path.read_text(encoding="utf-8")).text
    for found, what in ((ratings, "ratings"), (movement, "movements")):
        assert f"{found['errors']:,} {what}" in text
        assert f"{found['ratio']:.2f}" in text


def test_recipes_are_compared_under_the_names_of_their_files(run, tmp_path):
    """Two recipes of one name are told apart by a number; --metric chooses the columns."""
    for folder, factors in (("a", 2), ("b", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text(f'family = "svd"\n[config]\nfactors = {factors}\n')
    status, printed = run(
        *("--recipe", str(tmp_path / "a" / "mine.toml"), "--recipe", str(tmp_path / "b" / "mine.toml")),
        *("--split", "leave-k-out", "--metric", "mrr", "--metric", "gini"),
        families=(),
    )
    assert status == 0, printed
    assert "mine-2" in printed
    assert "MRR" in printed
    assert "Lists of 10" in printed
    assert "nDCG" not in printed


def test_a_baseline_that_is_asked_for_is_there_once(run):
    """A recipe that comes to a baseline takes its place; one that differs from it is there as well."""
    status, printed = run(
        "--split", "leave-k-out", "--recipe", "recipes/popularity.toml", "--family", "ease", families=()
    )
    assert status == 0, printed
    names = [line.split()[0] for line in printed.splitlines() if re.match(" +[a-z]", line)]
    for name in ("popularity", "ease", "item_knn", "random"):
        assert names.count(name) == 1
    status, printed = run("--split", "leave-k-out", "--set", "regularization=9", families=("ease",))
    assert status == 0, printed
    assert "ease-2" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--k", "31"), "--k between 1 and 30"),
        (("--split", "leave-k-out", "--leave", "99"), "smaller --leave"),
        (("--test-share", "1", "--split", "strong"), "--test-share 1: give a share between 0 and 1"),
        (("--split", "strong", "--metric", "rmse"), "no model here has a value for rmse"),
        (("--recipe", "nowhere.toml"), "nowhere.toml"),
        (("--set", "factors=0"), "factors"),
    ],
)
def test_bad_input_is_answered_with_the_remedy(run, words, said):
    """Status 1 and one line that names the value."""
    status, printed = run(*words)
    assert status == 1
    assert said in printed
    assert "Traceback" not in printed


def test_a_table_without_times_or_values_is_told_what_it_lacks(run):
    """A split by time needs times, als needs ratings, and RMSE needs a model that predicts them."""
    without_time = ("--value-column", "stars")
    status, printed = run("--split", "latest-time", columns=without_time)
    assert (status, "--time-column" in printed) == (1, True)
    status, printed = run(columns=())
    assert (status, "als: family als needs ratings" in printed) == (1, True)
    status, printed = run("--metric", "rmse", families=("ials",))
    assert (status, "family that predicts them" in printed) == (1, True)


def test_nothing_to_evaluate_is_said(run):
    """Without a recipe or family there is nothing to do; --set alone has nothing to change."""
    status, printed = run(families=())
    assert (status, "--recipe recipes/ials.toml" in printed) == (1, True)
    status, printed = run("--set", "factors=3", "--recipe", "recipes/als.toml", families=())
    assert (status, "--set goes with --family" in printed) == (1, True)


def test_users_are_compared_where_a_table_says_who_they_are(run, tables, tmp_path):
    """user_features of hybrid_svd take --users; without it the error names that option."""
    with tables[1].open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("item_id", "genres"), *((f"item {n}", n % 3) for n in range(30))])
    users, recipe = tmp_path / "users.csv", tmp_path / "alike.toml"
    users.write_text("who,trade\n" + "".join(f"user {n},{n % 2}\n" for n in range(50)))
    recipe.write_text('family = "hybrid_svd"\n[config]\nfactors = 4\nuser_features = ["trade"]\n')
    words = ("--items", str(tables[1]), "--split", "leave-k-out", "--recipe", str(recipe))
    status, printed = run(*words, "--users", str(users), "--user-id-column", "who", families=())
    assert status == 0, printed
    assert " alike " in printed
    status, printed = run(*words, families=())
    assert (status, "name their table with --users" in printed) == (1, True)


def test_covers_become_part_of_the_page(monkeypatch, run, tables, tmp_path):
    """With --images the pictures that image_url names are in the page itself, and nothing else is."""
    with tables[1].open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("item_id", "title", "image_url"),
                *((f"item {item}", f"Title {item}", f"http://images/{item}") for item in range(30)),
            ]
        )
    monkeypatch.setattr(
        "scripts.evaluate.fetch_covers", lambda urls: dict.fromkeys(urls, "data:image/png;base64,AAAA")
    )
    html_path = tmp_path / "report.html"
    words = ("--items", str(tables[1]), "--split", "leave-k-out", "--html", str(html_path))
    assert run(*words)[0] == 0
    assert "img" not in _Page(html_path.read_text()).elements
    status, printed = run(*words, "--images")
    assert status == 0
    assert "could not be had" not in printed
    page = _Page(html_path.read_text())
    assert page.elements.count("img") > 10
    assert "http://images" not in page.text
    assert {ref for ref in page.references if not ref.startswith("#")} == {"data:image/png;base64,AAAA"}


def test_covers_that_cannot_be_had_are_counted(monkeypatch, run, tables):
    """The page does without them, and the terminal says how many are missing, or that there is no address."""
    with tables[1].open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("item_id", "image_url"), *((f"item {item}", f"http://images/{item}") for item in range(30))]
        )
    monkeypatch.setattr("scripts.evaluate.fetch_covers", lambda _: {})
    words = ("--split", "leave-k-out", "--images", "--html", str(tables[0].with_suffix(".html")))
    status, printed = run(*words, "--items", str(tables[1]))
    assert status == 0
    assert re.search(r"(\d+) of \1 images could not be had", printed)
    assert "no item of the eye test has an image_url" in run(*words)[1]


def test_only_small_images_that_can_be_had_are_taken():
    """A picture becomes a data URI; errors, other types, large files and other schemes are left out."""
    answers = {
        "/good": httpx.Response(200, content=b"abc", headers={"content-type": "image/png; x=y"}),
        "/page": httpx.Response(200, content=b"abc", headers={"content-type": "text/html"}),
        "/svg": httpx.Response(200, content=b"abc", headers={"content-type": "image/svg+xml"}),
        "/gone": httpx.Response(404, content=b"abc", headers={"content-type": "image/png"}),
        "/large": httpx.Response(200, content=b"a" * 400_000, headers={"content-type": "image/png"}),
    }

    def answer(request):
        if request.url.path == "/down":
            raise httpx.ConnectError("down", request=request)
        return answers[request.url.path]

    urls = [f"https://covers{path}" for path in [*answers, "/down"]] + ["file:///etc/passwd", "javascript:x"]
    found = fetch_covers(urls, transport=httpx.MockTransport(answer))
    assert found == {"https://covers/good": "data:image/png;base64,YWJj"}


def test_the_table_fits_into_a_terminal_of_80(run, monkeypatch):
    """Names, values, half intervals, seconds and memory are all there; nothing is cut off."""
    monkeypatch.setenv("COLUMNS", "80")
    status, printed = run("--split", "leave-k-out")
    assert status == 0, printed
    heading = next(line for line in printed.splitlines() if "nDCG" in line)
    assert heading.split()[0] == "model"
    assert heading.split()[-2:] == ["s", "MiB"]
    assert "popularity" in printed
    assert "…" not in printed
