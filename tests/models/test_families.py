"""Every family: the contract all share, and each against an independent oracle."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from models.errors import ConfigError, DataError, TrainingError
from models.families.base import LossWatch, silent
from models.fold_in import FoldIn
from models.metrics import predict_entries, ranking_metrics, root_mean_squared_error
from models.registry import FAMILIES, configure
from models.row_rules import BM25Weighting, FixedSide
from models.row_solve import Rows
from models.split import random_folds, random_split
from tests import reference
from tests.models.strategies import clustered_table, make_dataset

RECIPES = [
    ("nmf", {"factors": 6}),
    ("hybrid_svd", {"factors": 7}),
    ("ials", {"factors": 8, "regularization": 1}),
    ("ials", {"factors": 8, "regularization": 0.1, "ridge": "absolute", "ridge_exponent": 0.5}),
    ("ials", {"factors": 8, "regularization": 1, "unobserved_weight": 0.2, "weighting": "log"}),
    ("ials", {"factors": 8, "regularization": 1, "weighting": {"kind": "bm25", "k1": 10}}),
    ("ials_implicit", {"factors": 8, "regularization": 0.5}),
    ("ials_implicit", {"factors": 8, "regularization": 0.5, "alpha": 4, "weighting": {"kind": "log"}}),
    ("ials_implicit", {"factors": 8, "regularization": 0.5, "weighting": {"kind": "bm25", "k1": 10}}),
    ("als", {"factors": 6, "ridge": "frequency"}),
    ("als", {"factors": 6, "ridge": "constant", "regularization": 2}),
    ("spark_ials", {"factors": 8, "regularization": 0.05, "alpha": 2}),
    ("spark_als", {"factors": 6, "regularization": 0.05}),
    ("svd", {"factors": 7}),
    ("svd", {"factors": 7, "centring": "global"}),
    ("svd", {"factors": 7, "centring": "item"}),
    ("svd", {"factors": 7, "centring": "user"}),
    ("funk_svd", {"factors": 6, "learning_rate": 0.1}),
    ("svdpp", {"factors": 6, "learning_rate": 0.1, "iterations": 50}),
    ("timesvdpp", {"factors": 6, "learning_rate": 0.1, "iterations": 50, "bins": 3}),
]
every_recipe = pytest.mark.parametrize(
    ("family", "hyperparameters"), RECIPES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(RECIPES)]
)


@pytest.fixture(scope="module")
def table():
    """120 users × 90 items of clustered ratings."""
    return clustered_table(120, 90, 4, np.random.default_rng(0))


@pytest.fixture(scope="module")
def dataset(table):
    """The table as a dataset, its entries spread over twenty days, its items over seven genres."""
    times = np.random.default_rng(8).integers(0, 20 * 86_400, np.count_nonzero(~np.isnan(table)))
    metadata = {f"i{item:05}": {"genres": [f"genre {item % 7}"]} for item in range(90)}
    return replace(make_dataset(table, timestamps=times), metadata=metadata)


def fit(family, hyperparameters, dataset, seed=0, progress=silent):
    """Fit a family as the training script does."""
    model = FAMILIES[family].make(configure(family, hyperparameters))
    return model.fit(dataset, rng=np.random.default_rng(seed), progress=progress)


@every_recipe
def test_fold_in_of_every_users_history_is_the_stored_vector(family, hyperparameters, dataset):
    """What serving folds in and what training stored are the same numbers, for every user."""
    model = fit(family, hyperparameters, dataset)
    fold_in = FoldIn(model.items, model.rule)
    folded = [fold_in.solve(dataset.histories.only(user)).vector for user in range(len(dataset.users))]
    # Both are float64 solutions rounded to float32; 1e-5 is the promise, not the precision.
    assert_allclose(folded, model.user_factors, rtol=1e-5, atol=1e-6)


@every_recipe
def test_the_registry_knows_how_a_family_takes_duplicates(family, hyperparameters, dataset):
    """A table is read as the rule that is served says of posted histories."""
    rule = fit(family, hyperparameters, dataset).rule
    assert type(rule) is FAMILIES[family].rule
    assert rule.duplicates == FAMILIES[family].duplicates


@every_recipe
def test_a_fit_is_a_function_of_the_seed(family, hyperparameters, dataset):
    """The same seed gives the same model, bit for bit; shapes and dtypes are as promised."""
    first, second = (fit(family, hyperparameters, dataset, seed=5) for _ in range(2))
    assert_array_equal(first.items.factors, second.items.factors)
    assert_array_equal(first.user_factors, second.user_factors)
    width = hyperparameters["factors"] + first.rule.biased
    assert first.user_factors.shape == (120, width)
    assert first.items.factors.shape == (90, width)
    assert first.user_factors.dtype == first.items.factors.dtype == np.float32


@every_recipe
def test_progress_reports_every_iteration_with_its_loss(family, hyperparameters, dataset):
    """Each iteration is reported once, with the loss that the model keeps, which never rises much."""
    seen = []
    model = fit(family, hyperparameters, dataset, progress=seen.append)
    assert [step.number for step in seen] == list(range(1, seen[-1].of + 1))
    assert [step.loss for step in seen] == model.losses
    assert model.losses[-1] <= model.losses[0]


@every_recipe
def test_held_out_entries_are_found_better_than_by_popularity(family, hyperparameters, dataset):
    """On clustered data every family ranks (explicit ones: rates) unseen entries better than a mean does."""
    held_out = random_split(dataset, 0.2, np.random.default_rng(1))
    training, hidden = dataset.with_entries(~held_out), dataset.with_entries(held_out).histories
    model = fit(family, hyperparameters, training)
    if model.rule.predicts_values:
        assert root_mean_squared_error(model.predict(hidden), hidden.values) < 0.95 * hidden.values.std()
    else:
        popularity = training.popularity()
        by_model = ranking_metrics(
            lambda users: model.user_factors[users] @ model.items.factors.T, training.histories, hidden, 10
        )
        by_count = ranking_metrics(
            lambda users: np.tile(popularity, (len(users), 1)), training.histories, hidden, 10
        )
        assert by_model["ndcg@10"] > by_count["ndcg@10"]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "popularity"])
def test_more_factors_than_rows_is_an_error_with_the_remedy(family, dataset):
    """A rank that the table cannot have is refused before training, naming the largest that works."""
    most = 89 if family in {"svd", "hybrid_svd"} else 90  # ARPACK finds all singular vectors but one
    with pytest.raises(ConfigError, match=rf"more than 120 users × 90 items can have.*--set factors={most} "):
        fit(family, {"factors": most + 1}, dataset)
    assert fit(family, {"factors": most}, dataset).items.factors.shape[0] == 90


@pytest.mark.parametrize("family", ["als", "funk_svd", "spark_als", "svdpp", "timesvdpp"])
def test_a_family_that_needs_ratings_says_so(family, table):
    """A family of ratings on a table without a value column is refused with the remedy."""
    with pytest.raises(DataError, match="--value-column, or use family ials"):
        fit(family, {"factors": 3}, make_dataset(np.where(np.isnan(table), table, 1), has_values=False))


@pytest.mark.parametrize(
    ("family", "remedy"),
    [
        ("als", "trains on the CPU only"),
        ("spark_als", "trains on the CPU only"),
        ("spark_ials", "trains on the CPU only"),
        ("ials", "trains on the CPU only.*--family ials_implicit"),
        ("ials_implicit", "finds no CUDA here"),
    ],
)
def test_a_gpu_that_is_not_there_is_an_error(family, remedy, dataset, monkeypatch):
    """Asking for a GPU where there is none never trains on the CPU instead."""
    monkeypatch.setattr("implicit.gpu.HAS_CUDA", False)
    model = FAMILIES[family].make(configure(family, {"factors": 3}))
    with pytest.raises(ConfigError, match=remedy):
        model.fit(dataset, rng=np.random.default_rng(0), device="cuda")


@pytest.mark.parametrize("losses", [[1.0, np.nan], [1.0, np.inf], [1.0, 0.5, 1001.0]])
def test_a_loss_that_explodes_stops_the_fit(losses):
    """NaN, infinity or a thousandfold loss end the training with the remedy."""
    watch = LossWatch(5, silent)
    with pytest.raises(TrainingError, match="raise the regularization"):
        for loss in losses:
            watch.record(loss)


def test_extreme_values_stop_the_training(table):
    """Values near the end of float32 give an error with a remedy, not factors of NaN."""
    extreme = table * 6e37
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy notices the overflow on the way
        for family in ("als", "ials_implicit"):
            with pytest.raises(TrainingError, match="raise the regularization"):
                fit(family, {"factors": 4}, make_dataset(extreme))


@pytest.mark.parametrize(
    ("hyperparameters", "complaint"),
    [
        ({"factor": 3}, r"factor=3: Extra inputs.*hyperparameters are factors, regularization"),
        ({"factors": 0}, "factors=0: .*greater than or equal to 1"),
        ({"regularization": "much"}, "regularization='much': .*valid number"),
        ({"weighting": {"kind": "tfidf"}}, "tfidf"),
    ],
)
def test_wrong_hyperparameters_are_named(hyperparameters, complaint):
    """An unknown name or a wrong value is an error that says which, and what there is."""
    with pytest.raises(ConfigError, match=complaint):
        configure("ials", hyperparameters)


def test_an_unknown_family_is_named():
    """A family that does not exist is answered with those that do."""
    with pytest.raises(ConfigError, match=r"no family 'lda'; the families are als, .*ials, ials_implicit, "):
        configure("lda", {})


# als


def test_als_reaches_the_noise_of_planted_ratings():
    """On ratings made from biases and two factors plus noise of 0.1, explicit ALS recovers nearly all."""
    rng = np.random.default_rng(3)
    clean = (
        3
        + rng.normal(size=(200, 1))
        + rng.normal(size=80)
        + rng.normal(size=(200, 2)) @ rng.normal(size=(2, 80))
    )
    noisy = clean + rng.normal(0, 0.1, clean.shape)
    noisy[rng.random(noisy.shape) < 0.5] = np.nan
    whole = make_dataset(noisy)
    test = next(random_folds(whole, 10, rng))
    hidden = whole.with_entries(test).histories
    model = fit("als", {"factors": 3, "regularization": 0.01, "iterations": 40}, whole.with_entries(~test))
    predicted = model.rule.global_mean + predict_entries(
        model.user_factors, model.items.factors, hidden, biased=True
    )
    assert root_mean_squared_error(predicted, hidden.values) < 0.2


# svd


@pytest.mark.parametrize("centring", ["none", "global", "item", "user"])
def test_svd_reconstructs_like_the_dense_decomposition(centring, table, dataset):
    """Users × items equals NumPy's dense rank-7 reconstruction of the centred table, means added back."""
    model = fit("svd", {"factors": 7, "centring": centring}, dataset)
    observed = ~np.isnan(table)
    mean = {
        "none": np.zeros((1, 1)),
        "global": np.full((1, 1), np.nanmean(table)),
        "item": np.nanmean(table, axis=0, keepdims=True),
        "user": np.nanmean(table, axis=1, keepdims=True),
    }[centring]
    left, values, right = np.linalg.svd(np.where(observed, table - mean, 0), full_matrices=False)
    expected = mean + (left[:, :7] * values[:7]) @ right[:7]
    p, q = model.user_factors, model.items.factors
    ours = model.rule.global_mean + (p[:, :7] @ q[:, :7].T)
    if model.rule.biased:
        ours = ours + p[:, -1:] + q[:, -1]
    assert_allclose(ours, expected, atol=2e-4)  # float32 factors of ratings up to 5


