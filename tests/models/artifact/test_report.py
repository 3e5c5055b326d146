"""A version's evaluation report: beside the version, whole at any moment, gone with the version."""

from pathlib import Path

import pytest

from models.artifact import attach_report, open_artifact, prune, publish, report_path, versions
from models.artifact.durable import exclusive_lock
from models.errors import ArtifactError
from tests.models.artifact.sample import sample_card, sample_contents


def published(root: Path) -> str:
    """Publish a version; returns its name."""
    contents = sample_contents()
    return publish(root, contents, sample_card(contents))


def test_version_stays_as_it_was(tmp_path: Path) -> None:
    """A report changes nothing that the manifest speaks of, and is no version."""
    version = published(tmp_path)
    path = attach_report(tmp_path / version, "<p>good</p>")
    assert path == report_path(tmp_path / version)
    assert path.read_text() == "<p>good</p>"
    open_artifact(tmp_path / version)
    assert versions(tmp_path) == [version]


def test_another_report_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """The new file is another one: who reads the old still reads all of it."""
    version = published(tmp_path)
    path = attach_report(tmp_path / version, "old " * 1000)
    with path.open() as reading:
        begun = reading.read(4)
        attach_report(tmp_path / version, "new")
        assert begun + reading.read() == "old " * 1000
    assert path.read_text() == "new"


def test_pruned_versions_take_their_reports_along(tmp_path: Path) -> None:
    """No report is left of a version that is not there; the others stay."""
    older, newer = (published(tmp_path) for _ in range(2))
    for version in (older, newer):
        attach_report(tmp_path / version, version)
    assert prune(tmp_path, keep=1) == [older]
    assert not report_path(tmp_path / older).exists()
    assert report_path(tmp_path / newer).read_text() == newer


def test_nothing_is_written_while_another_process_writes(tmp_path: Path) -> None:
    """A training that is publishing is not disturbed."""
    version = published(tmp_path)
    with exclusive_lock(tmp_path), pytest.raises(ArtifactError, match="is writing here"):
        attach_report(tmp_path / version, "page")
    assert not report_path(tmp_path / version).exists()


def test_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """No directory, no report; the error says where."""
    with pytest.raises(ArtifactError, match="cannot be written"):
        attach_report(tmp_path / "nowhere" / "20260101T000000Z-0000", "page")
