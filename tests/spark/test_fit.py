"""Spark's ALS and our row problem: the same users before the closing sweep, and exactly ours after it."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import ConfigError, TrainingError
from models.families.base import closing_sweep
from models.fold_in import FoldIn
from models.registry import FAMILIES, configure
from models.row_rules import FixedSide, SparkExplicitRule
from tests.models.strategies import clustered_table, make_dataset

CASES = {
    "spark_ials": {"factors": 8, "regularization": 0.05, "alpha": 3.0, "iterations": 6},
    "spark_als": {"factors": 6, "regularization": 0.05, "iterations": 6},
}


def tables(family):
    """Ratings; for implicit feedback with zeros and dislikes among them, and an item that nobody likes."""
    table = clustered_table(150, 60, 4, np.random.default_rng(0))
    if family == "spark_ials":
        table -= 2
        table[:, 7] = np.where(np.isnan(table[:, 7]), np.nan, -1)
    return make_dataset(table)


@pytest.fixture(scope="module", params=CASES)
def trained(request, space, tmp_path_factory):
    """What `pyspark` itself returns for a dataset, and what the engine makes of the same."""
    from models.engines.spark.cluster import Workspace  # noqa: PLC0415 - an extra
    from models.engines.spark.fit import SparkFit, write_entries  # noqa: PLC0415 - an extra

    directory = tmp_path_factory.mktemp(request.param)
    own = Workspace(space.spark, directory)
    dataset = tables(request.param)
    entries = write_entries(directory, dataset.histories)
    family = FAMILIES[request.param].make(configure(request.param, CASES[request.param]))
    fit = SparkFit(own, family, dataset.histories, entries, blocks=3)
    model = fit.fit(dataset, rng=np.random.default_rng(5))
    seed = int(np.random.default_rng(5).integers(2**31))
    theirs = fit._als(seed).fit(own.read(entries))
    return family, dataset, model, theirs, fit


def factors_of(frame, shape):
    """Spark's factor rows as an array, zeros where it has none."""
    factors = np.zeros(shape, dtype=np.float32)
    for row in frame.collect():
        factors[row["id"]] = row["features"]
    return factors


def test_sparks_users_are_the_solutions_of_our_row_problem(trained):
    """Before any sweep of ours, Spark's users and ours for Spark's items differ by less than 1e-3."""
    family, dataset, _, theirs, _ = trained
    factors = family.config.factors
    items = factors_of(theirs.itemFactors, (len(dataset.items), factors))
    users = factors_of(theirs.userFactors, (len(dataset.users), factors))
    ours = closing_sweep(family.rule, dataset.histories, FixedSide(items))
    difference = np.linalg.norm(ours - users, axis=1) / np.linalg.norm(users, axis=1)
    assert difference.max() < 1e-3
    assert np.median(difference) < 1e-5  # both are float64 solutions rounded to float32


def test_the_other_convention_would_be_noticed(trained):
    """With λ·(n + 1) for λ·n the same comparison fails, so it can."""
    family, dataset, _, theirs, _ = trained
    items = factors_of(theirs.itemFactors, (len(dataset.items), family.config.factors))
    users = factors_of(theirs.userFactors, (len(dataset.users), family.config.factors))
    n = dataset.histories.lengths.mean()
    rule = family.rule.model_copy(update={"regularization": family.rule.regularization * (n + 1) / n})
    ours = closing_sweep(rule, dataset.histories, FixedSide(items))
    assert (np.linalg.norm(ours - users, axis=1) / np.linalg.norm(users, axis=1)).max() > 1e-3


def test_fold_in_of_every_history_is_the_stored_vector(trained):
    """After the closing sweep what serving folds in and what is stored are the same numbers."""
    _, dataset, model, _, _ = trained
    fold_in = FoldIn(model.items, model.rule)
    folded = [fold_in.solve(dataset.histories.only(user)).vector for user in range(len(dataset.users))]
    np.testing.assert_allclose(folded, model.user_factors, rtol=1e-5, atol=1e-6)


def test_items_are_sparks_own(trained):
    """The engine stores Spark's item factors under their rows; the order of sums may move the last digits."""
    family, dataset, model, theirs, _ = trained
    items = factors_of(theirs.itemFactors, (len(dataset.items), family.config.factors))
    np.testing.assert_allclose(model.items.factors, items, rtol=1e-3, atol=1e-4)


def test_the_same_objective_is_reached_on_one_machine(trained):
    """The family's own fit, from other random factors, explains the table as well to within some per cent."""
    family, dataset, model, _, _ = trained
    alone = family.fit(dataset, rng=np.random.default_rng(1))

    def share_explained(fitted):
        problem = fitted.rule.problem(dataset.histories, fitted.items)
        return float(problem.targets @ fitted.predict(dataset.histories))

    assert share_explained(model) == pytest.approx(share_explained(alone), rel=0.05)


def test_a_part_of_the_table_is_fitted_as_a_holdout_asks(trained):
    """Entries that are held out are not trained on; who has lost all of them has factors of 0."""
    _, dataset, whole, _, fit = trained
    kept = dataset.histories.row_numbers % 2 == 0
    model = fit.fit(dataset.with_entries(kept), rng=np.random.default_rng(5))
    assert not model.user_factors[1::2].any()
    assert model.user_factors[::2].any(axis=1).all()
    assert model.items.factors.shape == whole.items.factors.shape
    assert not np.allclose(model.items.factors, whole.items.factors, rtol=0.1)


def test_users_that_are_not_the_solutions_stop_the_training(trained):
    """Factors of another row problem, such as another version of Spark might have, are never published."""
    from models.engines.spark.fit import _check_users  # noqa: PLC0415 - an extra

    family, dataset, model, theirs, _ = trained
    _check_users(theirs.userFactors, model.user_factors)
    other = SparkExplicitRule(regularization=family.config.regularization * 1.5)
    users = closing_sweep(other, dataset.histories, model.items)
    with pytest.raises(TrainingError, match="miss the solution of their row problem"):
        _check_users(theirs.userFactors, users)


def test_other_families_are_refused():
    """Spark fits its own two objectives, and says which they are."""
    from models.engines.spark.fit import on_spark  # noqa: PLC0415 - an extra

    with pytest.raises(ConfigError, match="families spark_ials and spark_als"):
        on_spark(FAMILIES["ials"].make(configure("ials", {})))
