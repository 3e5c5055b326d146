"""Replicas behind the balancer of docker-compose.scale.yml: one address, whatever becomes of one of them."""

import http.client
import os
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.docker.engine import USER, Stack, compose_spelling, free_port, run, until

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]

FILES = ("-f", "docker-compose.yml", "-f", "docker-compose.scale.yml")
LIST = "/recommend?user_id=196&k=5"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Built, trained and served by three; taken down with its volumes at the end."""
    running = Stack(
        [*compose_spelling(), *FILES],
        f"foldrec-scale-{os.getpid()}",
        free_port(),
        {"FOLDREC_CURSOR_KEY": "one-secret-for-all-replicas"},
    )
    try:
        running.up("--build", "--detach", "--scale", "api=3")
        until(lambda: len(replicas(running)) == 3 or None, seconds=120, what="three replicas")
        yield running
    finally:
        running("down", "--volumes", "--timeout", "20", check=False)


def ask(stack: Stack, path: str = LIST) -> tuple[int, str]:
    """Status of one answer over a connection of its own, and which process gave it."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status, (response.getheader("X-Request-ID") or "")[:8]
    finally:
        connection.close()


def replicas(stack: Stack) -> Counter[str]:
    """Which processes answer, of thirty requests."""
    try:
        answers = [ask(stack) for _ in range(30)]
    except (OSError, http.client.HTTPException):  # the balancer is not there yet
        return Counter()
    return Counter(process for status, process in answers if status == 200)


def test_the_replicas_share_the_requests(stack: Stack) -> None:
    """All three answer, each a good part, and with the same list."""
    counted = replicas(stack)
    assert len(counted) == 3
    assert min(counted.values()) >= 5
    assert len({str(stack.get(LIST)[1]["items"]) for _ in range(9)}) == 1


def test_a_cursor_goes_on_at_any_replica(stack: Stack) -> None:
    """Pages come from whichever replica is asked: they sign with the same key."""
    cursor, ids = "", []
    for _ in range(9):
        status, page = stack.get(f"{LIST}&cursor={cursor}")
        assert status == 200
        ids += [item["item_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert len(set(ids)) == len(ids) == 45


def test_the_balancer_has_no_rights(stack: Stack) -> None:
    """It is not root and cannot write; the replicas publish no port of their own."""
    described = stack.inspect("balancer")
    assert described["Config"]["User"] == USER
    assert described["HostConfig"]["ReadonlyRootfs"] is True
    assert described["HostConfig"]["CapDrop"] == ["ALL"]
    for container in stack.containers("api"):
        assert not run("docker", "port", container).stdout


def test_nobody_notices_that_a_replica_dies(stack: Stack) -> None:
    """One is killed and one stopped in order, under requests, each of which is answered."""
    killed, stopped, _ = stack.containers("api")
    run("docker", "update", "--restart", "no", killed, stopped)
    statuses: Counter[int] = Counter()
    for number in range(300):
        if number == 100:
            run("docker", "kill", killed)
        if number == 200:
            run("docker", "stop", "--time", "20", stopped)
        statuses[ask(stack)[0]] += 1
        time.sleep(0.01)
    assert statuses == {200: 300}
    assert len(replicas(stack)) == 1


def test_a_new_replica_is_found(stack: Stack) -> None:
    """Scaling up later needs nothing else; last in this file."""
    stack.up("--detach", "--scale", "api=4")
    until(lambda: len(replicas(stack)) >= 3 or None, seconds=60, what="more replicas")
