"""The directory of a fetched data set."""

from __future__ import annotations

import json

import pytest

from models.dataset_directory import open_dataset_directory
from models.errors import DataError

DESCRIPTION = {
    "name": "movielens-100k",
    "preset": "movielens-100k",
    "interactions": "ml-100k/u.data",
    "items": "ml-100k/u.item",
    "source": "test",
}


@pytest.fixture
def directory(tmp_path):
    """A whole directory."""
    (tmp_path / "ml-100k").mkdir()
    for name in ("u.data", "u.item"):
        (tmp_path / "ml-100k" / name).touch()
    (tmp_path / "dataset.json").write_text(json.dumps(DESCRIPTION))
    return tmp_path


def test_the_files_and_the_preset(directory):
    """Paths come out below the directory."""
    assert open_dataset_directory(directory) == (
        directory / "ml-100k/u.data",
        directory / "ml-100k/u.item",
        "movielens-100k",
    )


def test_items_may_be_missing(directory):
    """Not every data set has metadata."""
    without = {name: value for name, value in DESCRIPTION.items() if name != "items"}
    (directory / "dataset.json").write_text(json.dumps(without))
    assert open_dataset_directory(str(directory))[1] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("[]", "the whole: Input should be a valid dictionary"),
        (json.dumps({"name": "x"}), "preset: Field required"),
        (json.dumps(DESCRIPTION | {"item": "x"}), "item: Extra inputs are not permitted"),
        (json.dumps(DESCRIPTION | {"interactions": 7}), "interactions: Input should be a valid string"),
        (
            json.dumps(DESCRIPTION | {"preset": "movielens-100"}),
            r"no preset 'movielens-100' \(did you mean 'movielens-100k'\?\)",
        ),
        (
            json.dumps(DESCRIPTION | {"interactions": "u.data"}),
            "the file 'u.data' that it names is not there",
        ),
        (json.dumps(DESCRIPTION | {"items": "../u.item"}), "'../u.item' lies outside the directory"),
        (json.dumps(DESCRIPTION | {"items": "/etc/hostname"}), "'/etc/hostname' lies outside the directory"),
    ],
)
def test_a_broken_description(directory, content, message):
    """What is wrong in which file, and the remedy."""
    (directory / "dataset.json").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=rf"dataset\.json: .*{message}") as caught:
        open_dataset_directory(directory)
    assert "fetch" in str(caught.value) or "there are movielens-100k" in str(caught.value)


def test_no_description(tmp_path):
    """A directory of another kind, or none at all."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=r"there is no readable dataset\.json in it; give the file"):
            open_dataset_directory(path)
