"""`pyspark.ml.recommendation.ALS`, and the closing sweep that makes its users ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from pyspark.ml.recommendation import ALS
from pyspark.sql import functions as F  # noqa: N812 - what everybody calls it

from models.engines.spark.numbered import BATCH_ROWS, batches, new_array
from models.errors import ConfigError, TrainingError
from models.families.base import FittedModel, closing_sweep, silent
from models.families.spark_mllib import SparkALS, SparkIALS, SparkIALSConfig
from models.row_rules import FixedSide

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame

    from models.dataset import Dataset
    from models.engines.spark.cluster import Workspace
    from models.families.base import Device, Family, Progress
    from models.row_rules import RowRule
    from models.row_solve import Rows
    from models.types import Float32Array

BLOCKS: Final = 10
"""Into how many blocks Spark parts the users, and the items, unless spark.default.parallelism says."""
_CHECKED_USERS: Final = 1_000
_TOLERANCE: Final = 1e-3
"""By how much of their length our users may miss Spark's; as both solve the same rows, far less is usual."""
_CHECKPOINT_INTERVAL: Final = 5
"""Iterations after which a lost executor's work is taken from disk rather than done again."""


class SparkFit:
    """A family of Spark's objectives, fitted by a cluster.

    Args:
        workspace: the session.
        family: states the objective.
        histories: what was read with the session, and ...
        entries: ... the same in Parquet; those of another dataset are written first.
        blocks: into how many parts the users, and the items, are divided; it also decides the factors that
            training begins with.
    """

    def __init__(
        self,
        workspace: Workspace,
        family: SparkALS | SparkIALS,
        histories: Rows,
        entries: Path,
        *,
        blocks: int,
    ) -> None:
        self._workspace = workspace
        self._family = family
        self._histories = histories
        self._entries = entries
        self._blocks = blocks
        self._n_fits = 0

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        self._family.check(dataset, device=device)

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,  # noqa: ARG002 - Spark tells nothing of its iterations
        device: Device = "cpu",
    ) -> FittedModel:
        """Factorize; see `models.families.base.Family.fit`.

        The user factors are memory-mapped in the work directory.

        Raises:
            TrainingError: Spark gave up, or its users are not the solutions of our row problem.
        """
        self.check(dataset, device=device)
        self._n_fits += 1
        directory = self._workspace.directory / f"fit-{self._n_fits}"
        directory.mkdir()
        entries = self._entries
        if dataset.histories is not self._histories:
            entries = write_entries(directory, dataset.histories)
        model = self._als(int(rng.integers(2**31))).fit(self._workspace.read(entries))
        shape = (len(dataset.items), self._family.config.factors)
        written = self._workspace.write(f"{directory.name}/item-factors", model.itemFactors)
        items = FixedSide(_read_factors(written, shape))
        rule = self._family.rule
        users = new_array(directory / "user_factors.npy", np.float32, (len(dataset.users), shape[1]))
        sweep_by_blocks(rule, dataset.histories, items, users)
        _check_users(model.userFactors, users)
        return FittedModel(rule, users, items, losses=[])

    def _als(self, seed: int) -> ALS:
        config = self._family.config
        return ALS(
            rank=config.factors,
            maxIter=config.iterations,
            regParam=config.regularization,
            implicitPrefs=isinstance(config, SparkIALSConfig),
            alpha=config.alpha if isinstance(config, SparkIALSConfig) else 1.0,
            userCol="user",
            itemCol="item",
            ratingCol="value",
            numUserBlocks=self._blocks,
            numItemBlocks=self._blocks,
            checkpointInterval=_CHECKPOINT_INTERVAL,
            seed=seed,
        )


def on_spark(family: Family) -> SparkALS | SparkIALS:
    """A family that Spark can fit.

    Raises:
        ConfigError: it is another.
    """
    if not isinstance(family, SparkALS | SparkIALS):
        raise ConfigError(
            "--engine spark trains the families spark_ials and spark_als; use --family with one of them"
        )
    return family


def sweep_by_blocks(
    rule: RowRule, histories: Rows, items: FixedSide, users: Float32Array, block: int = BATCH_ROWS
) -> None:
    """Solve every row into `users`, ``(n_users, D)``; memory grows with `block`, not with the users."""
    for first in range(0, len(histories), block):
        last = min(first + block, len(histories))
        users[first:last] = closing_sweep(rule, histories.span(first, last), items)


def write_entries(directory: Path, histories: Rows) -> Path:
    """The entries of some rows as a table for the executors."""
    path = directory / "entries"
    path.mkdir()
    for first in range(0, len(histories), BATCH_ROWS):
        rows = histories.span(first, min(first + BATCH_ROWS, len(histories)))
        frame = pl.DataFrame(
            {"user": rows.row_numbers + np.int32(first), "item": rows.indices, "value": rows.values}
        )
        frame.write_parquet(path / f"part-{first:012}.parquet", compression="uncompressed")
    return path


def _read_factors(directory: Path, shape: tuple[int, int]) -> Float32Array:
    """Factor rows by their numbers; zeros where Spark has none: float32, `shape`."""
    factors = np.zeros(shape, dtype=np.float32)
    for batch in batches(directory):
        factors[batch["id"].to_numpy()] = batch["features"].explode().to_numpy().reshape(-1, shape[1])
    return factors


def _check_users(theirs: DataFrame, ours: Float32Array) -> None:
    """Compare a sample of Spark's own user factors with ours.

    Raises:
        TrainingError: they differ, so this Spark solves another row problem than `models.row_rules.spark`.
    """
    step = max(1, len(ours) // _CHECKED_USERS)
    for row in theirs.where(F.col("id") % step == 0).collect():
        expected = np.array(row["features"], dtype=np.float32)
        difference = float(np.linalg.norm(ours[row["id"]] - expected))
        if difference > _TOLERANCE * max(float(np.linalg.norm(expected)), float(np.finfo(np.float32).tiny)):
            raise TrainingError(
                f"Spark's factors of user row {row['id']} miss the solution of their row problem by "
                f"{difference:.1e}: it is ill-conditioned; raise the regularization, or check the table for "
                "extreme values"
            )
