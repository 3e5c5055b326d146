"""Photographs the playground for README: ``python -m tests.browser.screenshots ARTIFACTS IMAGES``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from tests.service_process import running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIKED = {"50": "Star Wars", "183": "Alien", "89": "Blade Runner"}
"""Of MovieLens 100K."""
DESKTOP, PHONE = {"width": 1200, "height": 800}, {"width": 390, "height": 800}


def like(page: Page) -> None:
    """Like some items, each from its own panel."""
    for item_id, title in LIKED.items():
        page.evaluate(f"location.hash = '#item/{item_id}'")
        page.get_by_role("heading", name=title, exact=True).wait_for()
        page.get_by_role("button", name="I like it").click()
        page.locator("#profile").get_by_role("link", name=title, exact=True).wait_for()
    page.get_by_text(f"Folded in from {len(LIKED)} items").wait_for()


def photograph(browser: Browser, url: str, images: Path) -> None:
    """Save every picture."""
    for name, scheme, size in (
        ("light", "light", DESKTOP),
        ("dark", "dark", DESKTOP),
        ("phone", "light", PHONE),
    ):
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.goto(url)
        like(page)
        page.locator("#new-list summary").first.click()
        page.wait_for_load_state("networkidle")
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=images / f"playground-{name}.png")
        if name == "dark":
            page.evaluate("location.hash = '#map'")
            page.locator("#map-in-view a").first.wait_for()
            page.wait_for_timeout(300)
            page.locator("#view-map .panel").screenshot(path=images / "playground-map.png")
        page.close()


def main(artifacts: Path, images: Path) -> None:
    """Serve the artifacts and photograph them."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium here: apt-get install chromium")
    images.mkdir(parents=True, exist_ok=True)
    log = Path(tempfile.mkdtemp()) / "log"
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with running(artifacts, log) as process, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        photograph(browser, f"http://127.0.0.1:{process.port}", images)
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
