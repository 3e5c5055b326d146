"""Compose profile `spark`: a master, two workers and the train job; the service serves what they made."""

import os
from collections.abc import Iterator

import pytest

from tests.docker.engine import USER, Stack, compose_spelling, free_port

pytestmark = [pytest.mark.docker, pytest.mark.spark, pytest.mark.timeout(3600)]

PROFILE = ("--profile", "spark")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Trained on the cluster; taken down with its volumes at the end."""
    running = Stack([*compose_spelling(), *PROFILE], f"foldrec-spark-{os.getpid()}", free_port())
    try:
        running.up("--build", "--exit-code-from", "spark-train", "spark-train")
        yield running
    finally:
        running("down", "--volumes", "--timeout", "20", check=False)


def test_both_workers_took_part(stack: Stack) -> None:
    """The job ended well, and each worker had an executor."""
    assert stack.inspect("spark-train")["State"]["ExitCode"] == 0
    assert "published /artifacts/" in stack("logs", "spark-train").stdout
    for worker in ("spark-worker-1", "spark-worker-2"):
        assert "Asked to launch executor" in stack("logs", worker).stdout


@pytest.mark.parametrize("service", ["spark-master", "spark-worker-1", "spark-train"])
def test_the_cluster_has_no_rights_and_no_port(stack: Stack, service: str) -> None:
    """No container of the cluster is root, can write to its own file system, or is reached from outside."""
    described = stack.inspect(service)
    host = described["HostConfig"]
    assert described["Config"]["User"] == USER
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["PortBindings"]


def test_the_service_serves_what_the_cluster_trained(stack: Stack) -> None:
    """`up` finds the artifact, trains nothing, and answers from it.

    Last in this file: it starts further containers.
    """
    stack.up("--build", "--detach", "api")
    stack.wait_until_healthy()
    assert "nothing to do: /artifacts holds" in stack("logs", "train").stdout
    status, model = stack.get("/model")
    assert (status, model["family"]) == (200, "spark_ials")
    status, answer = stack.get("/recommend?user_id=196&k=5")
    assert (status, answer["source"], len(answer["items"])) == (200, "factors", 5)
