"""GET /map: positions of the items as they are stored, or computed for artifacts without them."""

from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np

from app.answers import item_map as module
from app.recommender import Recommender
from app.snapshot import load
from models.item_map import ITEM_MAP, item_map


def test_map_has_every_item_once_by_popularity(real: httpx.Client, artifacts: Path) -> None:
    """Columns of one length, the most popular item first; positions are those of the artifact."""
    artifact = load(artifacts).artifact
    answer = real.get("/map").json()
    assert answer["left_out"] == 0
    assert sorted(answer["item_ids"]) == sorted(
        artifact.items.external(row) for row in range(len(artifact.items))
    )
    rows = artifact.items.to_internal(answer["item_ids"], missing="raise")
    assert answer["interactions"] == artifact.popularity[rows].tolist()
    assert answer["interactions"] == sorted(answer["interactions"], reverse=True)
    places = np.column_stack([answer["x"], answer["y"]])
    np.testing.assert_allclose(places, artifact.item_arrays[ITEM_MAP][rows], atol=5e-5)  # four decimals


def test_positions_are_those_of_the_factors(artifacts: Path) -> None:
    """Training stores the map of the factors that it stores."""
    artifact = load(artifacts).artifact
    expected = item_map(artifact.manifest.row_rule.without_bias(artifact.item_factors), artifact.popularity)
    np.testing.assert_allclose(artifact.item_arrays[ITEM_MAP], expected, atol=1e-6)  # float32


def test_artifact_without_map_gets_one(artifacts: Path) -> None:
    """A model from before there were maps answers what it would have stored."""
    snapshot = load(artifacts)
    arrays = {name: array for name, array in snapshot.artifact.item_arrays.items() if name != ITEM_MAP}
    older = replace(snapshot, artifact=replace(snapshot.artifact, item_arrays=arrays))
    ours, theirs = Recommender(snapshot).item_map(), Recommender(older).item_map()
    np.testing.assert_allclose(ours.pop("x"), theirs.pop("x"), atol=1e-4)  # four decimals
    np.testing.assert_allclose(ours.pop("y"), theirs.pop("y"), atol=1e-4)
    assert ours == theirs


def test_the_least_popular_are_left_out(artifacts: Path, monkeypatch) -> None:
    """A catalogue larger than one answer says how many items are not in it."""
    everything = Recommender(load(artifacts)).item_map()
    monkeypatch.setattr(module, "MOST_ITEMS", 3)
    answer = Recommender(load(artifacts)).item_map()
    assert answer["item_ids"] == everything["item_ids"][:3]
    assert answer["left_out"] == len(everything["item_ids"]) - 3
