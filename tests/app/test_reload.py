"""A new model appears, is taken or refused, and nobody notices but by its version."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

FIRST, SECOND, THIRD = "20260101T000000Z-0001", "20260102T000000Z-0002", "20260103T000000Z-0003"
QUICK = 0.05
"""Seconds between two looks for a new model."""


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; give up long after it should have."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "this never became true"
        time.sleep(0.01)


def version(service: Any) -> str | None:
    """The version that answers."""
    return service.client.get("/live").headers.get("x-model-version")


def metric(service: Any, series: str) -> float:
    """The value of one series."""
    lines = service.client.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(series + " "))


def test_starts_without_a_model_and_picks_one_up(start: Callable[..., Any]) -> None:
    """/live answers from the start, /ready when the first model appears."""
    service = start(ready=False, reload_seconds=QUICK)
    assert service.client.get("/live").status_code == 200
    assert service.client.get("/ready").status_code == 503
    service.source.publish(FIRST)
    eventually(lambda: service.client.get("/ready").status_code == 200)
    assert service.client.get("/ready").json() == {"status": "ready", "model_version": FIRST}


def test_new_model_replaces_the_old(start: Callable[..., Any]) -> None:
    """The next look finds the new model; answers, header and metrics name it and no longer the old one."""
    service = start(reload_seconds=QUICK)
    service.source.publish(SECOND)
    eventually(lambda: version(service) == SECOND)
    assert service.client.get("/recommend?user_id=u1").json()["model_version"] == SECOND
    text = service.client.get("/metrics").text
    assert f'version="{SECOND}"' in text
    assert f'version="{FIRST}"' not in text
    assert metric(service, 'foldrec_reload_total{result="loaded"}') == 2


def test_refused_model_leaves_the_old_in_place(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged artifact is logged and counted once, however often looked at; a good one is then taken."""
    service = start(reload_seconds=QUICK)
    service.source.publish(SECOND, refuse="user_factors.npy: its SHA-256 differs")
    refused = 'foldrec_reload_total{result="refused"}'
    eventually(lambda: metric(service, refused) == 1)
    time.sleep(4 * QUICK)
    assert metric(service, refused) == 1
    assert version(service) == FIRST
    assert service.client.get("/recommend?user_id=u1").status_code == 200
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "user_factors.npy: its SHA-256 differs" in record.getMessage()
    service.source.publish(THIRD)
    eventually(lambda: version(service) == THIRD)


def test_reload_at_once(start: Callable[..., Any], admin_key: str) -> None:
    """POST /admin/reload answers the old and the new version, also where there is nothing new."""
    service = start(reload_seconds=3600, admin_key=admin_key)
    headers = {"x-api-key": admin_key}
    assert service.client.post("/admin/reload", headers=headers).json() == {
        "old_version": FIRST,
        "new_version": FIRST,
    }
    service.source.publish(SECOND)
    assert service.client.post("/admin/reload", headers=headers).json() == {
        "old_version": FIRST,
        "new_version": SECOND,
    }
    assert version(service) == SECOND


def test_refused_reload_says_why(start: Callable[..., Any], admin_key: str) -> None:
    """POST /admin/reload of a damaged artifact is a 409 with the reason; asking again tries again."""
    service = start(reload_seconds=3600, admin_key=admin_key)
    service.source.publish(SECOND, refuse="manifest.json: no such file; publish again")
    for attempt in (1, 2):
        answer = service.client.post("/admin/reload", headers={"x-api-key": admin_key})
        assert answer.status_code == 409
        assert answer.json()["detail"] == "manifest.json: no such file; publish again"
        assert metric(service, 'foldrec_reload_total{result="refused"}') == attempt
    assert version(service) == FIRST


def test_loader_that_breaks_is_a_refusal(start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a defect in loading leaves the old model in place and the watcher alive."""
    service = start(reload_seconds=QUICK)

    def broken() -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(service.source, "load", broken)
        service.source.publish(SECOND)
        eventually(lambda: metric(service, 'foldrec_reload_total{result="refused"}') == 1)
        assert version(service) == FIRST
    service.source.publish(THIRD)
    eventually(lambda: version(service) == THIRD)


def test_request_finishes_on_the_model_it_started_with(start: Callable[..., Any]) -> None:
    """A batch that straddles a swap is answered whole by the old model, body and header."""
    service = start(reload_seconds=QUICK)
    old = service.source.recommender
    with ThreadPoolExecutor() as pool:
        batch = pool.submit(service.client.post, "/recommend", json={"user_ids": ["slow", "u1"]})
        eventually(lambda: bool(old.asked))
        service.source.publish(SECOND)
        eventually(lambda: version(service) == SECOND)
        old.release.set()
        answer = batch.result()
    assert answer.headers["x-model-version"] == FIRST
    assert {result["model_version"] for result in answer.json()["results"]} == {FIRST}
