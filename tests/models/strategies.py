"""Small datasets and histories for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.dataset import Dataset
from models.ids import IdMap
from models.row_solve import Rows


def make_dataset(table, *, has_values=True, timestamps=None):
    """A dataset from a dense table in which NaN means unobserved.

    Ids are u00000, u00001, … and i00000, …: zero-padded, so that the trie's order is the table's.
    """
    n_users, n_items = table.shape
    observed = ~np.isnan(table)
    indptr = np.concatenate([[0], np.cumsum(observed.sum(axis=1))]).astype(np.int64)
    indices = np.nonzero(observed)[1].astype(np.int32)
    users = IdMap.build([f"u{row:05}" for row in range(n_users)])
    items = IdMap.build([f"i{row:05}" for row in range(n_items)])
    assert users.to_internal(["u00000"], missing="raise").tolist() == [0]
    histories = Rows(indptr, indices, table[observed].astype(np.float32), timestamps)
    return Dataset(users, items, histories, has_values)


def clustered_table(n_users, n_items, n_clusters, rng, density=0.25):
    """Ratings 1 to 5 with latent clusters, NaN where unobserved; every row and column has an entry."""
    taste = rng.normal(size=(n_users, n_clusters))
    kind = rng.normal(size=(n_items, n_clusters))
    ratings = np.clip(np.round(3 + taste @ kind.T / np.sqrt(n_clusters)), 1, 5)
    hidden = rng.random(ratings.shape) > density
    hidden[np.arange(n_users), np.arange(n_users) % n_items] = False
    hidden[np.arange(n_items) % n_users, np.arange(n_items)] = False
    ratings[hidden] = np.nan
    return ratings


@st.composite
def row_problems(draw, *, negatives=True):
    """Factors (n, d) of the fixed side and one history: `(factors, items, values)`."""
    n_items = draw(st.integers(2, 25))
    n_factors = draw(st.integers(1, 8))
    factors = np.random.default_rng(draw(st.integers(0, 2**32))).normal(size=(n_items, n_factors))
    items = draw(st.lists(st.integers(0, n_items - 1), min_size=1, unique=True).map(sorted))
    least = -20 if negatives else 1
    values = draw(st.lists(st.integers(least, 20).map(float), min_size=len(items), max_size=len(items)))
    return factors.astype(np.float32), np.array(items, dtype=np.int32), np.array(values, dtype=np.float32)
