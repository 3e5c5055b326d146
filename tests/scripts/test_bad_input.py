"""Every family on every table that some family cannot take: a model, or one error with the remedy first."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from models.artifact import current_version, open_artifact
from models.registry import BASELINES, EVALUATED, FAMILIES
from scripts.evaluate import main as evaluate
from scripts.train import main as train
from tests.models.strategies import clustered_table

RATINGS = ("als", "funk_svd", "spark_als", "svdpp", "timesvdpp")
"""The families that learn from the differences between ratings."""


def cells(ratings):
    """The rows of a table of users × items in which NaN means unobserved."""
    return [
        (f"u{user}", f"i{item}", ratings[user, item], 1_700_000_000 + 977 * user + 60 * item)
        for user, item in zip(*np.nonzero(~np.isnan(ratings)), strict=True)
    ]


def with_user_of_all_items(ratings):
    """The same, where user 0 has had everything."""
    everything = ratings.copy()
    everything[0] = np.where(np.isnan(ratings[0]), 3, ratings[0])
    return everything


ORDINARY = clustered_table(20, 12, 2, np.random.default_rng(0), density=0.4)
TABLES = {
    "ordinary": cells(ORDINARY),
    "one user": cells(np.arange(1.0, 13)[np.newaxis, :]),
    "one item": cells(np.arange(1.0, 21)[:, np.newaxis]),
    "equal values": cells(np.where(np.isnan(ORDINARY), np.nan, 3.3)),
    "zeros": cells(np.where(np.isnan(ORDINARY), np.nan, 0.0)),
    "a user with every item": cells(with_user_of_all_items(ORDINARY)),
    "every user with every item": cells(np.random.default_rng(1).integers(1, 6, (8, 6)).astype(float)),
    "one second": [(*cell[:3], 1_700_000_000) for cell in cells(ORDINARY)],
}
TOO_FEW = "too few to factorize"
ONLY_ZEROS = "only values of 0; name another --value-column"
FACTORIZATIONS = [name for name in FAMILIES if name != "popularity"]
REFUSALS = {
    "no values": dict.fromkeys(RATINGS, "name their column with --value-column, or use family ials"),
    "no times": {"timesvdpp": "name the table's --time-column, or use family svdpp"},
    "no metadata": {"hybrid_svd": "name their table with --items"},
    "one user": dict.fromkeys(FACTORIZATIONS, TOO_FEW),
    "one item": dict.fromkeys(FACTORIZATIONS, TOO_FEW),
    "equal values": dict.fromkeys(RATINGS, "ratings are 3.3, which leaves family"),
    "zeros": dict.fromkeys(FACTORIZATIONS, ONLY_ZEROS)
    | dict.fromkeys(RATINGS, "ratings are 0, which leaves"),
    "a user with every item": {},
    "every user with every item": {},
    "one second": {},
    "ordinary": {},
}
"""What is said, by case and family; whoever is not named here must be able to take it."""

LEAVE_ONE = ("--split", "leave-k-out", "--leave-by", "random", "--k", "1", "--resamples", "100")

every_case = pytest.mark.parametrize("case", REFUSALS)


@pytest.fixture
def words(tmp_path):
    """The words of a command line about a family and a case."""

    def _words(family, case):
        table, items = tmp_path / "table.csv", tmp_path / "items.csv"
        with table.open("w", newline="") as file:
            rows = TABLES.get(case, TABLES["ordinary"])
            csv.writer(file).writerows([("user_id", "item_id", "stars", "at"), *rows])
        items.write_text("item_id,genres\n" + "".join(f"i{item},genre {item % 3}\n" for item in range(12)))
        options = {"no values": ("--value-column", "stars"), "no times": ("--time-column", "at")}
        options["no metadata"] = ("--items", str(items))
        given = [word for name, option in options.items() if name != case for word in option]
        factors = "factors" in EVALUATED[family].config.model_fields
        return [
            *("--interactions", str(table), "--family", family, *given),
            *(("--set", "factors=3") if factors else ()),
        ]

    return _words


def table_words(words):
    """Those of a command line's words that are about the table."""
    options = dict(zip(words[::2], words[1::2], strict=True))
    return [
        word for name, value in options.items() if name not in {"--family", "--set"} for word in (name, value)
    ]


