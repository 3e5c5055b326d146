"""What is published is what is opened."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact import (
    Artifact,
    ArtifactContents,
    StoredLists,
    current_version,
    open_artifact,
    publish,
    versions,
)
from models.errors import DataError, FoldrecError, TrainingError
from models.item_filter import FilterMasks, parse_filter
from models.row_solve import Rows
from tests.models.artifact.sample import (
    FILES,
    METADATA,
    N_FACTORS,
    SCRATCH,
    certificate,
    sample_card,
    sample_contents,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def assert_same(artifact: Artifact, contents: ArtifactContents) -> None:
    """Every number and id of the contents came back, bit for bit."""
    assert list(artifact.users) == list(contents.users)
    assert list(artifact.items) == list(contents.items)
    assert artifact.by_file().keys() == contents.by_file().keys()
    for name, array in contents.by_file().items():
        opened = artifact.by_file()[name]
        assert opened.dtype == array.dtype
        assert opened.shape == array.shape
        np.testing.assert_array_equal(opened, array)


IDS = st.lists(st.text(max_size=8), unique=True, min_size=1, max_size=8)
RECORDS = st.dictionaries(
    st.text(max_size=4).filter(lambda name: name != "item_id"),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=3,
)


@given(IDS, IDS, st.data())
def test_any_ids_histories_and_metadata_survive(
    users: list[str], items: list[str], data: st.DataObject
) -> None:
    """Ids of any characters, histories of any lengths (none included) and any JSON come back as they were."""
    rows = st.sets(st.integers(0, len(items) - 1))
    contents = sample_contents(
        users,
        items,
        histories=data.draw(st.lists(rows, min_size=len(users), max_size=len(users))),
        metadata=data.draw(st.none() | st.dictionaries(st.sampled_from(items), RECORDS)),
    )
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        root = Path(directory)
        artifact = open_artifact(root / publish(root, contents, sample_card(contents)))
        assert_same(artifact, contents)
        for row, item_id in enumerate(artifact.items):
            stored = artifact.metadata(row)
            if contents.metadata is None:
                assert stored is None
            else:
                assert stored is not None
                assert json.loads(stored) == contents.metadata.get(item_id, {})


def test_the_directory_holds_exactly_these_files(published: Path) -> None:
    """A version is the documented files and nothing else, readable by other users than the trainer's."""
    assert {path.name for path in published.iterdir()} == FILES
    assert published.stat().st_mode & 0o055 == 0o055
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in published.iterdir())


def test_the_manifest_says_what_the_card_said_and_when_and_with_what(published: Path) -> None:
    """The card comes back equal; time, version, libraries and files are added."""
    manifest = open_artifact(published).manifest
    card = sample_card(sample_contents())
    assert {name: getattr(manifest, name) for name in type(card).model_fields} == dict(card)
    assert manifest.model_version == published.name
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{4}", published.name)
    assert f"{manifest.created_at:%Y%m%dT%H%M%SZ}" == published.name[:16]
    assert timedelta(0) <= datetime.now(UTC) - manifest.created_at < timedelta(hours=1)
    assert manifest.libraries["numpy"] == importlib.metadata.version("numpy")
    assert manifest.files.keys() == FILES - {"manifest.json", "manifest.sha256"}
    assert manifest.files["user_factors.npy"].dtype == "float32"
    assert manifest.files["user_factors.npy"].shape == (30, N_FACTORS)
    assert manifest.files["recommend.hnsw"].shape is None


def test_sha256sum_accepts_the_manifest(published: Path) -> None:
    """An operator can check the manifest with the tool at hand."""
    subprocess.run(["sha256sum", "--check", "--strict", "manifest.sha256"], cwd=published, check=True)


def test_the_arrays_are_mapped_and_read_only(published: Path) -> None:
    """Workers share one copy, and none can change it by accident."""
    artifact = open_artifact(published)
    maps = Path("/proc/self/maps").read_text() if Path("/proc/self/maps").exists() else None
    for name, array in artifact.by_file().items():
        assert not array.flags.writeable
        assert type(array) is np.ndarray
        assert maps is None or str(published / name) in maps


