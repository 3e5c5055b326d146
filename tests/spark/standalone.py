"""A real standalone cluster on loopback: a master and some workers, each a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

EXECUTOR = "CoarseGrainedExecutorBackend"
SETTINGS = {
    "spark.driver.memory": "700m",
    "spark.executor.memory": "700m",
    "spark.default.parallelism": "2",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
}
"""Little memory, and few partitions: most of the time of small tables goes to starting tasks."""


def missing() -> str | None:
    """What a cluster lacks here, in words; None if nothing."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed: pip install 'foldrec[spark]'"
    java = shutil.which("java")
    if java is None:
        return "there is no Java here, and Spark needs 17 or 21"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) < 17:
        return f"Spark needs Java 17 or 21, and here is {said.splitlines()[0] if said else 'another'}"
    return None


@dataclass
class Standalone:
    """A running cluster.

    Attributes:
        url: of the master.
        processes: the master, then the workers.
        directory: of their logs and of the executors' work.
    """

    url: str
    processes: list[subprocess.Popen]
    directory: Path

    def executors(self) -> list[int]:
        """Process ids of the executors that run now."""
        workers = {process.pid for process in self.processes[1:]}
        return sorted(pid for pid in running() if parent(pid) in workers and EXECUTOR in command(pid))

    def family(self) -> list[int]:
        """Process ids of the whole cluster, executors included."""
        return [process.pid for process in self.processes] + self.executors()

    def launched(self) -> int:
        """How many executors have ever been started."""
        return len(list(self.directory.glob("work-*/app-*/*/stderr")))


@contextmanager
def standalone(directory: Path, *, workers: int = 2, cores: int = 1, memory: str = "800m"):
    """Start a cluster; it is stopped, executors and all, at the end."""
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    ports = ("--host", "127.0.0.1", "--webui-port", "0")
    cluster = Standalone(url, [], directory)
    try:
        start(cluster, "master.Master", *ports, "--port", str(port))
        wait_for(directory / "0.log", "I have been elected leader")
        for number in range(1, workers + 1):
            own = ("--cores", str(cores), "--memory", memory, "--work-dir", str(directory / f"work-{number}"))
            start(cluster, "worker.Worker", *ports, *own, url)
        for number in range(1, workers + 1):
            wait_for(directory / f"{number}.log", "Successfully registered with master")
        yield cluster
    finally:
        stop(cluster)


def start(cluster: Standalone, name: str, *words: str) -> None:
    """Start one process of the cluster, its log in a file of its number."""
    import pyspark  # noqa: PLC0415 - an extra

    home = Path(pyspark.__file__).parent
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_LOCAL_DIRS": str(cluster.directory),
        "PYSPARK_PYTHON": sys.executable,
    }
    with (cluster.directory / f"{len(cluster.processes)}.log").open("w") as log:
        process = subprocess.Popen(
            [home / "bin" / "spark-class", f"org.apache.spark.deploy.{name}", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    cluster.processes.append(process)


def stop(cluster: Standalone) -> None:
    """End the workers and the master, and what executors they leave."""
    executors = cluster.executors()
    for process in reversed(cluster.processes):
        process.terminate()
    for process in cluster.processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for executor in executors:
        if EXECUTOR in command(executor):
            os.kill(executor, signal.SIGKILL)


def wait_for(log: Path, words: str, seconds: float = 60) -> None:
    """Wait until a process has said something."""
    deadline = time.monotonic() + seconds
    while words not in log.read_text(errors="replace"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{log} does not say {words!r}:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def running() -> list[int]:
    """All process ids."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def parent(pid: int) -> int:
    """The process that started another; 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def children(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return found + [grandchild for child in found for grandchild in children(child)]


def command(pid: int) -> str:
    """The words of a process; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def listening(pids: list[int]) -> set[str]:
    """The addresses, in hex as the kernel has them, at which processes listen."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(link.readlink().name)
            except OSError:
                continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(fields[1].rpartition(":")[0])
    return found
