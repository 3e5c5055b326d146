"""The real thing: both images built, `up` on a real engine, questions over HTTP, `down`.

Runs as ``make test-docker``. The first run builds two images, which takes minutes.
"""

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.docker.engine import USER, Stack, compose_spelling, free_port, run

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Built, trained and serving; taken down with its volumes at the end."""
    running = Stack(compose_spelling(), f"foldrec-test-{os.getpid()}", free_port())
    try:
        running.up("--build", "--detach")
        running.wait_until_healthy()
        yield running
    finally:
        running("down", "--volumes", "--timeout", "20", check=False)


def test_recommends(stack: Stack) -> None:
    """A user of MovieLens 100K gets films by title from the model that was just trained."""
    status, answer = stack.get("/recommend?user_id=196&k=5")
    assert status == 200
    assert answer["source"] == "factors"
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5]
    status, model = stack.get("/model")
    assert status == 200
    assert model["family"] == "ials"
    status, item = stack.get(f"/items/{answer['items'][0]['item_id']}")
    assert status == 200
    assert item["metadata"]["title"]


@pytest.mark.parametrize("service", ["train", "api"])
def test_least_privilege(stack: Stack, service: str) -> None:
    """Neither container is root, can gain rights, or can write to its own file system."""
    described = stack.inspect(service)
    host = described["HostConfig"]
    assert described["Config"]["User"] == USER
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert set(host["Tmpfs"]) == {"/tmp"}


def test_the_running_api_has_no_rights(stack: Stack) -> None:
    """What the engine was told holds inside: a number for a user, no capability, nothing to write to."""
    status = stack("exec", "-T", "api", "cat", "/proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {"10001"}
    assert int(fields["CapEff"], 16) == 0
    assert int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    for place in ("/srv/foldrec/x", "/opt/foldrec/x", "/artifacts/x"):
        refused = stack("exec", "-T", "api", "touch", place, check=False)
        assert refused.returncode != 0
        assert "Read-only file system" in refused.stderr + refused.stdout
    stack("exec", "-T", "api", "touch", "/tmp/x")


def test_artifacts_are_written_by_train_only(stack: Stack) -> None:
    """One volume, writable where it is filled and read-only where it is served."""
    mounts = {
        service: {mount["Destination"]: mount for mount in stack.inspect(service)["Mounts"]}
        for service in ("train", "api")
    }
    assert mounts["train"]["/artifacts"]["RW"] is True
    assert mounts["api"]["/artifacts"]["RW"] is False
    assert mounts["train"]["/artifacts"]["Name"] == mounts["api"]["/artifacts"]["Name"]
    assert set(mounts["api"]) == {"/artifacts"}


def test_training_ends_before_the_api_starts(stack: Stack) -> None:
    """The api waits for the trainer's success; the trainer says where the data came from."""
    train = stack.inspect("train")["State"]
    assert (train["Status"], train["ExitCode"]) == ("exited", 0)
    assert train["FinishedAt"] < stack.inspect("api")["State"]["StartedAt"]
    log = stack("logs", "train").stdout
    assert "MovieLens is for research use" in log
    assert "(source: " in log


def test_up_again_trains_nothing(stack: Stack) -> None:
    """A second `up` finds the artifact and serves the same version."""
    version = stack.get("/model")[1]["model_version"]
    stack.up("--detach")
    stack.wait_until_healthy()
    assert "nothing to do: /artifacts holds" in stack("logs", "--tail", "3", "train").stdout
    assert stack.get("/model")[1]["model_version"] == version


def test_trainer_image_is_not_what_serves(stack: Stack) -> None:
    """The image that faces the network has no compiler, no pip and none of the trainer's packages."""
    assert stack.inspect("api")["Config"]["Image"] != stack.inspect("train")["Config"]["Image"]
    for package in ("implicit", "numba", "polars", "pip"):
        absent = stack("exec", "-T", "api", "python", "-c", f"import {package}", check=False)
        assert absent.returncode != 0, package
    assert stack("exec", "-T", "api", "sh", "-c", "command -v g++ cc make", check=False).returncode != 0


def test_stop_drains(stack: Stack) -> None:
    """A request whose body is still arriving when SIGTERM comes is answered before the process ends.

    Last in this file: it leaves the api stopped.
    """
    body = json.dumps({"interactions": [{"item_id": "50"}, {"item_id": "181"}], "k": 5}).encode()
    head = (
        "POST /fold-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as client:
        client.sendall(head.encode() + body[:10])
        time.sleep(0.5)  # so that the server has begun on it
        stopping = threading.Thread(
            target=run, args=("docker", "stop", "--time", "20", stack.container("api"))
        )
        stopping.start()
        time.sleep(1.5)  # so that SIGTERM has come
        client.sendall(body[10:])
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 200
        assert len(json.loads(response.read())["items"]) == 5
        response.close()
    stopping.join()
    # uvicorn shuts down in order, then lets SIGTERM end it: 128 + 15. Killed at the limit, it would be 137.
    assert stack.inspect("api")["State"]["ExitCode"] == 143
