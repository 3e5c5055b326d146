"""Item metadata: one JSON object a line, and where each line begins.

A reader hands out the bytes of a line as they are, so an answer can carry them without parsing anything.
"""

from __future__ import annotations

import json
import mmap
from typing import TYPE_CHECKING, Final

import numpy as np

from models.artifact.arrays import InconsistencyError
from models.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue

    from models.ids import IdMap
    from models.types import PointerArray

METADATA: Final = "metadata.jsonl"
METADATA_OFFSETS: Final = "metadata_offsets.npy"


class Metadata:
    """Memory-mapped metadata of all items.

    Args:
        path: the lines; line ``i`` is ``offsets[i]:offsets[i + 1]`` and ends in a line feed.
        offsets: int64, shape ``(n_items + 1,)``.

    Raises:
        InconsistencyError: the offsets are not those of lines that hold one object each.
        OSError: the file cannot be mapped.
    """

    __slots__ = ("_lines", "_offsets")

    def __init__(self, path: Path, offsets: PointerArray) -> None:
        with path.open("rb") as file:
            # An empty file cannot be mapped; it is right where there are no items.
            size = path.stat().st_size
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        self._offsets = offsets
        self._check()

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        """The JSON object of one item, without the line feed."""
        return self._lines[self._offsets[row] : self._offsets[row + 1] - 1]

    def _check(self) -> None:
        offsets = self._offsets
        if offsets.dtype != np.int64 or offsets.ndim != 1 or len(offsets) == 0:
            raise InconsistencyError(
                f"{METADATA_OFFSETS}: {offsets.dtype.str} of shape {offsets.shape}, not a column"
            )
        if offsets[0] != 0 or offsets[-1] != len(self._lines):
            raise InconsistencyError(
                f"{METADATA_OFFSETS}: runs from {offsets[0]} to {offsets[-1]}, "
                f"but {METADATA} has {len(self._lines)} bytes"
            )
        # The shortest line is {} and its line feed.
        if (np.diff(offsets) < len(b"{}\n")).any():
            raise InconsistencyError(f"{METADATA_OFFSETS}: a line is shorter than an empty object")
        characters = np.frombuffer(self._lines, dtype=np.uint8)
        starts, ends = offsets[:-1], offsets[1:]
        for positions, expected in ((starts, "{"), (ends - 2, "}"), (ends - 1, "\n")):
            if (characters[positions] != ord(expected)).any():
                raise InconsistencyError(
                    f"{METADATA}: not one object a line at the places in {METADATA_OFFSETS}"
                )


def write_metadata(path: Path, items: IdMap, records: Mapping[str, Mapping[str, JsonValue]]) -> PointerArray:
    """Write the items' metadata in row order; an item without a record gets ``{}``.

    Records of other items are left out, and so is a member `item_id`: an answer names the item itself.

    Returns:
        The offsets: int64, shape ``(n_items + 1,)``.

    Raises:
        DataError: a record holds NaN, infinity, a lone surrogate or something that JSON has not.
        OSError: the file cannot be written.
    """
    offsets = np.zeros(len(items) + 1, dtype=np.int64)
    with path.open("wb") as file:
        for row, item_id in enumerate(items):
            line = _encoded(item_id, records.get(item_id, {}))
            offsets[row + 1] = offsets[row] + file.write(line)
    return offsets


def _encoded(item_id: str, record: Mapping[str, JsonValue]) -> bytes:
    members = {name: value for name, value in record.items() if name != "item_id"}
    try:
        text = json.dumps(members, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return f"{text}\n".encode()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"metadata of item {item_id!r} cannot be JSON ({error}); repair the items table, or leave the "
            "column out"
        ) from error
