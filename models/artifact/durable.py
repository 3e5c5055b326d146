"""Writing to disk so that a crash or a power cut leaves the old or the new, never a mixture.

A rename is atomic, but it may reach the disk before what was written into the renamed file, and a directory's
entries reach the disk only when the directory itself is synced. So: file, its directory, then the rename,
then the directory that holds the new name.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from models.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK: Final = ".lock"
_UNFINISHED: Final = ".writing-"


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(root: Path) -> Iterator[None]:
    """Hold `root` against other writers, on this machine, until the block ends or the process dies.

    Raises:
        ArtifactError: another process holds it.
    """
    descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 256, 0).decode(errors="replace").strip() or "another process"
            raise ArtifactError(
                f"{root}: {holder} is writing here; wait until it is done, or write to another directory"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def remove_unfinished(root: Path) -> None:
    """Remove what killed writers left. Call it under the lock: another writer's work looks the same."""
    for path in root.glob(f"{_UNFINISHED}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def unfinished_directory(root: Path) -> Iterator[Path]:
    """A new directory in `root` that readers ignore, removed at the end unless it was renamed."""
    directory = _unfinished_path(root)
    # Not tempfile.mkdtemp: its mode 0700 would outlive the rename, and the service runs as another user.
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def replace_file(path: Path, content: bytes) -> None:
    """Give a file new content: whoever reads it, whenever, finds all of the old or all of the new."""
    with replacement(path) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file to, which takes the name of `path` if nothing goes wrong.

    Raises:
        OSError: the file cannot be put there; what was there before still is.
    """
    unfinished = _unfinished_path(path.parent)
    try:
        yield unfinished
        sync(unfinished)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    sync(path.parent)


def rename_directory(source: Path, target: Path) -> None:
    """Give a directory whose files are on disk its final name, durably."""
    sync(source)
    source.rename(target)
    sync(target.parent)


def remove_directory(directory: Path) -> None:
    """Remove a directory without a moment at which it is there by half."""
    doomed = _unfinished_path(directory.parent)
    directory.rename(doomed)
    shutil.rmtree(doomed)


def _unfinished_path(root: Path) -> Path:
    return root / f"{_UNFINISHED}{secrets.token_hex(8)}"
