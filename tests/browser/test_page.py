"""The page as a whole: light, within its budget, for everybody, and of one host."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Visit, dataset, publish_one, until
from tests.service_process import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PANELS = {
    "new": "#new-list .item",
    "user/u7": "#user-list-other .item",
    "item/i9": "#similar-other .item",
    "map": "#map-in-view a",
    "model": "#model-cards .panel",
}
PAGE_BYTES = 80_000
FIRST_LIST_MS = 150
FRAME_MS = 1000 / 60
AXE = Path(os.environ.get("VENV", ".venv")) / "axe-core/package/axe.min.js"


def opened(one: Visit, panel: str) -> Page:
    """A panel with what it shows."""
    page = one.open(panel)
    page.locator(PANELS[panel]).first.wait_for()
    return page


def test_page_and_scripts_are_within_budget(playground: Visit) -> None:
    """All that the browser loads to show a panel, but for the service's answers, is 80 KB at most."""
    sizes: dict[str, int] = {}
    playground.page.on(
        "response",
        lambda response: (
            sizes.update({response.url: len(response.body())})
            if response.request.resource_type in {"document", "script", "stylesheet", "image"}
            else None
        ),
    )
    opened(playground, "new")
    playground.page.wait_for_load_state("networkidle")
    assert len(sizes) > 10
    assert sum(sizes.values()) <= PAGE_BYTES, sizes


