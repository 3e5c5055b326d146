"""A real engine, and compositions that run on it."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
USER = "10001:10001"
T = TypeVar("T")


def run(
    *words: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command in the repository's root; its output belongs to the error if it fails."""
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **(env or {})}, text=True, capture_output=True, check=False
    )
    if check and done.returncode != 0:
        pytest.fail(
            f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
    return done


def compose_spelling() -> list[str]:
    """``docker compose`` or ``docker-compose``, whichever is here; a skip where no engine answers."""
    if shutil.which("docker") is None:
        pytest.skip("no Docker here: there is no command `docker`")
    engine = run("docker", "info", "--format", "{{.ServerVersion}}", check=False)
    if engine.returncode != 0:
        pytest.skip(f"no Docker engine answers: {engine.stderr.strip() or engine.stdout.strip()}")
    if run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is not None:
        return ["docker-compose"]
    pytest.skip("there is a Docker engine, but neither `docker compose` nor `docker-compose`")


def until(condition: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """Waits for a condition to give something."""
    deadline = time.monotonic() + seconds
    while (found := condition()) is None:
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)
    return found


@dataclass(frozen=True)
class Stack:
    """A running composition of its own name, on a free port."""

    compose: list[str]
    project: str
    port: int
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs compose on this project."""
        return run(
            *self.compose, "-p", self.project, *words, check=check, env={"PORT": str(self.port), **self.env}
        )

    def up(self, *options: str) -> None:
        """Starts the composition; where that fails, with what its containers said."""
        done = self("up", *options, check=False)
        if done.returncode != 0:
            said = self("logs", "--no-color", "--tail", "30", check=False).stdout
            pytest.fail(f"up: exit {done.returncode}\n{done.stderr[-2000:]}\n{said[-4000:]}")

    def containers(self, service: str) -> list[str]:
        """The containers of a service, finished or running."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        return run("docker", "ps", "--all", "--quiet", "--no-trunc", *filters).stdout.split()

    def container(self, service: str) -> str:
        """The only container of a service."""
        (found,) = self.containers(service)
        return found

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        (described,) = json.loads(run("docker", "inspect", self.container(service)).stdout)
        return dict(described)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def wait_until_healthy(self) -> None:
        """Waits for the image's own health check."""
        until(
            lambda: self.inspect("api")["State"]["Health"]["Status"] == "healthy" or None,
            seconds=60,
            what="a healthy api",
        )


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
