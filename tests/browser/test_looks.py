"""Panels look as they did: compared coarsely with pictures that are kept beside this file.

No font and no way of drawing letters matters (see `looks`); a panel that is empty or has moved does. Where a
panel is meant to look otherwise, ``UPDATE_LOOKS=1 make test-browser`` keeps the new pictures: look at them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.browser.conftest import SANDBOX, Visit, chromium
from tests.browser.looks import boxes, difference, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser

KEPT = Path(__file__).with_name("looks")
TOLERANCE = 0.01
"""Share of differing squares. Another way of drawing letters comes to 0.002, the smallest fault to 0.024."""
LOOKS: dict[str, dict[str, Any]] = {
    "desktop-light": {"viewport": {"width": 1216, "height": 992}, "color_scheme": "light"},
    "phone-dark": {"viewport": {"width": 384, "height": 1504}, "color_scheme": "dark"},
}
PANELS = {
    "new": "#new-list .because",
    "user/u7": "#user-list-other .shared",
    "item/i9": "#similar-other .shared",
    "map": "#map-in-view a",
    "model": "#model-cards .panel",
}
NOW = "2026-03-01T12:00:00Z"
WITHOUT_LABELS = (
    """for (const name of ["fillText", "strokeText"]) CanvasRenderingContext2D.prototype[name] = () => {};"""
)


def without_what_varies(route: Route) -> None:
    """The model's card with the moments, durations and versions of another day."""
    answer = route.fetch()
    card = answer.json() | {"created_at": NOW, "loaded_at": NOW, "libraries": {"python": "3.11"}}
    for certificate in card["retrieval"].values():
        certificate["microseconds"] = 10.0
        certificate["reason"] = "a scan this fast is not worth approximating"
    route.fulfill(response=answer, json=card)


def shown(one: Visit, panel: str) -> Page:
    """A panel, complete, with its text in boxes."""
    page = one.page
    page.clock.set_fixed_time(NOW)
    page.add_init_script(WITHOUT_LABELS)
    page.route("**/model", without_what_varies)
    one.open(panel)
    page.add_style_tag(content=boxes())
    if panel == "new":
        for n in (1, 2, 3):
            page.locator("#new-list .actions button").first.click()
            page.get_by_text(f"Folded in from {n} item").wait_for()
    page.locator(PANELS[panel]).first.wait_for()
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready.then(() => document.activeElement.blur())")
    page.wait_for_timeout(300)  # the map is drawn a moment after it has its size
    return page


def visited(visit: Callable[..., Visit], service: Any, look: str) -> Visit:
    """A page in one of the two looks."""
    url = f"http://127.0.0.1:{service.port}"
    return visit(url, bypass_csp=True, **LOOKS[look])


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("panel", PANELS)
def test_panel_looks_as_it_did(
    visit: Callable[..., Visit], service: Any, tmp_path: Path, panel: str, look: str
) -> None:
    """The picture of the panel is the kept one, but for a hundredth of its squares."""
    found = picture(shown(visited(visit, service, look), panel).screenshot())
    path = KEPT / f"{panel.partition('/')[0]}-{look}.png"
    if os.environ.get("UPDATE_LOOKS"):
        KEPT.mkdir(exist_ok=True)
        found.save(path, optimize=True)
    with Image.open(path) as kept:
        apart = difference(found, kept.convert("RGB"))
    found.save(tmp_path / path.name)
    assert apart <= TOLERANCE, f"{apart:.1%} of {path} look otherwise: see {tmp_path / path.name}"


FAULTS = {
    "a line more above": "main { padding-top: 3.1rem }",
    "panels moved aside": ".panel { position: relative; left: 40px }",
    "one column": ".columns { grid-template-columns: 1fr !important }",
    "lists one below the other": ".pair { grid-template-columns: 1fr !important }",
    "an empty panel": ".panel:last-of-type > * { visibility: hidden }",
    "an empty list": "#similar-other .items { visibility: hidden }",
    "no navigation": "nav { visibility: hidden }",
    "no styles of buttons": "button, .chips a { all: revert !important }",
    "larger letters": "html { font-size: 18px }",
}


def test_comparison_can_fail(visit: Callable[..., Visit], service: Any) -> None:
    """What must not go unnoticed, one fault at a time, differs by more than is let pass."""
    page = shown(visited(visit, service, "desktop-light"), "item/i9")
    sound = picture(page.screenshot())
    assert difference(picture(page.screenshot()), sound) == 0
    found = {}
    for fault, css in FAULTS.items():
        style = page.add_style_tag(content=css)
        found[fault] = difference(picture(page.screenshot()), sound)
        style.evaluate("(element) => element.remove()")
    page.emulate_media(color_scheme="dark")
    found["the other colours"] = difference(picture(page.screenshot()), sound)
    page.emulate_media(color_scheme="light")
    assert difference(picture(page.screenshot()), sound) == 0
    assert {fault: apart for fault, apart in found.items() if apart <= 2 * TOLERANCE} == {}
    print(f"\nsmallest of the faults: {min(found.items(), key=lambda each: each[1])}")  # noqa: T201


def test_drawing_of_letters_does_not_matter(
    browser: Browser, visit: Callable[..., Visit], service: Any
) -> None:
    """Bolder strokes, and another process without hinting, differ by less than half of what is let pass."""
    page = shown(visited(visit, service, "desktop-light"), "item/i9")
    sound = picture(page.screenshot())
    page.add_style_tag(content="* { -webkit-text-stroke: .3px; }")
    assert 0 <= difference(picture(page.screenshot()), sound) <= TOLERANCE / 2
    other = browser.browser_type.launch(
        executable_path=chromium(),
        args=[*SANDBOX, "--font-render-hinting=none", "--disable-lcd-text"],
    )
    context = other.new_context(bypass_csp=True, **LOOKS["desktop-light"])
    page = shown(Visit(context.new_page(), f"http://127.0.0.1:{service.port}", []), "item/i9")
    assert difference(picture(page.screenshot()), sound) <= TOLERANCE / 2
    other.close()