def test_graphs_are_found_by_name(published: Path) -> None:
    """A graph that was stored has a path; one that was not has none."""
    artifact = open_artifact(published)
    assert artifact.graph_path("recommend") == published / "recommend.hnsw"
    assert artifact.graph_path("similar") == published / "similar.hnsw"
    assert artifact.graph_path("neighbours") is None


def test_exact_retrieval_needs_no_graph(tmp_path: Path) -> None:
    """Where the measured plan is exact, there is no index file and nobody misses it."""
    full = sample_contents()
    contents = changed(full, graphs={})
    card = sample_card(full, retrieval={name: certificate("exact") for name in full.graphs})
    artifact = open_artifact(tmp_path / publish(tmp_path, contents, card))
    assert artifact.graph_path("recommend") is None


def test_fields_survive_mapped_and_read_only(tmp_path: Path) -> None:
    """A filter lets the same items of the opened version through as of the records; nothing was parsed."""
    contents = sample_contents(metadata=METADATA)
    artifact = open_artifact(tmp_path / publish(tmp_path, contents, sample_card(contents)))
    masks = FilterMasks(artifact.item_fields)
    for text, expected in {
        "genres:B": ["item-3", "item-4"],
        "title:Drei 😀|Neun": ["item-3", "item-9"],
        "year:>1995": ["item-5"],
        "released:1995-01-01..2001-02-03": ["item-3", "item-7"],
    }.items():
        rows = masks.eligible(parse_filter([text], artifact.item_fields)).rows
        assert sorted(artifact.items.to_external(rows)) == expected
    for field in artifact.item_fields:
        assert isinstance(field.values.base, np.memmap)
        assert not field.items.flags.writeable
    described = artifact.manifest.item_fields
    assert [card.name for card in described.fields] == ["genres", "released", "title", "year"]
    assert described.unfilterable == {"notes": "its values are objects"}


def test_without_metadata_there_are_no_fields(tmp_path: Path) -> None:
    """The manifest lists none, and there is none to filter by."""
    contents = sample_contents()
    artifact = open_artifact(tmp_path / publish(tmp_path, contents, sample_card(contents)))
    assert not list(artifact.item_fields)
    assert not artifact.manifest.item_fields.fields


def test_metadata_leaves_out_what_the_answer_adds(tmp_path: Path) -> None:
    """The item's id is not stored twice, and records of items that are not in the model are left out."""
    contents = sample_contents(
        metadata={"item-0": {"item_id": "item-0", "title": "Null"}, "a stranger": {"title": "x"}}
    )
    artifact = open_artifact(tmp_path / publish(tmp_path, contents, sample_card(contents)))
    row = artifact.items.get("item-0")
    assert row is not None
    assert artifact.metadata(row) == b'{"title":"Null"}'
    assert all(artifact.metadata(other) == b"{}" for other in range(len(artifact.items)) if other != row)


def test_arrays_stored_by_column_come_back_by_row(tmp_path: Path) -> None:
    """A trainer may hand over transposed views; readers always get rows in one piece."""
    contents = sample_contents()
    transposed = changed(contents, user_factors=np.asfortranarray(contents.user_factors))
    artifact = open_artifact(tmp_path / publish(tmp_path, transposed, sample_card(contents)))
    assert artifact.user_factors.flags.c_contiguous
    assert_same(artifact, contents)


def test_two_versions_in_one_second_differ(tmp_path: Path) -> None:
    """Publishing the same model again and again gives a new version each time; the last one is current."""
    contents = sample_contents()
    published = [publish(tmp_path, contents, sample_card(contents)) for _ in range(12)]
    assert len(set(published)) == 12
    assert versions(tmp_path) == sorted(published)
    assert current_version(tmp_path) == published[-1]


def changed(contents: ArtifactContents, **changes: Any) -> ArtifactContents:
    """The contents with some attributes replaced."""
    names = ArtifactContents.__dataclass_fields__
    return ArtifactContents(**({name: getattr(contents, name) for name in names} | changes))


def with_element(array: np.ndarray, position: Any, value: float) -> np.ndarray:
    """A copy with one element replaced."""
    copy = array.copy()
    copy[position] = value
    return copy


