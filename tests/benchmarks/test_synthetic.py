"""The drawn tables: Zipf popularity, log-normal activity, latent clusters; seeded, of any size."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from benchmarks.synthetic import ACTIVITY_SIGMA, ZIPF_EXPONENT, generate_factors, generate_interactions, main
from models.index.exact import ExactIndex

USERS, ITEMS, INTERACTIONS = 3_000, 1_000, 100_000


@pytest.fixture(scope="module")
def table():
    """A table with thirty interactions a user."""
    rng = np.random.default_rng(0)
    return generate_interactions(users=USERS, items=ITEMS, interactions=INTERACTIONS, rng=rng)


def test_items_are_popular_by_zipfs_law(table):
    """Log popularity falls straight with log rank; flatter than it is drawn, as nobody has an item twice."""
    popularity = np.sort(np.bincount(table.items, minlength=ITEMS))[::-1]
    ranks = np.arange(ITEMS) + 1 + ITEMS / 200
    middle = slice(10, ITEMS // 4)
    fitted = stats.linregress(np.log(ranks[middle]), np.log(popularity[middle]))
    assert -ZIPF_EXPONENT < fitted.slope < -0.6 * ZIPF_EXPONENT
    assert fitted.rvalue < -0.98
    assert popularity[: ITEMS // 100].sum() > 10 * len(table.items) / 100  # even popularity: one hundredth


def test_users_are_active_log_normally(table):
    """The logarithm of a user's number of interactions has the normal's deviation, skewness and tails."""
    activity = np.log(np.bincount(table.users, minlength=USERS))
    # Standard errors of 3,000 draws: 0.014, 0.04 and 0.09; rounding and the cap at both ends change a little.
    assert activity.std() == pytest.approx(ACTIVITY_SIGMA, abs=0.12)
    assert stats.skew(activity) == pytest.approx(0, abs=0.25)
    assert stats.kurtosis(activity) == pytest.approx(0, abs=0.5)


def test_users_have_tastes_in_common(table):
    """What goes together for one half of the users does for the other; not so once items are exchanged."""
    shuffled = np.random.default_rng(1).permutation(table.items)
    assert agreement_of_halves(table.users, table.items) > 0.25
    assert agreement_of_halves(table.users, shuffled) < 0.1


def agreement_of_halves(users, items):
    """Correlation between two halves of the users of how much oftener than expected two items meet."""
    cells = np.zeros((USERS, ITEMS), dtype=np.float32)
    cells[users, items] = 1
    above = np.triu_indices(ITEMS, 1)
    halves = [surplus(half)[above] for half in (cells[::2], cells[1::2])]
    return float(np.corrcoef(*halves)[0, 1])


def surplus(cells):
    """Common users of each two items, less those of a random table with the same sums, standardized."""
    activity, popularity = cells.sum(axis=1), cells.sum(axis=0)
    expected = np.outer(popularity, popularity) * (activity @ (activity - 1)) / activity.sum() ** 2
    return (cells.T @ cells - expected) / np.sqrt(expected + 1)


def test_the_seed_decides(table):
    """The same seed gives the same table, to the byte; another seed gives another."""
    same, other = (
        generate_interactions(
            users=USERS, items=ITEMS, interactions=INTERACTIONS, rng=np.random.default_rng(seed)
        )
        for seed in (0, 1)
    )
    for name in ("users", "items", "values", "timestamps"):
        np.testing.assert_array_equal(getattr(same, name), getattr(table, name))
    assert not np.array_equal(other.items, table.items)


@pytest.mark.parametrize(
    ("users", "items", "interactions"),
    [(1, 1, 1), (1, 50, 10), (50, 4, 60), (7, 9, 10_000), (2_000, 30, 9_000)],
)
def test_any_size_will_do(users, items, interactions):
    """Pairs are distinct and sorted, everybody has one, numbers stay in bounds, however odd the sizes."""
    table = generate_interactions(
        users=users, items=items, interactions=interactions, rng=np.random.default_rng(2)
    )
    pairs = table.users.astype(np.int64) * items + table.items
    assert (np.diff(pairs) > 0).all()
    assert set(table.users.tolist()) == set(range(users))
    assert 0 <= table.items.min() <= table.items.max() < items
    assert set(np.unique(table.values)) <= {1, 2, 3, 4, 5}
    assert len(pairs) <= max(users, interactions * 1.1)
    assert table.indptr()[[0, -1]].tolist() == [0, len(pairs)]


def test_about_as_many_come_as_are_asked_for():
    """Most of what was drawn twice is made up for, where users have seen a small part of the catalogue."""
    table = generate_interactions(users=2_000, items=8_000, interactions=40_000, rng=np.random.default_rng(6))
    assert len(table.users) == pytest.approx(40_000, rel=0.05)


def test_drawn_factors_have_norms_and_neighbours_as_trained_ones():
    """Item norms spread widely; a user's best items are closer to each other than items are in general."""
    users, items = generate_factors(users=50, items=3_000, factors=32, rng=np.random.default_rng(3))
    norms = np.linalg.norm(items, axis=1)
    assert np.quantile(norms, 0.99) > 3 * np.median(norms)
    directions = items / norms[:, np.newaxis]
    nothing = np.empty(0, dtype=np.int32)
    best = [ExactIndex(items).search(user, 10, nothing)[0] for user in users]
    among_best = np.mean([(directions[rows] @ directions[rows].T).mean() for rows in best])
    among_all = (directions.mean(axis=0) ** 2).sum()
    assert among_best > 1.5 * among_all


def test_the_command_writes_parquet(tmp_path, capsys):
    """The table on disk is the one that the function draws, under the names that scripts.train finds."""
    path = tmp_path / "drawn.parquet"
    sizes = ["--users", "40", "--items", "30", "--interactions", "300"]
    assert main([*sizes, "--seed", "5", "--out", str(path)]) == 0
    drawn = generate_interactions(users=40, items=30, interactions=300, rng=np.random.default_rng(5))
    written = pl.read_parquet(path)
    assert written.columns == ["user_id", "item_id", "rating", "timestamp"]
    np.testing.assert_array_equal(written["item_id"], drawn.items)
    np.testing.assert_array_equal(written["timestamp"], drawn.timestamps)
    assert f"{len(drawn.users):,} interactions" in capsys.readouterr().out
