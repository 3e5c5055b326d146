"""How command lines name a Spark cluster. Spark is an extra: nothing needs it until it is asked for."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.dataset_directory import DESCRIPTION
from models.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.engines.spark.cluster import Cluster

MasterOption = Annotated[
    str | None, typer.Option(metavar="URL", help="--engine spark: such as spark://host:7077.")
]
WorkDirOption = Annotated[
    Path | None,
    typer.Option(
        help="--engine spark: a directory that driver and executors share; without: this machine's own for "
        "temporary files."
    ),
]
SparkSettingsOption = Annotated[
    list[str], typer.Option("--spark-conf", metavar="NAME=VALUE", help="Further settings of Spark.")
]


def spark_cluster(master: str | None, work_dir: Path | None, settings: Sequence[str]) -> Cluster:
    """The cluster that the options name.

    Raises:
        ConfigError: none is named, a setting is not ``name=value``, or pyspark is not installed.
    """
    if master is None:
        raise ConfigError(
            "--engine spark needs a --master: spark://host:7077, or local[2] for two threads of this machine"
        )
    if find_spec("pyspark") is None:
        raise ConfigError("--engine spark needs pyspark; install foldrec[spark], and Java 17 or 21")
    from models.engines.spark.cluster import Cluster  # noqa: PLC0415 - an extra

    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (name and equals):
            raise ConfigError(f"--spark-conf {setting}: write name=value")
        values[name] = value
    return Cluster(master, work_dir or Path(tempfile.gettempdir()), values)


def is_described(interactions: str, cluster: Cluster | None) -> bool:
    """Whether a path is a directory of scripts.fetch; for Spark, any other directory is a table in parts."""
    path = Path(interactions)
    return path.is_dir() if cluster is None else (path / DESCRIPTION).is_file()
