"""CURRENT, its marker, and which versions stay."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from models.artifact import (
    current_marker,
    current_version,
    open_artifact,
    prune,
    publish,
    set_current,
    versions,
)
from models.errors import ArtifactError, ConfigError, NoArtifactError
from tests.models.artifact.sample import sample_card, sample_contents

if TYPE_CHECKING:
    from pathlib import Path

NAME = "20261121T083000Z-1f3a"


def make_versions(root: Path, *names: str) -> None:
    """Empty directories under versions' names."""
    for name in names:
        (root / name).mkdir()


@pytest.mark.parametrize("content", [NAME, f"{NAME}\n", f"{NAME}\r\n", f"  {NAME}\n\n"], ids=repr)
def test_current_may_end_in_white_space(tmp_path: Path, content: str) -> None:
    """An operator's `echo` or editor adds a line feed; that is no reason not to serve."""
    make_versions(tmp_path, NAME)
    (tmp_path / "CURRENT").write_bytes(content.encode())
    assert current_version(tmp_path) == NAME


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"..",
        b"../other/" + NAME.encode(),
        b"/etc",
        b"./" + NAME.encode(),
        NAME.encode() + b"/",
        NAME.encode() + b"/../" + NAME.encode(),
        NAME.encode() + b"\n" + NAME.encode(),
        NAME.encode() + b"\0",
        NAME.upper().encode(),
        b"latest",
        "２０２６１１２１T083000Z-1f3a".encode(),
        b"\xff\xfe\x00" * 1000,
        random.Random(0).randbytes(64),
        b".",
    ],
    ids=repr,
)
def test_a_malformed_current_is_refused(tmp_path: Path, content: bytes) -> None:
    """Garbage, path traversal and two names are refused with what to write there instead."""
    make_versions(tmp_path, NAME, "latest")
    (tmp_path / "CURRENT").write_bytes(content)
    with pytest.raises(
        ArtifactError, match=r"CURRENT: .* is not the name of a version; write the name"
    ) as refused:
        current_version(tmp_path)
    assert not isinstance(refused.value, NoArtifactError)


def test_nothing_published_is_its_own_error(tmp_path: Path) -> None:
    """A service without a model waits for one, so it must tell this from damage."""
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NoArtifactError, match="train a model"):
            current_version(root)
        assert current_marker(root) is None


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_current_that_names_no_version_is_refused(tmp_path: Path, kind: str) -> None:
    """Somebody removed the version, or something else has its name."""
    (tmp_path / "CURRENT").write_text(NAME)
    if kind == "file":
        (tmp_path / NAME).write_text("x")
    with pytest.raises(ArtifactError, match=f"version {NAME} is not there; write the name") as refused:
        current_version(tmp_path)
    assert not isinstance(refused.value, NoArtifactError)


