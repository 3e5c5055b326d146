"""From a table that Spark reads to a dataset, and what fits a family to it on the cluster."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.engines.spark.cluster import workspace
from models.engines.spark.fit import BLOCKS, SparkFit, on_spark
from models.engines.spark.numbered import number
from models.engines.spark.table import read_interactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.dataset import Dataset
    from models.engines.spark.cluster import Cluster
    from models.families.base import Family
    from models.interactions import BadRowPolicy, DuplicatePolicy
    from models.layouts import Layout
    from models.tables import LoadReport


@dataclass(frozen=True, slots=True)
class SparkReading:
    """A table as a cluster has read it.

    Attributes:
        dataset: its histories are memory-mapped.
        fitted_by: the family, fitted by the cluster.
        report: what reading came to.
    """

    dataset: Dataset
    fitted_by: SparkFit
    report: LoadReport


@contextmanager
def spark_reading(
    cluster: Cluster,
    path: str,
    layout: Layout,
    *,
    family: Family,
    duplicates: DuplicatePolicy,
    on_bad_row: BadRowPolicy,
    least: tuple[int, int],
) -> Iterator[SparkReading]:
    """Read a table of interactions; what comes of it can be used until the block ends.

    Args:
        cluster: how to reach it.
        path: anything that Spark reads.
        layout: the format and the columns.
        family: what is to be fitted.
        duplicates: see `models.engines.spark.table.read_interactions`.
        on_bad_row: likewise.
        least: likewise.

    Raises:
        ConfigError: no session can be had, or Spark cannot fit the family.
        DataError: the table cannot be used.
        TrainingError: Spark failed inside the block.
    """
    fitted = on_spark(family)
    with workspace(cluster) as space:
        table = read_interactions(
            space, path, layout, duplicates=duplicates, on_bad_row=on_bad_row, least=least
        )
        dataset, entries = number(space, table)
        blocks = int(space.spark.conf.get("spark.default.parallelism", str(BLOCKS)))
        fit = SparkFit(space, fitted, dataset.histories, entries, blocks=blocks)
        yield SparkReading(dataset, fit, table.report)
