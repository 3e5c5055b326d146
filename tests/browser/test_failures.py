"""When something is wrong, the page says so in a plain sentence, says what to do, and goes on by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visit, dataset, publish_one
from tests.service_process import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Route

pytestmark = pytest.mark.browser

KEY = "a-key-for-tests"


def test_service_without_model_is_waited_for(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """No artifact: what to run; once there is one, the list comes without anybody touching the page."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    with running(artifacts, tmp_path / "log", reload_seconds="0.2") as process:
        page = visit(f"http://127.0.0.1:{process.port}").open()
        notice = page.locator("#notice")
        notice.get_by_text("No model is loaded yet").wait_for()
        assert "python -m scripts.train" in notice.inner_text()
        publish_one(artifacts, dataset(30, 20, 2, 6, []), factors=4)
        page.locator("#new-list .item").first.wait_for()
        assert notice.is_hidden()


def test_key_is_asked_for_once_and_kept_in_memory_only(
    visit: Callable[..., Visit], artifacts: Path, tmp_path: Path
) -> None:
    """A wrong key is said to be wrong, the right one opens every panel, and none is stored anywhere."""
    with running(artifacts, tmp_path / "log", api_keys=KEY) as process:
        page = visit(f"http://127.0.0.1:{process.port}").open()
        notice = page.locator("#notice")
        notice.get_by_text("asks for a key").wait_for()
        page.keyboard.type("a-wrong-key")  # the field has the focus
        page.keyboard.press("Enter")
        notice.get_by_text("That key was not accepted").wait_for()
        page.keyboard.type(KEY)
        page.keyboard.press("Enter")
        page.locator("#new-list .item").first.wait_for()
        for panel, shown in (
            ("user/u7", "#user-list .item"),
            ("item/i9", "#similar .item"),
            ("map", "#map-in-view a"),
        ):
            page.evaluate(f"location.hash = '#{panel}'")
            page.locator(shown).first.wait_for()
            assert notice.is_hidden()
        assert page.context.cookies() == []
        assert page.evaluate("localStorage.length + sessionStorage.length") == 0
        assert KEY not in page.content()
        page.reload()
        notice.get_by_text("asks for a key").wait_for()


def test_key_is_never_copied(visit: Callable[..., Visit], artifacts: Path, tmp_path: Path) -> None:
    """What is copied as curl names a variable where the key was sent."""
    with running(artifacts, tmp_path / "log", api_keys=KEY) as process:
        one = visit(f"http://127.0.0.1:{process.port}", permissions=["clipboard-read", "clipboard-write"])
        page = one.open("item/i9")
        page.fill("#key", KEY)
        page.press("#key", "Enter")
        page.locator("#similar .item").first.wait_for()
        page.locator("#similar-tools button").click()
        page.locator("#similar-tools").get_by_text("Copied").wait_for()
        command = page.evaluate("navigator.clipboard.readText()")
        assert KEY not in command
        assert '-H "X-API-Key: $API_KEY"' in command


def test_service_that_is_gone_is_waited_for(playground: Visit) -> None:
    """No answer: the page says so and tries again, at once when the button is pressed."""
    page = playground.open()
    page.locator("#new-list .item").first.wait_for()
    page.context.set_offline(True)
    page.locator("#new-list .actions button").first.click()
    page.locator("#notice").get_by_text("The service does not answer").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try now").click()
    page.get_by_text("Folded in from 1 item.").wait_for()
    assert page.locator("#notice").is_hidden()


def test_busy_service_is_left_alone(playground: Visit) -> None:
    """429: the page waits as long as Retry-After says, tells so, and tries again by itself."""
    page = playground.open()
    page.locator("#new-list .item").first.wait_for()
    refusals = 0

    def refuse_once(route: Route) -> None:
        nonlocal refusals
        refusals += 1
        if refusals == 1:
            route.fulfill(
                status=429, headers={"Retry-After": "1"}, json={"title": "Too many", "detail": "busy"}
            )
        else:
            route.continue_()

    page.route("**/fold-in", refuse_once)
    page.locator("#new-list .actions button").first.click()
    page.locator("#notice").get_by_text("The service is busy").wait_for()
    assert "1 s" in page.inner_text("#notice")
    page.get_by_text("Folded in from 1 item.").wait_for()
    assert page.locator("#notice").is_hidden()
    assert refusals == 2


def test_internal_error_is_told(playground: Visit) -> None:
    """A 500 is shown in its panel in the service's words, with nothing of a traceback."""
    page = playground.open()
    page.locator("#new-list .item").first.wait_for()
    words = "the error was logged under this request id (instance)"
    page.route("**/fold-in", lambda route: route.fulfill(status=500, json={"detail": words}))
    page.locator("#new-list .actions button").first.click()
    page.locator("#new-about").get_by_text(words).wait_for()


def test_family_without_uncertainty_says_so(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """Where a family cannot tell uncertainty, its refusal is shown and the list stays."""
    publish_one(tmp_path / "artifacts", dataset(30, 20, 2, 6, []), family="popularity")
    with running(tmp_path / "artifacts", tmp_path / "log") as process:
        page = visit(f"http://127.0.0.1:{process.port}").open()
        page.locator("#new-list .item").first.wait_for()
        page.click("#uncertainty")
        page.locator("#new-note").get_by_text("popularity").wait_for()
        assert page.locator("#uncertainty").is_disabled()
        assert page.locator("#new-list .item").count() == 10


def test_new_model_is_shown(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """When another version is served, the page shows it after the next answer."""
    artifacts = tmp_path / "artifacts"
    publish_one(artifacts, dataset(30, 20, 2, 6, []), factors=4)
    with running(artifacts, tmp_path / "log", reload_seconds="0.2") as process:
        page = visit(f"http://127.0.0.1:{process.port}").open("model")
        page.locator("#model-cards .panel").first.wait_for()
        newer = publish_one(artifacts, dataset(31, 20, 2, 6, []), factors=4)
        page.evaluate("location.hash = '#new'")
        while process.client.get("/model").json()["model_version"] != newer:
            page.wait_for_timeout(100)
        page.locator("#new-list .actions button").first.click()
        page.locator("#served").get_by_text("31 users").wait_for()
        page.evaluate("location.hash = '#model'")
        page.locator("#model-cards").get_by_text(newer).wait_for()