def test_everything_is_of_this_host(playground: Visit) -> None:
    """No panel asks another host for anything."""
    hosts: set[str] = set()
    playground.page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    for panel in PANELS:
        opened(playground, panel)
        playground.page.wait_for_load_state("networkidle")
    assert hosts == {playground.url.removeprefix("http://")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Callable[..., Visit], service: Any, scheme: str) -> None:
    """Axe-core has no serious or critical finding in any panel, light or dark."""
    if not AXE.exists():
        pytest.skip("no axe-core here: make test-browser fetches it with npm")
    one = visit(f"http://127.0.0.1:{service.port}", color_scheme=scheme, bypass_csp=True)
    for panel in PANELS:
        page = opened(one, panel)
        if panel == "new":
            page.locator("#new-list .actions button").first.click()
            page.locator("#profile .liked").wait_for()
            page.locator("#new-list summary").first.click()
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run()")["violations"]
        serious = [
            (each["id"], [node["html"] for node in each["nodes"]])
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == [], panel


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(visit: Callable[..., Visit], service: Any, width: int) -> None:
    """From a small phone to a desktop no panel has to be scrolled sideways."""
    one = visit(f"http://127.0.0.1:{service.port}", viewport={"width": width, "height": 800})
    for panel in PANELS:
        page = opened(one, panel)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, panel


def test_page_follows_the_colour_scheme(visit: Callable[..., Visit], service: Any) -> None:
    """Dark text on light, and light on dark: the screenshots are as far apart as that."""
    brightness = {}
    for scheme in ("light", "dark"):
        page = opened(visit(f"http://127.0.0.1:{service.port}", color_scheme=scheme), "model")
        colours = page.evaluate(
            "['body', '.panel'].map((e) => getComputedStyle(document.querySelector(e)).backgroundColor)"
        )
        brightness[scheme] = [sum(map(int, colour[4:-1].split(","))) / 3 for colour in colours]
    assert min(brightness["light"]) > 220
    assert max(brightness["dark"]) < 40


def test_keyboard_is_enough(playground: Visit) -> None:
    """Search, like, dislike, what-if, remove, and a walk to an item, with no pointer."""
    page = opened(playground, "new")
    held = "document.activeElement"

    def tab_to(condition: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate(f"Boolean({condition})"):
                return
        pytest.fail(f"never reached: {condition}")

    page.keyboard.press("Tab")
    assert page.evaluate(f"{held}.className") == "skip"
    tab_to(f"{held}.id === 'new-search-input'")
    page.keyboard.type("Title number 9")
    page.locator("#new-search-options [role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.locator('[data-focus="remove i9"]').wait_for()
    page.keyboard.type("Title number 12")
    page.keyboard.press("Enter")
    page.locator('[data-focus="remove i12"]').wait_for()
    tab_to(f"{held}.dataset.focus === 'sign i9'")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('[data-focus=\"sign i9\"]').ariaPressed === 'true'")
    assert page.evaluate(f"{held}.dataset.focus") == "sign i9"
    tab_to(f"{held}.dataset.focus === 'without i9'")
    page.keyboard.press("Enter")
    page.locator("#new-list .move").first.wait_for()
    assert page.evaluate(f"{held}.dataset.focus") == "without i9"
    page.keyboard.press("Enter")
    tab_to(f"{held}.dataset.focus === 'remove i12'")
    page.keyboard.press("Enter")
    page.locator('[data-focus="remove i12"]').wait_for(state="detached")
    assert page.evaluate(f"{held} !== document.body")
    tab_to(f"{held}.matches('#new-list .name a')")
    page.keyboard.press("Enter")
    page.locator("#similar .item").first.wait_for()
    assert page.evaluate(f"{held}.id") == "item-title"


def test_pictures_come_from_allowed_hosts_only(
    visit: Callable[..., Visit], artifacts: Path, tmp_path: Path
) -> None:
    """With the host allowed a picture takes the place of the cover; without, it is not even asked for."""
    picture = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
        "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
    )
    for hosts, pictures in (("pictures.example", True), ("other.example", False), ("", False)):
        with running(artifacts, tmp_path / "log", image_hosts=hosts) as process:
            one = visit(f"http://127.0.0.1:{process.port}")
            asked: list[str] = []

            one.page.on("request", lambda request, asked=asked: asked.append(request.url))
            one.page.route(
                "https://pictures.example/**",
                lambda route: route.fulfill(body=picture, content_type="image/png"),
            )
            page = one.open("item/i9")
            page.locator("#similar .cover").first.wait_for()
            page.wait_for_load_state("networkidle")
            if pictures:
                page.locator("#similar .cover img").first.wait_for()
            assert any("pictures.example" in url for url in asked) == pictures
            assert (page.locator("#similar .cover svg").count() > 0) != pictures


@pytest.mark.timing
def test_first_list_after_the_third_like_is_quick(
    visit: Callable[..., Visit], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """On a table of MovieLens 100K's size, from the third like to the new list on the page."""
    publish_one(tmp_path / "artifacts", dataset(943, 1682, 18, 106, []), factors=64)
    milliseconds = []
    with running(tmp_path / "artifacts", tmp_path / "log") as process:
        one = visit(f"http://127.0.0.1:{process.port}")
        for _ in range(12):
            one.page.goto("about:blank")
            page = opened(one, "new")
            for n in (1, 2):
                page.locator("#new-list .actions button").first.click()
                page.get_by_text(f"Folded in from {n} item").wait_for()
            milliseconds.append(
                page.evaluate(
                    """() => new Promise((resolve) => {
                        const started = performance.now();
                        const about = document.querySelector("#new-about");
                        new MutationObserver((_, observer) => {
                          if (!about.textContent.includes("3 items")) return;
                          observer.disconnect();
                          requestAnimationFrame(() => resolve(performance.now() - started));
                        }).observe(about, { childList: true, characterData: true, subtree: true });
                        document.querySelector("#new-list .actions button").click();
                    })"""
                )
            )
    record_property("milliseconds", milliseconds)
    print(f"\nthird like to list, ms: {[round(each) for each in milliseconds]}")  # noqa: T201
    assert min(milliseconds) <= FIRST_LIST_MS  # the others may have had to wait for this machine


@pytest.mark.timing
def test_map_of_fifty_thousand_keeps_up_with_the_screen(
    playground: Visit, record_property: Callable[[str, object], None]
) -> None:
    """A frame of 50,000 dots takes less than a sixtieth of a second while the map is moved and zoomed."""
    n_items = 50_000
    places = {
        "model_version": "v",
        "left_out": 0,
        "item_ids": [f"i{n}" for n in range(n_items)],
        "titles": [f"Title {n}" for n in range(n_items)],
        "x": [((n * 7919) % 10_007) / 10_007 for n in range(n_items)],
        "y": [((n * 104_729) % 9_973) / 9_973 for n in range(n_items)],
        "interactions": [n_items - n for n in range(n_items)],
    }
    page = playground.page
    page.add_init_script(
        """window.frames_taken = [];
        const request = window.requestAnimationFrame;
        window.requestAnimationFrame = (paint) => request((time) => {
          const started = performance.now();
          paint(time);
          window.frames_taken.push(performance.now() - started);
        });"""
    )
    page.route(
        "**/map", lambda route: route.fulfill(body=json.dumps(places), content_type="application/json")
    )
    opened(playground, "map")
    page.locator("canvas").focus()
    page.evaluate("window.frames_taken.length = 0")
    for key in ["ArrowLeft", "+", "ArrowDown", "-"] * 20:
        page.keyboard.press(key)
        page.wait_for_timeout(20)
    frames = page.evaluate("window.frames_taken")
    assert len(frames) > 20
    record_property("median_frame_ms", statistics.median(frames))
    print(f"\nframes of 50,000 dots, median ms: {statistics.median(frames):.1f} of {len(frames)}")  # noqa: T201
    assert statistics.median(frames) <= FRAME_MS
