"""A small published model of every family, and what tests of its answers compare with."""

from dataclasses import replace

import numpy as np

from app.posted_history import Interaction
from app.recommender import Recommender
from app.snapshot import load
from models.artifact import publish
from models.registry import configure
from models.training import TrainingPlan, train
from tests.models.strategies import clustered_table, make_dataset

N_USERS, N_ITEMS = 70, 50
RECIPES = {
    "ials": {"factors": 6, "regularization": 0.5},
    "ials-bm25": {"factors": 6, "regularization": 0.5, "weighting": "bm25"},
    "ials_implicit": {"factors": 6},
    "als": {"factors": 5},
    "spark_als": {"factors": 5},
    "spark_ials": {"factors": 5},
    "svd": {"factors": 5},
    "svd-global": {"factors": 5, "centring": "global"},
    "svd-item": {"factors": 5, "centring": "item"},
    "svd-user": {"factors": 5, "centring": "user"},
    "nmf": {"factors": 5},
    "popularity": {},
    "hybrid_svd": {"factors": 5},
    "funk_svd": {"factors": 5},
    "svdpp": {"factors": 5},
    "timesvdpp": {"factors": 5, "bins": 3},
}


def published(name, root):
    """Train a recipe on ratings of seventy users and fifty items, publish it and load it."""
    table = clustered_table(N_USERS, N_ITEMS, 4, np.random.default_rng(0))
    observed = np.count_nonzero(~np.isnan(table))
    times = np.random.default_rng(1).integers(1_000_000_000, 1_100_000_000, observed)
    metadata = {f"i{item:05}": {"genres": [f"genre {item % 7}"]} for item in range(5, N_ITEMS)}
    dataset = replace(
        make_dataset(table, timestamps=times), metadata={**metadata, "i00003": {"title": "Three"}}
    )
    family = name.split("-")[0]
    publish(root, *train(dataset, TrainingPlan(family=family, config=configure(family, RECIPES[name]))))
    return Recommender(load(root))


def dense_scores(recommender, user):
    """All scores of a user, from the stored factors by their definition."""
    artifact, rule = recommender.snapshot.artifact, recommender.snapshot.manifest.row_rule
    p = artifact.user_factors[user].astype(np.float64)
    q = artifact.item_factors.astype(np.float64)
    if rule.biased:
        return rule.global_mean + p[-1] + q[:, -1] + q[:, :-1] @ p[:-1]
    return rule.global_mean + q @ p


def listed(answer):
    """The item rows of an answer, in order."""
    return [int(item["item_id"][1:]) for item in answer["items"]]


def tasteful(recommender, *, step):
    """Some users of whom the model says anything: centring leaves nothing of one who rates all the same."""
    factors = recommender.snapshot.artifact.user_factors
    known = recommender.snapshot.manifest.row_rule.without_bias(factors).any(axis=1)
    return np.flatnonzero(known)[::step].tolist()


def history(recommender, user):
    """A stored history as it would be posted."""
    row = recommender.snapshot.artifact.histories.only(user)
    times = [None] * len(row.indices) if row.times is None else row.times.tolist()
    entries = zip(row.indices.tolist(), row.values.tolist(), times, strict=True)
    return [Interaction(f"i{item:05}", value, time) for item, value, time in entries]
