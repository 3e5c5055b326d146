"""Everybody's lists by a cluster: users are parted, items are broadcast, the lists are `models.top_lists`'s.

An executor maps the artifact's user side from where it lies, which all must see under one path, and writes
its users' lists as one file. A file has its name only when it is whole, and the same content whoever writes
it, so work that is done twice does no harm.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from models.artifact.arrays import HISTORY_INDPTR, HISTORY_ITEMS, HISTORY_VALUES, USER_FACTORS
from models.artifact.durable import remove_directory, rename_directory, unfinished_directory
from models.artifact.reader import USER_IDS
from models.engines.spark.cluster import workspace
from models.errors import ConfigError
from models.ids import IdMap
from models.list_table import Tally, list_table, write_tables
from models.row_solve import Rows
from models.top_lists import TopListMaker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from models.artifact import Artifact
    from models.engines.spark.cluster import Cluster
    from models.index.base import Eligible
    from models.row_rules import RowRule
    from models.types import Float32Array, RowArray

DONE: Final = "_SUCCESS"
"""An empty file beside the parts once all are there, as Spark itself leaves it."""
_TASKS_PER_CORE: Final = 4
_LEAST_USERS, _MOST_USERS = 256, 1 << 17
"""Of one task."""


@dataclass(frozen=True, slots=True)
class _ItemSide:
    """What every executor needs of the items."""

    rule: RowRule
    factors: Float32Array
    ids: list[str]
    eligible: Eligible | None


@dataclass(frozen=True, slots=True)
class _Job:
    """What a task is to do with its users."""

    artifact: Path
    output: Path
    k: int
    exclude_seen: bool


def recommend_all(
    cluster: Cluster,
    artifact: Artifact,
    users: RowArray,
    *,
    k: int,
    exclude_seen: bool,
    eligible: Eligible | None,
    output: Path,
) -> Tally:
    """Write the lists of some users as a directory of Parquet files, whose names are in the order of users.

    Args:
        cluster: how to reach it.
        artifact: a verified version, in a directory that all executors see.
        users: their rows, int32, shape ``(n,)``.
        k: length of the lists.
        exclude_seen: whether to leave out what a user has had.
        eligible: the only items to list; None: all.
        output: the directory, which all executors see; one of earlier lists is replaced at the end.

    Raises:
        ConfigError: no session can be had, `output` is something else than earlier lists, or the executors do
            not see the artifact.
        TrainingError: Spark gave up.
    """
    _check_replaceable(output)
    items = _ItemSide(
        artifact.manifest.row_rule, np.array(artifact.item_factors), list(artifact.items), eligible
    )
    with workspace(cluster) as space, unfinished_directory(output.absolute().parent) as directory:
        job = _Job(artifact.directory.absolute(), directory, k, exclude_seen)
        context = space.spark.sparkContext
        tasks = list(enumerate(_parted(users, context.defaultParallelism)))
        broadcast = context.broadcast(items)
        tallies = (
            context.parallelize(tasks, len(tasks))
            .map(lambda task: _write_part(job, broadcast.value, *task))
            .collect()
        )
        if len(list(directory.glob("part-*.parquet"))) < len(tasks):
            raise ConfigError(
                f"{output}: not all executors write to this directory; name one that they share"
            )
        (directory / DONE).touch()
        if output.is_dir():
            remove_directory(output)
        rename_directory(directory, output)
    return reduce(add, tallies, Tally())


def _check_replaceable(output: Path) -> None:
    if not output.exists():
        return
    if not output.is_dir() or any(
        path.name != DONE and not path.match("part-*.parquet") for path in output.iterdir()
    ):
        raise ConfigError(
            f"--output {output}: holds something else than lists; with --engine spark, name a new directory"
        )


def _parted(users: RowArray, cores: int) -> list[RowArray]:
    """The users of each task, in their order."""
    size = int(np.clip(len(users) // (cores * _TASKS_PER_CORE), _LEAST_USERS, _MOST_USERS))
    return [users[at : at + size] for at in range(0, len(users), size)]


def _write_part(job: _Job, items: _ItemSide, number: int, users: RowArray) -> Tally:
    """One task: the lists of some users in a file."""
    if not job.artifact.is_dir():
        raise ConfigError(
            f"{job.artifact}: an executor does not see this artifact; have it where all executors do"
        )
    factors, indptr, indices, values = (
        np.load(job.artifact / name, mmap_mode="r").view(np.ndarray)
        for name in (USER_FACTORS, HISTORY_INDPTR, HISTORY_ITEMS, HISTORY_VALUES)
    )
    user_ids = IdMap.open(job.artifact / USER_IDS)
    item_ids = pl.Series(items.ids, dtype=pl.String)
    maker = TopListMaker(items.rule, factors, items.factors, items.eligible)
    tally = Tally()

    def tables() -> Iterator[pl.DataFrame]:
        for block in maker.lists(users, job.k, Rows(indptr, indices, values) if job.exclude_seen else None):
            tally.count(block)
            yield list_table(block, user_ids, item_ids)

    unfinished = job.output / f".{number}-{secrets.token_hex(4)}"
    write_tables(unfinished, tables())
    unfinished.rename(job.output / f"part-{number:06}.parquet")
    return tally