# metrics and splits


def test_ranking_metrics_are_their_definitions(dataset):
    """nDCG@10 and recall@10 equal a loop over users that follows the formulas literally."""
    rng = np.random.default_rng(4)
    test = random_split(dataset, 0.3, rng)
    seen, hidden = dataset.with_entries(~test).histories, dataset.with_entries(test).histories
    scores = rng.normal(size=dataset.shape)
    gains, recalls = [], []
    for user in range(len(dataset.users)):
        relevant = set(hidden.row(user)[0].tolist())
        if relevant and len(seen.row(user)[0]):
            ranked = reference.top_k(scores[user], 10, seen.row(user)[0])
            gains.append(reference.ndcg(ranked, relevant, 10))
            recalls.append(len(relevant.intersection(ranked)) / min(10, len(relevant)))
    measured = ranking_metrics(lambda users: scores[users], seen, hidden, 10)
    assert measured == pytest.approx({"ndcg@10": np.mean(gains), "recall@10": np.mean(recalls)})


# degenerate tables


@pytest.mark.parametrize("family", ["ials", "ials_implicit", "spark_ials"])
def test_an_item_that_nobody_likes_has_no_direction(family):
    """Items with only dislikes or zeros are zeros after iALS, not a rest of the trainer's rounding."""
    table = np.full((40, 12), np.nan)
    rng = np.random.default_rng(0)
    for user in range(40):
        table[user, rng.permutation(10)[:6]] = 1 + rng.integers(1, 5)
    table[:8, 10] = -3
    table[8:16, 11] = 0
    factors = fit(family, {"factors": 4, "regularization": 1}, make_dataset(table)).items.factors
    assert not factors[10:].any()
    assert factors[:10].any(axis=1).all()


