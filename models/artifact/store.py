"""A directory of versions and the one that is served: ``<root>/<version>/`` and ``<root>/CURRENT``."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from models.artifact.durable import exclusive_lock, remove_directory, remove_unfinished, replace_file
from models.artifact.manifest import VERSION_PATTERN
from models.artifact.report import report_path
from models.errors import ArtifactError, ConfigError, NoArtifactError

if TYPE_CHECKING:
    from pathlib import Path

CURRENT: Final = "CURRENT"

_VERSION: Final = re.compile(VERSION_PATTERN)
_MAX_CURRENT_BYTES: Final = 256


class CurrentMarker(NamedTuple):
    """What `CURRENT` looks like from outside: two that are equal name the same version."""

    modified_nanoseconds: int
    inode: int


def current_marker(root: Path) -> CurrentMarker | None:
    """A glance at `CURRENT` in one system call, for a watcher to repeat; None if it cannot be seen."""
    try:
        status = (root / CURRENT).stat()
    except OSError:
        return None
    return CurrentMarker(status.st_mtime_ns, status.st_ino)


def current_version(root: Path) -> str:
    """Name of the version to serve.

    Raises:
        NoArtifactError: nothing has been published in `root`.
        ArtifactError: `CURRENT` cannot be read, is malformed, or names a version that is not there.
    """
    path = root / CURRENT
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_CURRENT_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoArtifactError(f"{path}: no such file; train a model into {root} first") from error
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; make it a file that this process may read") from error
    version = content.decode("ascii", errors="replace").strip()
    remedy = f"write the name of a version in {root} to it, or train again"
    if not _VERSION.fullmatch(version):
        raise ArtifactError(f"{path}: {content[:40]!r} is not the name of a version; {remedy}")
    if not (root / version).is_dir():
        raise ArtifactError(f"{path}: version {version} is not there; {remedy}")
    return version


def set_current(root: Path, version: str) -> None:
    """Have a version served: the last step of publishing, and all there is to a rollback.

    Raises:
        ArtifactError: there is no such version.
        OSError: `CURRENT` cannot be replaced; the old one stands.
    """
    if not _VERSION.fullmatch(version) or not (root / version).is_dir():
        raise ArtifactError(f"{root}: there is no version {version!r}; name one of the directories in it")
    replace_file(root / CURRENT, f"{version}\n".encode())


def versions(root: Path) -> list[str]:
    """Names of the versions in `root`, oldest first; those of one second in any order."""
    return sorted(path.name for path in root.iterdir() if _VERSION.fullmatch(path.name) and path.is_dir())


def prune(root: Path, *, keep: int) -> list[str]:
    """Remove old versions until `keep` are left: the current one, however old, and the newest others.

    A process that still serves a removed version goes on: its memory maps keep the files alive.

    Returns:
        Names of the removed versions, oldest first.

    Raises:
        ConfigError: `keep` is not positive.
        ArtifactError: another process is writing in `root`, a directory cannot be removed, or `CURRENT` is
            unreadable, so that it is not known what must stay.
    """
    if keep < 1:
        raise ConfigError(f"keep={keep}: keep at least 1 version")
    try:
        with exclusive_lock(root):
            remove_unfinished(root)
            ranked = versions(root)
            with suppress(NoArtifactError):
                current = current_version(root)
                ranked.remove(current)
                ranked.append(current)
            doomed = ranked[:-keep]
            for version in doomed:
                remove_directory(root / version)
                report_path(root / version).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{root}: cannot prune ({error}); see who owns the directory") from error
    return doomed