UNFIT: dict[str, tuple[Callable[[ArtifactContents], dict[str, Any]], str]] = {
    "nan in user factors": (
        lambda c: {"user_factors": with_element(c.user_factors, (3, 1), np.nan)},
        r"user_factors\.npy: row 3 holds nan",
    ),
    "infinity in item factors": (
        lambda c: {"item_factors": with_element(c.item_factors, (19, 4), -np.inf)},
        r"item_factors\.npy: row 19 holds -inf",
    ),
    "nan in history values": (
        lambda c: {"histories": Rows(c.histories.indptr, c.histories.indices, c.histories.values * np.nan)},
        r"history_values\.npy: row 0 holds nan",
    ),
    "nan in an extra array": (
        lambda _: {"item_arrays": {"length_norms": np.full(20, np.nan, np.float32)}},
        r"item_length_norms\.npy: row 0 holds nan",
    ),
    "float64 factors": (
        lambda c: {"user_factors": c.user_factors.astype(np.float64)},
        r"user_factors\.npy: <f8 where <f4",
    ),
    "factors of different lengths": (
        lambda c: {"user_factors": c.user_factors[:, 1:].copy()},
        r"user_factors\.npy: shape \(30, 4\), but the other files say \(30, 5\)",
    ),
    "no factors at all": (
        lambda c: {"user_factors": c.user_factors[:, :0], "item_factors": c.item_factors[:, :0]},
        r"item_factors\.npy: shape \(20, 0\)",
    ),
    "a user without factors": (lambda c: {"user_factors": c.user_factors[1:]}, r"user_factors\.npy: shape"),
    "an item without factors": (lambda c: {"item_factors": c.item_factors[1:]}, r"item_factors\.npy: shape"),
    "a flat matrix": (lambda c: {"item_factors": c.item_factors.reshape(-1)}, r"item_factors\.npy: shape"),
    "a user without a list": (
        lambda c: {"top_lists": StoredLists(c.top_lists.items[1:], c.top_lists.scores[1:])},
        r"top_items\.npy: shape",
    ),
    "a list of an item that is not there": (
        lambda c: {"top_lists": replace(c.top_lists, items=with_element(c.top_lists.items, (5, 2), 20))},
        r"top_items\.npy: user 5 is listed an item outside of 20",
    ),
    "a list with a gap": (
        lambda c: {"top_lists": replace(c.top_lists, items=with_element(c.top_lists.items, (6, 1), -1))},
        r"top_items\.npy: the list of user 6 has a gap",
    ),
    "nan in a list": (
        lambda c: {"top_lists": replace(c.top_lists, scores=c.top_lists.scores * np.nan)},
        r"top_scores\.npy: row 0 holds nan",
    ),
    "too few popularities": (lambda c: {"popularity": c.popularity[1:]}, r"popularity\.npy: shape"),
    "a negative popularity": (
        lambda c: {"popularity": with_element(c.popularity, 4, -1)},
        r"popularity\.npy: item 4 has -1",
    ),
    "an extra array of another length": (
        lambda _: {"item_arrays": {"length_norms": np.ones(21, np.float32)}},
        r"item_length_norms\.npy: shape",
    ),
    "an extra array under a name that is taken": (
        lambda c: {"item_arrays": {"factors": c.item_factors}},
        "named 'factors'",
    ),
    "an extra array under a name that is a path": (
        lambda c: {"item_arrays": {"../x": c.popularity}},
        "named '../x'",
    ),
    "an extra array of objects": (
        lambda _: {"item_arrays": {"titles": np.array([{}] * 20)}},
        r"item_titles\.npy: \|O",
    ),
    "a history too few": (
        lambda c: {"histories": Rows(c.histories.indptr[:-1], c.histories.indices, c.histories.values)},
        r"history_indptr\.npy: shape",
    ),
    "a value too few": (
        lambda c: {"histories": Rows(c.histories.indptr, c.histories.indices, c.histories.values[1:])},
        r"history_values\.npy: shape",
    ),
    "an item that is not there": (
        lambda c: {
            "histories": Rows(
                c.histories.indptr, with_element(c.histories.indices, 5, 20), c.histories.values
            )
        },
        r"history_items\.npy: entry 5 is 20, of 20 items",
    ),
    "a negative item": (
        lambda c: {
            "histories": Rows(
                c.histories.indptr, with_element(c.histories.indices, 5, -1), c.histories.values
            )
        },
        r"history_items\.npy: entry 5 is -1",
    ),
    "an entry before the first user": (
        lambda c: {
            "histories": Rows(with_element(c.histories.indptr, 0, 1), c.histories.indices, c.histories.values)
        },
        r"history_indptr\.npy: runs from 1",
    ),
    "entries after the last user": (
        lambda c: {
            "histories": Rows(
                with_element(c.histories.indptr, -1, 3), c.histories.indices, c.histories.values
            )
        },
        r"history_indptr\.npy: runs from 0 to 3",
    ),
    "a history of negative length": (
        lambda c: {
            "histories": Rows(
                with_element(c.histories.indptr, 2, 99), c.histories.indices, c.histories.values
            )
        },
        r"history_indptr\.npy: falls after user 2",
    ),
}