def test_current_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A directory in its place is damage, not the absence of a model."""
    (tmp_path / "CURRENT").mkdir()
    with pytest.raises(ArtifactError, match="CURRENT: Is a directory") as refused:
        current_version(tmp_path)
    assert not isinstance(refused.value, NoArtifactError)


def test_the_marker_changes_when_and_only_when_current_is_replaced(tmp_path: Path) -> None:
    """A watcher that compares markers sees every publication and every rollback, and nothing else."""
    contents = sample_contents()
    markers = []
    published = []
    for _ in range(5):
        published.append(publish(tmp_path, contents, sample_card(contents)))
        markers.append(current_marker(tmp_path))
    set_current(tmp_path, published[0])
    markers.append(current_marker(tmp_path))
    assert None not in markers
    assert len(set(markers)) == len(markers)
    prune(tmp_path, keep=1)
    open_artifact(tmp_path / current_version(tmp_path))
    assert current_marker(tmp_path) == markers[-1]


def test_a_rollback_serves_an_old_version(tmp_path: Path) -> None:
    """Any version that is there can be made current again; one that is not cannot."""
    contents = sample_contents()
    old, _ = (publish(tmp_path, contents, sample_card(contents)) for _ in range(2))
    set_current(tmp_path, old)
    assert current_version(tmp_path) == old
    for name in ("20000101T000000Z-0000", "..", "", f"../{tmp_path.name}/{old}"):
        with pytest.raises(ArtifactError, match="there is no version"):
            set_current(tmp_path, name)
    assert current_version(tmp_path) == old


def test_versions_are_listed_oldest_first(tmp_path: Path) -> None:
    """Only directories that are named like versions count."""
    names = ["20260101T000000Z-ffff", "20260101T000001Z-0000", "20270101T000000Z-00aa"]
    make_versions(tmp_path, *reversed(names), ".writing-0", "notes", "20260101T000000Z-FFFF")
    (tmp_path / "20250101T000000Z-0000").write_text("a file")
    assert versions(tmp_path) == names


@pytest.mark.parametrize(
    ("current", "keep", "left"),
    [
        (4, 1, {4}),
        (4, 3, {2, 3, 4}),
        (4, 5, {0, 1, 2, 3, 4}),
        (4, 99, {0, 1, 2, 3, 4}),
        (0, 1, {0}),
        (1, 2, {1, 4}),
        (0, 4, {0, 2, 3, 4}),
    ],
)
def test_pruning_keeps_the_newest_and_the_current(
    tmp_path: Path, current: int, keep: int, left: set[int]
) -> None:
    """`keep` versions stay: the one being served, the newest others, and whatever is not a version."""
    names = [f"2026010{day}T000000Z-0000" for day in range(1, 6)]
    make_versions(tmp_path, *names, "notes")
    for name in names:
        (tmp_path / name / "file").write_text("x")
    set_current(tmp_path, names[current])
    removed = prune(tmp_path, keep=keep)
    assert versions(tmp_path) == [names[number] for number in sorted(left)]
    assert removed == [name for number, name in enumerate(names) if number not in left]
    assert {path.name for path in tmp_path.iterdir()} == {*versions(tmp_path), ".lock", "CURRENT", "notes"}


def test_nothing_is_pruned_when_it_is_unknown_what_is_served(tmp_path: Path) -> None:
    """A damaged CURRENT stops the removal; no CURRENT at all protects nothing."""
    names = [f"2026010{day}T000000Z-0000" for day in range(1, 4)]
    make_versions(tmp_path, *names)
    (tmp_path / "CURRENT").write_text("garbage")
    with pytest.raises(ArtifactError, match="is not the name of a version"):
        prune(tmp_path, keep=1)
    assert versions(tmp_path) == names
    (tmp_path / "CURRENT").unlink()
    assert prune(tmp_path, keep=1) == names[:2]


@pytest.mark.parametrize("keep", [0, -1])
def test_at_least_one_version_is_kept(tmp_path: Path, keep: int) -> None:
    """Keeping none is not a policy."""
    with pytest.raises(ConfigError, match="keep at least 1"):
        prune(tmp_path, keep=keep)


def test_pruning_where_nothing_is_is_an_error(tmp_path: Path) -> None:
    """A mistyped directory is said to be one."""
    with pytest.raises(ArtifactError, match="cannot prune"):
        prune(tmp_path / "nowhere", keep=1)


def test_a_version_in_use_survives_its_removal(tmp_path: Path) -> None:
    """A service that still holds a pruned version goes on answering from it."""
    contents = sample_contents(metadata={"item-0": {"a": 1}})
    artifact = open_artifact(tmp_path / publish(tmp_path, contents, sample_card(contents)))
    publish(tmp_path, contents, sample_card(contents))
    assert prune(tmp_path, keep=1) == [artifact.manifest.model_version]
    assert not artifact.directory.exists()
    assert artifact.user_factors.tobytes() == contents.user_factors.tobytes()
    assert list(artifact.items) == list(contents.items)
    row = artifact.items.get("item-0")
    assert row is not None
    assert artifact.metadata(row) == b'{"a":1}'