def said_by(run, words, capsys):
    """Exit status and what was printed, by a command line."""
    status = run(words)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@every_case
@pytest.mark.parametrize("family", FAMILIES)
def test_training_takes_a_table_or_says_why_not_before_it_starts(family, case, words, tmp_path, capsys):
    """A model whose fold-ins agree is published; or there is one error with the remedy, and no fit."""
    root = tmp_path / "artifacts"
    status, out, error = said_by(train, [*words(family, case), "--artifacts", str(root)], capsys)
    refusal = REFUSALS[case].get(family)
    if refusal is None:
        assert (status, error) == (0, "")
        artifact = open_artifact(root / current_version(root))
        assert np.isfinite(artifact.user_factors).all()
        assert artifact.manifest.fold_in.max_relative_difference < 1e-5
    else:
        assert status == 1
        assert error.startswith("error: ")
        assert refusal in error
        assert error.count("\n") == 1
        assert not {"fit", "holdout"} & set(out.split())
        assert not root.exists()


@every_case
def test_evaluation_takes_all_families_that_can_take_a_table(case, words, tmp_path, capsys, monkeypatch):
    """All who are not refused are in one table of metrics; where nothing can be hidden, the split says so."""
    monkeypatch.setenv("COLUMNS", "200")
    recipes = []
    for family in (name for name in EVALUATED if name not in REFUSALS[case]):
        factors = "factors = 3" if "factors" in EVALUATED[family].config.model_fields else ""
        recipes += ["--recipe", str(tmp_path / f"{family}.toml")]
        (tmp_path / f"{family}.toml").write_text(f'family = "{family}"\n[config]\n{factors}\n')
    status, out, error = said_by(evaluate, [*table_words(words("svd", case)), *recipes, *LEAVE_ONE], capsys)
    if case == "one item":
        assert (status, "use a smaller --leave" in error) == (1, True)
    else:
        assert (status, error) == (0, "")
        assert all(f" {family} " in out for family in EVALUATED if family not in REFUSALS[case])


@pytest.mark.parametrize(
    ("family", "case"),
    [(family, case) for case in REFUSALS for family in REFUSALS[case] if case != "one item"],
)
def test_evaluation_says_why_a_family_cannot_take_a_table(family, case, words, capsys):
    """There is one error, which begins with the family's name and holds the remedy."""
    status, _, error = said_by(evaluate, [*words(family, case), *LEAVE_ONE], capsys)
    assert status == 1
    assert error.startswith(f"error: {family}: ")
    assert REFUSALS[case][family] in error
    assert error.count("\n") == 1


def test_evaluation_refuses_before_any_candidate_is_fitted(words, capsys, monkeypatch):
    """The second of two families cannot take the table; the first one is not fitted for nothing."""
    monkeypatch.setattr("models.families.ials.IALS.fit", lambda *_, **__: pytest.fail("fitted"))
    both = ["--family", "ials", *words("timesvdpp", "no times")]
    status, _, error = said_by(evaluate, [*both, "--split", "folds"], capsys)
    assert (status, REFUSALS["no times"]["timesvdpp"] in error) == (1, True)
    assert error.startswith("error: timesvdpp: ")


@pytest.mark.parametrize("family", BASELINES)
def test_training_a_family_that_is_evaluated_only_is_refused(family, words, tmp_path, capsys):
    """It says where the family can be used, and which ones can be served."""
    root = tmp_path / "artifacts"
    status, _, error = said_by(train, [*words(family, "ordinary"), "--artifacts", str(root)], capsys)
    assert (status, root.exists()) == (1, False)
    assert "use scripts.evaluate, or one of als, " in error


@pytest.mark.parametrize("centring", ["global", "user", "item"])
def test_centring_that_leaves_nothing_is_refused(centring, words, tmp_path, capsys):
    """Where all of a user's, an item's or the table's values are equal, svd names another centring."""
    root = tmp_path / "artifacts"
    asked = [*words("svd", "equal values"), "--set", f"centring={centring}", "--artifacts", str(root)]
    status, _, error = said_by(train, asked, capsys)
    assert (status, root.exists()) == (1, False)
    assert f"centring by {centring}" in error
    assert "use another --set centring" in error
