"""Several workers: real processes, real signals."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.service_process import Process, eventually, running

WORKERS = 3
ADMIN_KEY = "an-admin-key-for-tests"


@pytest.fixture
def root(tmp_path: Path, publish_small: Callable[..., str]) -> Path:
    """A directory with one artifact."""
    publish_small(tmp_path / "artifacts")
    return tmp_path / "artifacts"


@pytest.fixture
def service(root: Path, tmp_path: Path) -> Iterator[Process]:
    """A service of three workers, all of them ready."""
    with running(
        root, tmp_path / "log", workers=str(WORKERS), reload_seconds="0.1", admin_key=ADMIN_KEY
    ) as process:
        eventually(lambda: len(workers(process)) == WORKERS)
        eventually(lambda: process.status("/ready") == 200)
        yield process


def workers(service: Process) -> set[int]:
    """Process ids of the workers."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    return {int(pid) for pid in children.read_text().split()}


def versions(service: Process, answers: int = 30) -> set[str | None]:
    """The versions that answer new connections; None: no model yet."""
    url = f"http://127.0.0.1:{service.port}/recommend?user_id=u1"
    return {httpx.get(url).json().get("model_version") for _ in range(answers)}


def metric(service: Process, series: str) -> float:
    """The value of one series."""
    lines = service.client.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " "))


def test_counts_are_those_of_all_workers(service: Process) -> None:
    """Whichever worker answers /metrics, it has what all of them have counted, dead ones included."""
    name = 'foldrec_requests_total{route="GET /recommend",status="200"}'
    answered = set()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(httpx.Client(base_url=service.client.base_url))
            answered.add(client.get("/recommend?user_id=u1").headers["x-request-id"][:8])
    assert len(answered) > 1, "one worker took every connection"
    assert metric(service, name) == 20
    os.kill(min(workers(service)), signal.SIGKILL)
    eventually(lambda: len(workers(service)) == WORKERS)
    service.client.close()
    service.client = httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=20)
    assert metric(service, name) == 20


def test_killed_worker_is_replaced(service: Process) -> None:
    """After SIGKILL there are as many workers as before, the new one answers, and the log says so."""
    before = workers(service)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(workers(service)) == WORKERS and victim not in workers(service))
    assert len(workers(service) - before) == 1
    for pid in workers(service) & before:
        os.kill(pid, signal.SIGSTOP)  # now only the new one can answer
    try:
        assert len(versions(service, answers=3)) == 1
    finally:
        for pid in workers(service) & before:
            os.kill(pid, signal.SIGCONT)
    assert any(f"worker {victim} ended (exit code -9)" in line["message"] for line in service.log())


def test_every_worker_serves_a_new_version_and_no_request_fails(
    service: Process, root: Path, publish_small: Callable[..., str]
) -> None:
    """While a client asks without pause, publishing replaces all workers; every answer is a good one."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            statuses.append(httpx.get(f"http://127.0.0.1:{service.port}/recommend?user_id=u1").status_code)

    before = workers(service)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        second = publish_small(root, seed=1)
        eventually(lambda: not workers(service) & before and len(workers(service)) == WORKERS)
        assert versions(service) == {second}
    finally:
        stop.set()
        thread.join()
    assert set(statuses) == {200}


def test_cursors_go_on_in_any_worker_of_any_generation(
    service: Process, root: Path, publish_small: Callable[..., str]
) -> None:
    """Whichever worker answers, a cursor is good, also if it was forked with the next model."""
    path = f"http://127.0.0.1:{service.port}/recommend?user_id=u1&k=3&cursor="
    [first] = versions(service)
    cursor = httpx.get(path).json()["next_cursor"]
    page = httpx.get(path + cursor).json()
    assert [item["rank"] for item in page["items"]] == [4, 5, 6]
    publish_small(root, seed=1)
    eventually(lambda: first not in versions(service))
    answers = [httpx.get(path + cursor) for _ in range(20)]
    assert [answer.json() for answer in answers] == [page] * 20
    assert {answer.headers["x-model-version"] for answer in answers} == {first}


def test_damaged_artifact_leaves_all_workers(
    service: Process, root: Path, publish_small: Callable[..., str]
) -> None:
    """A refused artifact is logged and counted, and replaces nobody; a good one after it is taken."""
    before, first = workers(service), versions(service)
    bad = publish_small(root.parent / "staged", seed=1)
    factors = root.parent / "staged" / bad / "user_factors.npy"
    factors.write_bytes(factors.read_bytes()[:-1] + b"?")
    (root.parent / "staged" / bad).rename(root / bad)
    (root / "new").write_text(bad + "\n")
    (root / "new").replace(root / "CURRENT")
    eventually(lambda: any(line["message"].startswith("artifact refused") for line in service.log()))
    assert workers(service) == before
    assert versions(service) == first
    assert metric(service, 'foldrec_reload_total{result="refused"}') == 1
    third = publish_small(root, seed=2)
    eventually(lambda: versions(service, answers=5) == {third})


def test_reload_answers_when_all_workers_have_the_new_version(
    root: Path, tmp_path: Path, publish_small: Callable[..., str]
) -> None:
    """POST /admin/reload names both versions; a refused artifact is said to be so."""
    headers = {"x-api-key": ADMIN_KEY}
    with running(root, tmp_path / "log", workers="2", reload_seconds="3600", admin_key=ADMIN_KEY) as service:
        eventually(lambda: service.status("/ready") == 200)
        (first,) = versions(service)
        second = publish_small(root, seed=1)
        assert versions(service) == {first}
        swap = service.client.post("/admin/reload", headers=headers).json()
        assert swap == {"old_version": first, "new_version": second}
        eventually(lambda: versions(service) == {second})
        (root / "CURRENT").write_text("nonsense\n")
        refused = httpx.post(f"http://127.0.0.1:{service.port}/admin/reload", headers=headers)
        assert refused.status_code == 409
        assert "nonsense" in refused.json()["detail"]
        assert versions(service) == {second}


def test_starts_without_an_artifact(tmp_path: Path, publish_small: Callable[..., str]) -> None:
    """Workers answer that they are not ready, and are replaced by ones that are."""
    with running(tmp_path / "none", tmp_path / "log", workers="2", reload_seconds="0.1") as service:
        assert service.status("/ready") == 503
        version = publish_small(tmp_path / "none")
        eventually(lambda: versions(service, answers=10) == {version})


def test_sigterm_ends_all_after_the_requests_in_flight(service: Process) -> None:
    """A request whose body is on its way is answered; then parent and workers are gone."""
    body = b'{"interactions":[{"item_id":"i1"}],"k":3}'
    pids = workers(service)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(
            b"POST /fold-in HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body[:10]
        )
        time.sleep(0.1)  # it is with a worker now
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[10:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert service.process.wait(timeout=30) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_end_with_their_parent(service: Process) -> None:
    """When the parent is killed, no worker goes on answering."""
    pids = workers(service)
    service.process.kill()
    service.process.wait()
    eventually(lambda: not any(_runs(pid) for pid in pids))
    service.process.returncode = 0  # as expected here


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return False