@pytest.mark.parametrize(
    ("family", "hyperparameters", "table", "remedy"),
    [
        ("svd", {"factors": 1, "centring": "global"}, np.full((4, 3), 3.0), "another --set centring"),
        ("svd", {"factors": 1, "centring": "user"}, np.full((4, 3), 3.0), "another --set centring"),
        ("svd", {"factors": 1}, np.zeros((4, 3)), "only values of 0; name another --value-column"),
        ("ials", {"factors": 1, "weighting": "bm25"}, np.ones((2, 2)), "another --set weighting"),
        ("ials", {"factors": 1}, np.zeros((3, 3)), "only values of 0; name another --value-column"),
        ("ials", {"factors": 1}, np.full((3, 3), -1.0), "no value is positive"),
        ("ials_implicit", {"factors": 1}, np.full((3, 3), -1.0), "no value is positive"),
        ("spark_ials", {"factors": 1}, np.full((3, 3), -1.0), "no value is positive"),
        ("spark_ials", {"factors": 1}, np.zeros((3, 3)), "only values of 0; name another --value-column"),
        ("ials_implicit", {"factors": 1, "weighting": "bm25"}, np.ones((2, 2)), "another --set weighting"),
        ("svd", {"factors": 1}, np.ones((1, 3)), "too few to factorize"),
    ],
)
def test_a_table_that_says_nothing_is_refused_with_the_remedy(family, hyperparameters, table, remedy):
    """Tables of which nothing is left after centring or weighting are errors, not tracebacks of a solver."""
    with pytest.raises((ConfigError, DataError), match=remedy):
        fit(family, hyperparameters, make_dataset(table))


def test_bm25_of_zeros_is_zero():
    """An item with only values of 0 has the confidence 0 also where b = 1 leaves its norm at 0."""
    rows = Rows.one(np.array([0, 1], np.int32), np.array([0.0, 2.0], np.float32))
    weighting = BM25Weighting(b=1.0)
    norms = weighting.length_norms(np.array([0.0, 2.0, 4.0]))
    confidence = weighting.confidence(rows, FixedSide(np.zeros((3, 1), np.float32), {"length_norm": norms}))
    assert confidence[0] == 0
    assert np.isfinite(confidence).all()
