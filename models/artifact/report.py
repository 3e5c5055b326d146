"""The evaluation report of a version: ``<root>/<version>.report.html``, for people to read.

It lies beside the version's directory: a version never changes, and its manifest lists all that is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.artifact.durable import exclusive_lock, replace_file
from models.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX: Final = ".report.html"


def report_path(directory: Path) -> Path:
    """Where the report of the version in `directory` is, if it has one."""
    return directory.with_name(directory.name + _SUFFIX)


def attach_report(directory: Path, page: str) -> Path:
    """Give a version a report, or another one: whoever reads it finds all of the old or all of the new.

    Raises:
        ArtifactError: another process is writing among the artifacts, or the file cannot be written.
    """
    path = report_path(directory)
    try:
        with exclusive_lock(directory.parent):
            replace_file(path, page.encode())
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be written ({error.strerror or error}); free some disk space, or see who owns "
            "the directory"
        ) from error
    return path
