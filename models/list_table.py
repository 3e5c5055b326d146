"""Top-k lists as tables, one recommendation a row: what batch output is, whatever machine makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from models.types import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from models.ids import IdMap
    from models.top_lists import TopLists

SCHEMA: Final = {"user_id": pl.String, "rank": pl.UInt16, "item_id": pl.String, "score": pl.Float32}
_ROW_GROUP: Final = 1 << 18


@dataclass(slots=True)
class Tally:
    """What was written: entries, and users with fewer of them than were asked for, or none."""

    entries: int = 0
    short: int = 0
    without: int = 0

    def count(self, block: TopLists) -> None:
        """Count the lists of some users."""
        lengths = (block.items != NOBODY).sum(axis=1)
        self.entries += int(lengths.sum())
        self.short += int(np.count_nonzero((lengths > 0) & (lengths < block.items.shape[1])))
        self.without += int(np.count_nonzero(lengths == 0))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.entries + other.entries, self.short + other.short, self.without + other.without)


def list_table(block: TopLists, users: IdMap, item_ids: pl.Series) -> pl.DataFrame:
    """The lists of some users as a table of `SCHEMA`.

    Args:
        block: the lists.
        users: ids of all users.
        item_ids: ids of all items, text, by row.
    """
    listed = block.items != NOBODY
    positions, ranks = np.nonzero(listed)
    user_ids = pl.Series(users.to_external(block.users), dtype=pl.String)
    return pl.DataFrame(
        {
            "user_id": user_ids.gather(positions.astype(np.uint32)),
            "rank": (ranks + 1).astype(np.uint16),
            "item_id": item_ids.gather(block.items[listed].astype(np.uint32)),
            "score": block.scores[listed],
        },
        schema=SCHEMA,
    )


def write_tables(path: Path, tables: Iterator[pl.DataFrame]) -> None:
    """Stream tables into the row groups of a Parquet file.

    Raises:
        OSError: the file cannot be written.
    """

    def source(*_: object) -> Iterator[pl.DataFrame]:
        return tables  # all columns and rows are asked for

    try:
        register_io_source(source, schema=SCHEMA).sink_parquet(path, row_group_size=_ROW_GROUP)
    except pl.exceptions.PolarsError as error:
        raise OSError(f"{path.parent}: the file cannot be written there ({error})") from error
