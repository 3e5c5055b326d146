"""Ids become row numbers: the dataset that a family is fitted to, too large for memory or not.

Rows are numbered by the artifact's own id maps (`models.ids`), so what Spark is trained on are the rows of
the artifact. The maps are built by the driver: that takes memory for the ids, and for nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from models.dataset import Dataset
from models.engines.spark.cluster import parts
from models.ids import IdMap
from models.row_solve import Rows
from models.row_solve.rows import pointers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import DTypeLike, NDArray

    from models.engines.spark.cluster import Workspace
    from models.engines.spark.table import SparkInteractions

BATCH_ROWS: Final = 1 << 18
"""Rows of a Parquet file that are in memory at once."""


def number(workspace: Workspace, table: SparkInteractions) -> tuple[Dataset, Path]:
    """Number the users and items and sort the entries by user, then item.

    Returns:
        The dataset, its histories memory-mapped in the work directory, and the same entries as Parquet:
        `user` and `item`, int rows; `value`, float; `time`, long, where the table has times.

    Raises:
        DataError: there are more ids than an int32 can count.
    """
    entries = table.entries
    maps = {}
    for side in ("user", "item"):
        written = workspace.write(f"{side}-ids", entries.select(side).distinct())
        maps[side] = IdMap.build([id_ for batch in batches(written) for id_ in batch[side].to_list()])
        rows = workspace.read(_write_rows(workspace.directory / f"{side}-rows", maps[side]))
        entries = (
            entries.join(rows, entries[side] == rows["id"]).drop("id", side).withColumnRenamed("row", side)
        )
    columns = ["user", "item", "value", *(["time"] if table.has_times else [])]
    path = workspace.write("entries", entries.select(*columns).orderBy("user", "item"))
    histories = _histories(workspace.directory, path, len(maps["user"]), table)
    return Dataset(maps["user"], maps["item"], histories, table.has_values), path


def batches(directory: Path) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet table in their order, some at a time."""
    for part in parts(directory):
        scan = pl.scan_parquet(part, glob=False, hive_partitioning=False)
        yield from scan.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)


def new_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of zeros in a file, memory-mapped: what is written to it need not stay in memory."""
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    return mapped.view(np.ndarray)  # indexing np.memmap pays for its subclass


def _write_rows(directory: Path, ids: IdMap) -> Path:
    """The ids and their rows as a table for the executors."""
    directory.mkdir()
    for at in range(0, len(ids), BATCH_ROWS):
        rows = np.arange(at, min(at + BATCH_ROWS, len(ids)), dtype=np.int32)
        frame = pl.DataFrame({"id": ids.to_external(rows), "row": rows})
        frame.write_parquet(directory / f"part-{at:012}.parquet", compression="uncompressed")
    return directory


def _histories(directory: Path, entries: Path, n_users: int, table: SparkInteractions) -> Rows:
    """The sorted entries as rows, each array in a file of its own."""
    items = new_array(directory / "items.npy", np.int32, (table.n_entries,))
    values = new_array(directory / "values.npy", np.float32, (table.n_entries,))
    times = new_array(directory / "times.npy", np.int64, (table.n_entries,)) if table.has_times else None
    lengths = np.zeros(n_users, dtype=np.int64)
    at = 0
    for batch in batches(entries):
        span = slice(at, at + len(batch))
        users = batch["user"].to_numpy()
        lengths[users[0] : users[-1] + 1] += np.bincount(users - users[0])
        items[span], values[span] = batch["item"].to_numpy(), batch["value"].to_numpy()
        if times is not None:
            times[span] = batch["time"].to_numpy()
        at += len(batch)
    return Rows(pointers(lengths), items, values, times)
