"""The real thing: ``python -m app`` as a process of its own, real artifacts, real signals."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_info

from app.main import create_app
from app.settings import Settings
from tests.service_process import ROOT, Process, eventually, running

QUICK = "0.1"


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start processes; they end with the test."""
    with contextlib.ExitStack() as stack:

        def _launch(artifacts: Path, **settings: str) -> Process:
            return stack.enter_context(running(artifacts, tmp_path / "log", **settings))

        yield _launch


def test_sigterm_lets_a_request_in_flight_finish(launch: Callable[..., Process], artifacts: Path) -> None:
    """A request whose body is still on its way when SIGTERM arrives is answered; new connections are not."""
    service = launch(artifacts)
    body = b'{"interactions":[{"item_id":"i1"}],"k":3}'
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(
            b"POST /fold-in HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body[:10]
        )
        assert service.status("/live") == 200  # by now the other request has begun
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: _refuses(service.port))
        assert service.process.poll() is None
        connection.sendall(body[10:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(timeout=20) in (0, -signal.SIGTERM)


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_waits_for_a_bounded_time(launch: Callable[..., Process], artifacts: Path) -> None:
    """A client that never finishes its request does not keep the process alive."""
    service = launch(artifacts, drain_seconds="1")
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(
            b"POST /fold-in HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99\r\n\r\n{"
        )
        assert service.status("/live") == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=20) in (0, -signal.SIGTERM)


def test_starts_without_an_artifact_and_serves_it_when_it_appears(
    launch: Callable[..., Process], tmp_path: Path, publish_small: Callable[..., str]
) -> None:
    """An empty, even a missing directory is a service that is not ready; publishing makes it so."""
    root = tmp_path / "not" / "there"
    service = launch(root, reload_seconds=QUICK)
    assert service.status("/ready") == 503
    version = publish_small(root)
    eventually(lambda: service.status("/ready") == 200)
    assert service.client.get("/recommend?user_id=u1").json()["model_version"] == version


def test_damaged_artifact_is_refused_and_the_old_one_serves_on(
    launch: Callable[..., Process], tmp_path: Path, publish_small: Callable[..., str]
) -> None:
    """A new version with one flipped byte is refused by name; a whole one after it is taken."""
    first = publish_small(tmp_path / "a")
    service = launch(tmp_path / "a", reload_seconds=QUICK)
    for number, file in enumerate(("user_factors.npy", "item_ids.marisa", "manifest.json"), start=1):
        staged = tmp_path / f"staged-{number}"
        second = publish_small(staged, seed=number)
        damaged = staged / second / file
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        (staged / second).rename(tmp_path / "a" / second)
        _point_to(tmp_path / "a", second)
        eventually(lambda number=number: len(_refusals(service)) == number)  # type: ignore[misc]
        assert file in _refusals(service)[-1]["message"]
        assert service.client.get("/recommend?user_id=u1").json()["model_version"] == first
    third = publish_small(tmp_path / "a", seed=9)
    eventually(lambda: service.client.get("/ready").json()["model_version"] == third)


def _point_to(root: Path, version: str) -> None:
    new = root / "CURRENT.new"
    new.write_text(version + "\n")
    new.replace(root / "CURRENT")


def _refusals(service: Process) -> list[dict[str, Any]]:
    return [line for line in service.log() if line["message"].startswith("artifact refused")]


def test_log_is_json_lines_without_keys_or_bodies(launch: Callable[..., Process], artifacts: Path) -> None:
    """Every line is one JSON object; neither keys nor what was posted is in any of them."""
    service = launch(artifacts, api_keys="s3cret-key", log_level="debug", access_log="true")
    headers = {"x-api-key": "s3cret-key"}
    service.client.post("/fold-in", json={"interactions": [{"item_id": "private-item"}]}, headers=headers)
    service.client.get("/model", headers={"x-api-key": "s3cret-guess"})
    service.stop()
    assert {"time", "level", "logger", "message"} <= set(service.log()[0])
    assert any("/fold-in" in line["message"] for line in service.log())
    assert "s3cret" not in service.log_file.read_text()
    assert "private-item" not in service.log_file.read_text()


def test_no_access_log_by_default(launch: Callable[..., Process], artifacts: Path) -> None:
    """Requests that succeed leave no line."""
    service = launch(artifacts)
    before = len(service.log())
    assert service.status("/recommend?user_id=u1") == 200
    assert len(service.log()) == before


def test_taken_port_ends_the_process(launch: Callable[..., Process], artifacts: Path) -> None:
    """A port in use is one line that names the variable and the remedy, and exit code 2."""
    service = launch(artifacts)
    _ends_with_code_2(
        f"foldrec: FOLDREC_PORT={service.port}: something listens on 127.0.0.1 port {service.port} already",
        port=str(service.port),
    )


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("203.0.113.7", id="address of another machine"),  # RFC 5737: nobody's
        pytest.param("a..b", id="no host name at all"),
    ],
)
def test_unusable_host_ends_the_process(host: str) -> None:
    """A host that cannot be listened on is one line that names variable and remedy, and exit code 2."""
    _ends_with_code_2(f"foldrec: FOLDREC_HOST='{host}': ", host=host, port="0")


def _ends_with_code_2(line: str, **settings: str) -> None:
    variables = {f"FOLDREC_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert "set FOLDREC_" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def _blas_threads_while_serving() -> set[int]:
    app = create_app(Settings(artifacts=Path("nowhere")))
    async with app.router.lifespan_context(app):
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_blas_has_one_thread_while_serving() -> None:
    """The service limits BLAS by itself, without an environment variable."""
    import asyncio  # noqa: PLC0415 - the only coroutine of this module

    assert asyncio.run(_blas_threads_while_serving()) == {1}
