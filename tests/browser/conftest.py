"""A real browser before a real service. Runs as ``make test-browser``."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.artifact import attach_report, current_version, publish, versions
from models.dataset import Dataset
from models.ids import IdMap
from models.registry import configure
from models.row_solve import Rows
from models.training import TrainingPlan, train
from tests.service_process import Process, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx
    from playwright.sync_api import Browser, ConsoleMessage, Page

NASTY = [
    "<script>window.hacked = true</script>",
    "<img src=x onerror='window.hacked = true'>",
    'O\'Neill & "Sons" </textarea>',
    "Amélie à la plage – Ünïcode 東京",
]

REPORT = """<!doctype html><title>Evaluation</title><style>h1 { color: rgb(1, 2, 3) }</style>
<h1>Three models</h1><script>document.title = "hacked"</script><img src="https://pictures.example/1.png">"""
"""A report that tries what it must not."""

SANDBOX = ["--no-sandbox"] if os.geteuid() == 0 else []


def dataset(n_users: int, n_items: int, n_groups: int, per_user: int, titles: list[str]) -> Dataset:
    """People of some taste: each has items of their own group four times as often as others."""
    rng = np.random.default_rng(0)
    group = np.arange(n_items) % n_groups
    histories = []
    for user in range(n_users):
        weights = np.where(group == user % n_groups, 4.0, 1.0) / (10 + np.arange(n_items))
        chosen = rng.choice(n_items, per_user, replace=False, p=weights / weights.sum())
        histories.append(np.sort(chosen).astype(np.int32))
    indices = np.concatenate(histories)
    return Dataset(
        users=IdMap.build(f"u{n}" for n in range(n_users)),
        items=IdMap.build(f"i{n}" for n in range(n_items)),
        histories=Rows(
            np.arange(n_users + 1, dtype=np.int64) * per_user,
            indices,
            rng.integers(1, 6, len(indices)).astype(np.float32),
        ),
        has_values=True,
        metadata={
            f"i{n}": {
                "title": titles[n] if n < len(titles) else f"Title number {n}",
                "year": 1950 + n % 70,
                "genres": [f"Genre {group[n]}", "Any"],
                "image_url": f"https://pictures.example/{n}.png",
            }
            for n in range(n_items)
        },
    )


def publish_one(root: Path, table: Dataset, *, family: str = "ials", **config: Any) -> str:
    """Train and publish a version; returns its name."""
    plan = TrainingPlan(family=family, config=configure(family, config), holdout="random")
    return publish(root, *train(table, plan))


def chromium() -> str | None:
    """Where Chromium is, if it is anywhere."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, without a window; a skip where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright here: make test-browser installs it"
    )
    if chromium() is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium(), args=SANDBOX)
        yield launched
        launched.close()


@dataclass
class Visit:
    """A page of the playground, and what the browser complained of."""

    page: Page
    url: str
    complaints: list[str]

    def open(self, panel: str = "") -> Page:
        """Go to a panel."""
        self.page.goto(f"{self.url}/#{panel}")
        return self.page


def note(one: Visit, message: ConsoleMessage) -> None:
    """Keep what the console calls an error; that a request was refused is no fault of the page."""
    if message.type == "error" and not message.text.startswith("Failed to load resource"):
        one.complaints.append(message.text)


def until(page: Page, condition: str) -> None:
    """Wait for a JavaScript expression to hold; Playwright's own way needs eval, which the policy forbids."""
    deadline = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open pages; a console error or an uncaught exception in one of them fails the test."""
    contexts, visits = [], []

    def _visit(url: str, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        one = Visit(page, url, [])
        page.on("console", lambda message: note(one, message))
        page.on("pageerror", lambda error: one.complaints.append(str(error)))
        visits.append(one)
        return one

    yield _visit
    for context in contexts:
        context.close()
    assert [one.complaints for one in visits] == [[] for _ in visits]


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with titles that are traps, a report of it, and an older one. Not to be changed."""
    root = tmp_path_factory.mktemp("artifacts")
    table = dataset(80, 60, 3, 12, NASTY)
    publish_one(root, table, family="svd", factors=4)
    current = publish_one(root, table, factors=8)
    attach_report(root / current, REPORT)
    return root


@pytest.fixture(scope="session")
def older(artifacts: Path) -> str:
    """The version that is not served, but compared with."""
    return next(version for version in versions(artifacts) if version != current_version(artifacts))


@pytest.fixture(scope="session")
def service(artifacts: Path, older: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The small model, served, with the older one beside it."""
    with running(artifacts, tmp_path_factory.mktemp("log") / "log", compare_with=older) as process:
        yield process


@pytest.fixture(scope="session")
def api(service: Process) -> httpx.Client:
    """The same service, asked directly: the oracle of what the page shows."""
    return service.client


@pytest.fixture
def playground(service: Process, visit: Callable[..., Visit]) -> Visit:
    """A page of that service."""
    return visit(f"http://127.0.0.1:{service.port}")
