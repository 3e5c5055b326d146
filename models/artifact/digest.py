"""Hashes of many files at once, on all the cores that this process may use."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CHUNK_BYTES: Final = 1 << 22
"""Long enough that to wait for the GIL after each, while others import or compute, costs little."""


def sha256_of(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of each file, in hex.

    Files are read in chunks, not mapped: a disk that cannot read a block then raises an error, where a memory
    map would kill the process.

    Raises:
        OSError: a file cannot be read.
    """
    # hashlib lets go of the GIL. The largest file first, so that no thread is left with it at the end.
    largest_first = sorted(paths, key=lambda path: path.stat().st_size, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(largest_first, pool.map(_sha256, largest_first), strict=True))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(chunk):
            digest.update(chunk[:size])
    return digest.hexdigest()
