"""The map of items, against scikit-learn and the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from models import item_map as module
from models.item_map import item_map


def some_items(n_items: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Factors of varied length, and weights."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(n_items, width)) * np.linspace(3, 1, width)
    return (spread * rng.uniform(0.1, 10, (n_items, 1))).astype(np.float32), rng.integers(1, 9, n_items)


@given(seed=st.integers(0, 10_000), width=st.integers(2, 12), n_items=st.integers(13, 60))
def test_it_is_the_pca_of_directions_repeated_by_weight(seed: int, width: int, n_items: int) -> None:
    """Scikit-learn's PCA of a table that has each direction as often as its weight gives the same map."""
    factors, weights = some_items(n_items, width, seed)
    directions = factors / np.linalg.norm(factors.astype(float), axis=1, keepdims=True)
    pca = PCA(svd_solver="full").fit(np.repeat(directions, weights, axis=0))
    gaps = -np.diff(pca.singular_values_, append=0)
    expected = pca.transform(directions)
    found = item_map(factors, weights)
    for axis in range(2):
        if gaps[: axis + 1].min() < 1e-3:
            continue  # axes of nearly equal length may be turned
        sign = np.sign(pca.components_[axis][np.abs(pca.components_[axis]).argmax()])
        # float32 positions of size 1; eigenvectors of the squared spectrum lose half of the digits near a tie
        np.testing.assert_allclose(found[:, axis], sign * expected[:, axis], atol=2e-4)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of many blocks gets the map that it gets in one."""
    factors, weights = some_items(50, 5)
    whole = item_map(factors, weights)
    monkeypatch.setattr(module, "_BLOCK", 7)
    np.testing.assert_allclose(item_map(factors, weights), whole, atol=1e-6)  # sums in another order


def test_length_does_not_matter() -> None:
    """Items of one direction stand in one place, however long their factors."""
    factors, weights = some_items(20, 4)
    longer = np.vstack([factors, 17 * factors[:1]])
    places = item_map(longer, np.append(weights, 0))
    np.testing.assert_allclose(places[0], places[-1], atol=1e-6)  # float32


def test_an_item_without_weight_moves_nothing() -> None:
    """What nobody had is placed, but does not turn the axes."""
    factors, weights = some_items(20, 4)
    more = np.vstack([factors, np.full((1, 4), 9, np.float32)])
    np.testing.assert_allclose(
        item_map(more, np.append(weights, 0))[:20], item_map(factors, weights), atol=1e-6
    )


@pytest.mark.parametrize(
    ("factors", "weights"),
    [
        (np.ones((4, 1)), np.ones(4)),
        (np.zeros((4, 3)), np.ones(4)),
        (np.ones((4, 3)), np.zeros(4)),
        (np.ones((1, 3)), np.ones(1)),
    ],
    ids=["one factor", "no direction", "no interactions", "one item"],
)
def test_degenerate_tables_have_finite_maps(factors: np.ndarray, weights: np.ndarray) -> None:
    """Every item has a place, whatever there is to tell them apart by."""
    places = item_map(factors.astype(np.float32), weights.astype(np.int64))
    assert places.shape == (len(factors), 2)
    assert np.isfinite(places).all()
