"""The session with a cluster, and what of its errors a user can act on."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from models import errors
from models.errors import ConfigError, DataError, FoldrecError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import DataFrame

_LOGGING: Final = Path(__file__).with_name("log4j2.properties")
_DEFAULTS: Final = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}",
    "spark.sql.session.timeZone": "UTC",
    # What is written is read once, on the same network; the other codecs load native code from /tmp.
    "spark.sql.parquet.compression.codec": "uncompressed",
    # Otherwise a row of too many fields passes where not all columns are asked for.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
}
_LOOPBACK: Final = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
"""Where the cluster is on this machine, nobody else has to be heard."""
_PYTHON: Final = "PYSPARK_PYTHON"
"""Names the executors' Python, which needs this package; no setting of a session does."""
_OURS: Final = re.compile(r"^models\.errors\.(\w+): (.*)$", re.MULTILINE)
_LOCAL_HOSTS: Final = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """How to reach a cluster.

    Attributes:
        master: such as ``spark://host:7077``, or ``local[2]`` for threads of this machine.
        work: a directory that the driver and all executors see under the same path.
        settings: further Spark settings by name; they win over ours.
    """

    master: str
    work: Path
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A session and a directory of its own for what passes between the driver and the executors."""

    spark: SparkSession
    directory: Path

    def write(self, name: str, frame: DataFrame) -> Path:
        """Have the executors write a table as Parquet; returns its directory.

        Raises:
            ConfigError: what they wrote is not to be seen from here.
        """
        path = self.directory / name
        frame.write.parquet(_address(path))
        if not parts(path):
            raise ConfigError(
                f"{path}: the executors have written what this process cannot see; give a --work-dir that "
                "the driver and all executors share"
            )
        return path

    def read(self, path: Path) -> DataFrame:
        """A table that either side has written."""
        return self.spark.read.parquet(_address(path))


def _address(path: Path) -> str:
    """A path as Spark wants it: on the file system, whatever its default is, and not percent-encoded."""
    return f"file://{path}"


def parts(directory: Path) -> list[Path]:
    """The files of a table in the order of its rows."""
    return sorted(directory.glob("part-*.parquet"))


@contextmanager
def workspace(cluster: Cluster) -> Iterator[Workspace]:
    """A session until the block ends; its directory is removed then.

    Raises:
        ConfigError: no session can be had.
        DataError, TrainingError: what Spark says of a failure inside the block.
    """
    if not cluster.work.is_dir():
        raise ConfigError(f"--work-dir {cluster.work}: there is no such directory; make it first")
    directory = Path(tempfile.mkdtemp(prefix="foldrec-spark-", dir=cluster.work.resolve()))
    try:
        spark = _session(cluster)
        try:
            spark.sparkContext.setCheckpointDir(_address(directory / "checkpoints"))
            with _translated():
                yield Workspace(spark, directory)
        finally:
            spark.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _session(cluster: Cluster) -> SparkSession:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise ConfigError(
            "Spark needs Java 17 or 21, and there is no `java` here; install it, or set JAVA_HOME"
        )
    if _is_here(cluster.master):
        os.environ.setdefault(_PYTHON, sys.executable)
    builder = SparkSession.builder.master(cluster.master).appName("foldrec")
    settings = {**_DEFAULTS, **(_LOOPBACK if _is_here(cluster.master) else {}), **cluster.settings}
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, Py4JError) as error:
        raise ConfigError(
            f"--master {cluster.master}: no session with it can be had ({_said(error)}); check the address, "
            "that the cluster runs the same version of Spark, and that Java is 17 or 21"
        ) from error


def _is_here(master: str) -> bool:
    return master.startswith("local") or urlsplit(master).hostname in _LOCAL_HOSTS


@contextmanager
def _translated() -> Iterator[None]:
    """Spark's errors as ours: one line, without a traceback."""
    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise _translation(error) from error


def _translation(error: PySparkException | Py4JError) -> FoldrecError:
    ours = _OURS.search(str(error))
    if ours is not None:  # raised by our own code in an executor
        kind: type[FoldrecError] = getattr(errors, ours[1])
        return kind(ours[2])
    if isinstance(error, PySparkException) and error.getCondition() == "PATH_NOT_FOUND":
        return DataError(f"{_said(error)} Check the path, and that all executors see it")
    return TrainingError(f"Spark gave up: {_said(error)}; the logs of the executors say more")


def _said(error: Exception) -> str:
    """The first line that says anything, and that of its cause if it has one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("An error occurred while calling")]
    causes = [line for line in lines if line.startswith("Caused by:")]
    return " ".join(dict.fromkeys([*lines[:1], *causes[-1:]])) or type(error).__name__
