"""The reproduction: protocols against slow oracles, and tables that say what could not be had."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from models.evaluation.protocols import Split, SplitDefinition
from models.interactions import read_interactions
from models.layouts import choose_layout
from models.registry import FAMILIES
from models.search.spaces import SEARCH_SPACES
from scripts import reproduce
from scripts.published import ONLY_OURS, SURPRISE_RATINGS
from scripts.reproduce import (
    among_random,
    find_table,
    fit_family,
    main,
    mult_vae_split,
    our_errors,
    surprise_errors,
)
from tests.models.strategies import clustered_table, make_dataset


@pytest.fixture(scope="module")
def dataset():
    """Ratings with times, large enough for the families' defaults."""
    ratings = clustered_table(130, 120, 3, np.random.default_rng(0), density=0.2)
    times = np.random.default_rng(1).permutation(np.count_nonzero(~np.isnan(ratings))) * 3600
    return make_dataset(ratings, timestamps=times)


def write_directory(directory, dataset):
    """What scripts.fetch leaves."""
    rows = dataset.histories
    directory.mkdir(parents=True)
    with (directory / "ml-100k.inter").open("w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["user_id:token", "item_id:token", "rating:float", "timestamp:float"])
        table.writerows(
            zip(
                rows.row_numbers.tolist(),
                rows.indices.tolist(),
                rows.values.tolist(),
                rows.times.tolist(),
                strict=True,
            )
        )
    description = {"name": "x", "preset": "recbole", "interactions": "ml-100k.inter", "source": "a test"}
    (directory / "dataset.json").write_text(json.dumps(description))


def test_families_beside_published_ratings_predict_ratings():
    """Every family named in the tables exists and predicts values, and every figure is there twice."""
    for family in (*ONLY_OURS, *(row.ours for row in SURPRISE_RATINGS if row.ours)):
        assert family in FAMILIES
        assert SEARCH_SPACES[family].predicts_values
    for row in SURPRISE_RATINGS:
        assert row.rmse.keys() == row.mae.keys() == {"movielens-100k", "movielens-1m"}
        assert all(row.mae[name] < row.rmse[name] for name in row.rmse)  # as it is for any errors


def test_our_errors_are_those_of_all_folds_together(dataset):
    """RMSE and MAE over the hidden ratings of every fold agree with scikit-learn's on the same fits."""
    split = Split(dataset, SplitDefinition(folds=2, seed=3))
    errors = our_errors(split, seed=5)
    assert errors.keys() == {"funk_svd", "svdpp", "als", "timesvdpp"}
    predicted, actual = [], []
    for judged in split.rounds():
        model = fit_family("svdpp", {}, judged.training, 5)
        predicted.append(np.clip(model.predict(judged.hidden), 1, 5))
        actual.append(judged.hidden.values)
    predicted, actual = np.concatenate(predicted), np.concatenate(actual)
    assert errors["svdpp"].rmse == pytest.approx(root_mean_squared_error(actual, predicted), rel=1e-5)
    assert errors["svdpp"].mae == pytest.approx(mean_absolute_error(actual, predicted), rel=1e-5)
    assert errors["svdpp"].seconds > 0


def test_surprise_runs_on_the_same_folds(dataset):
    """Surprise's errors are those of its own accuracy module on our folds."""
    surprise = pytest.importorskip("surprise")
    split = Split(dataset, SplitDefinition(folds=2, seed=3))
    errors = surprise_errors(split, seed=5)
    assert errors.keys() == {"SVD", "SVDpp"}
    guesses = []
    for judged in split.rounds():
        entries = [
            (user, item, value)
            for user in range(130)
            for item, value in zip(*(part.tolist() for part in judged.hidden.row(user)), strict=True)
        ]
        training = [
            (user, item, value, None)
            for user in range(130)
            for item, value in zip(
                *(part.tolist() for part in judged.training.histories.row(user)), strict=True
            )
        ]
        reader = surprise.Reader(rating_scale=(1, 5))
        model = surprise.SVD(random_state=5).fit(surprise.Dataset(reader).construct_trainset(training))
        guesses += model.test(entries)
    assert errors["SVD"].rmse == pytest.approx(surprise.accuracy.rmse(guesses, verbose=False))
    assert errors["SVD"].mae == pytest.approx(surprise.accuracy.mae(guesses, verbose=False))


class Fixed:
    """Scores items by a table."""

    def __init__(self, scores):
        self.scores = scores

    def score_users(self, users):
        """The table's rows."""
        return self.scores[users]


def test_ranks_among_random_items():
    """With fewer than 99 others all of them are drawn, and ranks are those of a full sort."""
    small = make_dataset(clustered_table(40, 60, 3, np.random.default_rng(0)))
    judged = next(Split(small, SplitDefinition(name="leave-k-out", leave_by="random")).rounds())
    scores = np.random.default_rng(2).normal(size=(40, 60)).astype(np.float32)
    ranks = []
    for person in judged.people:
        [hidden], _ = judged.hidden.row(person)
        own = scores[person].copy()
        own[judged.known.row(person)[0]] = -np.inf
        ranks.append(np.argsort(-own).tolist().index(hidden))
    gains = [1 / np.log2(rank + 2) if rank < 10 else 0 for rank in ranks]
    metrics = among_random(Fixed(scores), judged, np.random.default_rng(0))
    assert metrics["HR@10"] == pytest.approx(np.mean(np.array(ranks) < 10))
    assert metrics["nDCG@10"] == pytest.approx(np.mean(gains))


def test_ties_are_no_hits(dataset):
    """A model that scores all alike is not rewarded for it."""
    judged = next(Split(dataset, SplitDefinition(name="leave-k-out")).rounds())
    metrics = among_random(Fixed(np.zeros((130, 120))), judged, np.random.default_rng(0))
    assert metrics == {"HR@10": 0.0, "nDCG@10": 0.0}


def test_mult_vae_protocol(tmp_path, dataset):
    """Only ratings of 4 and 5 of those with five of them; so many strangers, and as many left out."""
    write_directory(tmp_path / "movielens-20m", dataset)
    path, preset = find_table(tmp_path, "movielens-20m")
    interactions = read_interactions(path, choose_layout(preset, {}), duplicates="last", on_bad_row="stop")
    liked = {}
    for user, item, value in zip(interactions.users, interactions.items, interactions.values, strict=True):
        if value >= 4:
            liked.setdefault(interactions.user_ids[user], set()).add(interactions.item_ids[item])
    often = {user: items for user, items in liked.items() if len(items) >= 5}
    split = mult_vae_split(interactions, 20, seed=0)
    [judged] = split.rounds()
    users = judged.training.users
    assert len(users) == len(often) - 20
    strangers = judged.training.histories.lengths == 0
    assert strangers.sum() == 20
    assert set(judged.people.tolist()) <= set(np.flatnonzero(strangers).tolist())
    for row in range(len(users)):
        trained = judged.training.histories.row(row)[0]
        seen = [*trained, *judged.known.row(row)[0], *judged.hidden.row(row)[0]]
        mine = {judged.training.items.external(item) for item in set(seen)}
        assert mine <= often[users.external(row)]
        assert strangers[row] or mine == often[users.external(row)]
    assert not judged.training.has_values


def test_what_is_not_there_is_said(tmp_path, capsys):
    """Without any data the published figures and the remedies are printed, and nothing fails."""
    assert main(["--data", str(tmp_path), "--no-download"]) == 0
    printed = capsys.readouterr().out
    for figure in ("0.934", "0.919", "0.873", "0.862", "recall@20 0.395, recall@50 0.537, nDCG@100 0.426"):
        assert figure in printed
    assert f"python -m scripts.fetch movielens-1m --data-dir {tmp_path}" in printed
    assert "movielens-20m was not run" in printed
    assert "svdpp: not run" in printed


def test_what_was_not_checked_is_not_printed(tmp_path, capsys):
    """A model whose published table could not be read has a row that says so and where to look."""
    assert main(["--data", str(tmp_path), "--no-download"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "| iALS" in line]
    assert len(rows) == 2
    for row in rows:
        assert "could not be checked" in row
        assert "arxiv.org/abs/2110.14037" in row
        assert not re.search(r"\b0\.\d", row)


@pytest.mark.parametrize(
    ("factors", "said"), [(8, r"recall@20 0\.\d+, recall@50 0\.\d+, nDCG@100 0\.\d+"), (999, "not run: ")]
)
def test_lists_are_measured_where_there_is_data(tmp_path, dataset, capsys, monkeypatch, factors, said):
    """With MovieLens 20M the row of iALS has our figures; a table that does not allow it says why not."""
    write_directory(tmp_path / "movielens-20m", dataset)
    config = {**reproduce.VAE.config, "factors": factors}
    monkeypatch.setattr(reproduce, "VAE", replace(reproduce.VAE, config=config))
    monkeypatch.setattr(reproduce, "_HELD_OUT_USERS", 20)
    assert main(["--data", str(tmp_path), "--no-download"]) == 0
    printed = capsys.readouterr().out
    [row] = [line for line in printed.splitlines() if line.startswith("| movielens-20m | iALS")]
    assert re.search(said, row)
    assert "movielens-20m was not run" not in printed


def test_the_whole_table(tmp_path, dataset, capsys):
    """With data, each row is one line of Markdown with our figures beside the published ones."""
    write_directory(tmp_path / "movielens-100k", dataset)
    assert main(["--data", str(tmp_path), "--no-download"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| SVD++")]
    cells = [cell.strip() for cell in lines[0].strip("| ").split("|")]
    assert cells[:4] == ["SVD++", "0.919", "0.721", "svdpp"]
    assert 0.1 < float(cells[4]) < 2