@pytest.mark.parametrize(("change", "message"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_model_is_refused_before_anything_is_written(
    tmp_path: Path, change: Callable[[ArtifactContents], dict[str, Any]], message: str
) -> None:
    """Non-finite numbers and arrays that disagree are named; not even the directory is made."""
    contents = sample_contents()
    root = tmp_path / "artifacts"
    with pytest.raises(TrainingError, match=message):
        publish(root, changed(contents, **change(contents)), sample_card(contents))
    assert not root.exists()


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=5))
def test_items_must_rise_within_a_history_and_only_there(histories: list[list[int]]) -> None:
    """Accepted exactly when every user's items are strictly ascending, whatever happens between users."""
    flat = np.array([item for history in histories for item in history], dtype=np.int32)
    users = [str(number) for number in range(len(histories))]
    contents = sample_contents(users, list("abcde"), histories=[set() for _ in users])
    rows = Rows(np.cumsum([0, *map(len, histories)]), flat, np.ones(len(flat), np.float32))
    candidate = changed(contents, histories=rows)
    if all(history == sorted(set(history)) for history in histories):
        candidate.check()
    else:
        with pytest.raises(ValueError, match=r"history_items\.npy: entry \d+ does not rise"):
            candidate.check()


def test_a_long_history_is_checked_to_its_end(tmp_path: Path) -> None:
    """Arrays are checked in blocks; a fault in the last of many, or across two, is found all the same."""
    n_items = 200_000
    contents = sample_contents(
        ["only"], [str(number) for number in range(n_items)], histories=[set(range(n_items))]
    )
    contents.check()
    indices = contents.histories.indices
    for entry in (65_535, 65_536, 131_072, n_items - 1):
        repeated = with_element(indices, entry, indices[entry - 1])
        rows = Rows(contents.histories.indptr, repeated, contents.histories.values)
        with pytest.raises(ValueError, match=rf"entry {entry} does not rise"):
            changed(contents, histories=rows).check()
        factors = with_element(contents.item_factors, (entry, 2), np.inf)
        with pytest.raises(ValueError, match=rf"item_factors\.npy: row {entry} holds inf"):
            changed(contents, item_factors=factors).check()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), "\ud800", {1, 2}], ids=["nan", "infinity", "surrogate", "set"]
)
def test_metadata_that_cannot_be_json_is_refused(tmp_path: Path, value: Any) -> None:
    """The item is named and nothing is left behind."""
    contents = sample_contents(metadata={"item-2": {"price": value}})
    with pytest.raises(DataError, match="metadata of item 'item-2' cannot be JSON"):
        publish(tmp_path, contents, sample_card(contents))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_card_that_does_not_fit_is_not_published(tmp_path: Path) -> None:
    """The writer opens its own work as a reader would before it gives it a name."""
    contents = sample_contents()
    for card in (
        sample_card(contents, retrieval={"recommend": certificate("hnsw")}),
        sample_card(contents, retrieval={"recommend": certificate("hnsw"), "similar": certificate("exact")}),
        sample_card(contents, dataset=sample_card(sample_contents(["other"])).dataset),
    ):
        with pytest.raises(FoldrecError, match=r"manifest\.json"):
            publish(tmp_path, contents, card)
        assert versions(tmp_path) == []
