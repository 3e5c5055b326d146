"""``python -m app`` as a process of its own, for tests that need the real thing."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]


class Process:
    """A running service on a free port of the loopback interface."""

    def __init__(self, artifacts: Path, log: Path, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        variables = {"artifacts": str(artifacts), "port": str(self.port), **settings}
        environment = os.environ | {f"FOLDREC_{name.upper()}": value for name, value in variables.items()}
        self.log_file = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=output, stdout=output
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        try:
            eventually(lambda: self.status("/live") == 200)
        except BaseException:
            self.stop()
            raise

    def status(self, path: str) -> int | None:
        """The status of GET, None while nobody listens."""
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            assert self.process.poll() is None, self.log_file.read_text()
            return None

    def log(self) -> list[dict[str, Any]]:
        """The lines logged so far; every one is a JSON object."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def stop(self) -> None:
        """Stop it, whatever its state."""
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(timeout=30) in (0, -signal.SIGTERM), self.log_file.read_text()


@contextlib.contextmanager
def running(artifacts: Path, log: Path, **settings: str) -> Iterator[Process]:
    """Start a service and stop it afterwards."""
    process = Process(artifacts, log, **settings)
    try:
        yield process
    finally:
        process.stop()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; give up long after it should have."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "this never became true"
        time.sleep(0.02)
