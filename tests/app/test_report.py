"""GET /model/report: the evaluation report that is kept with the model; nothing in it can act."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from models.artifact import attach_report, current_version

PAGE = "<!doctype html><title>Evaluation</title><p>été</p><script>alert(1)</script>"


@pytest.fixture
def root(tmp_path: Path, publish_small: Callable[..., str]) -> Path:
    """Artifacts with one version."""
    publish_small(tmp_path)
    return tmp_path


def test_report_is_shown_once_it_is_there(root: Path, serve: Callable[..., httpx.Client]) -> None:
    """404 with the remedy before; afterwards, without a reload, the page itself, and again when replaced."""
    client = serve(artifacts=root)
    refused = client.get("/model/report")
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/no-report")
    assert "scripts.evaluate --attach-to" in refused.json()["detail"]
    assert client.get("/model").json()["has_report"] is False
    for page in (PAGE, "another"):
        attach_report(root / current_version(root), page)
        shown = client.get("/model/report")
        assert (shown.status_code, shown.text) == (200, page)
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert client.get("/model").json()["has_report"] is True
    assert client.head("/model/report").status_code == 200


def test_report_is_of_the_version_served(
    root: Path, serve: Callable[..., httpx.Client], publish_small: Callable[..., str]
) -> None:
    """The report of another version is not shown for this one."""
    attach_report(root / current_version(root), PAGE)
    publish_small(root, seed=1)
    assert serve(artifacts=root).get("/model/report").status_code == 404


def test_nothing_in_a_report_can_act(root: Path, serve: Callable[..., httpx.Client]) -> None:
    """The policy allows inline styles and data URIs of images; no script, no other host, no origin."""
    attach_report(root / current_version(root), PAGE)
    headers = serve(artifacts=root).get("/model/report").headers
    directives = headers["content-security-policy"].split("; ")
    assert set(directives) == {
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "sandbox",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-cache"


def test_report_is_behind_the_key(root: Path, serve: Callable[..., httpx.Client], api_key: str) -> None:
    """It says as much of the model as `GET /model`, so it asks for the same key."""
    attach_report(root / current_version(root), PAGE)
    client = serve(artifacts=root, api_keys=(api_key,))
    assert client.get("/model/report").status_code == 401
    assert client.get("/model/report", headers={"x-api-key": api_key}).text == PAGE
