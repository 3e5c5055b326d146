"""The search field: titles as one types, by pointer and by key, forgiving as people need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import NASTY, Visit, dataset, publish_one
from tests.service_process import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.service_process import Process

pytestmark = pytest.mark.browser

TITLES = ["Star Wars", "Amélie", "Äpfel und Birnen", "Blade Runner", "Run Lola Run", "東京物語", *NASTY]


@pytest.fixture(scope="module")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A service whose first items have these titles."""
    root = tmp_path_factory.mktemp("titled")
    publish_one(root / "artifacts", dataset(60, 40, 3, 12, TITLES), factors=4)
    with running(root / "artifacts", root / "log") as process:
        yield process


@pytest.fixture
def field(titled: Process, visit: Callable[..., Visit]) -> Page:
    """A page with that search field, ready."""
    page = visit(f"http://127.0.0.1:{titled.port}").open()
    page.locator("#new-list .item").first.wait_for()
    return page


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("star wars", "Star Wars"),
        ("STAR", "Star Wars"),
        ("amelie", "Amélie"),
        ("apfel", "Äpfel und Birnen"),
        ("birnen apf", "Äpfel und Birnen"),
        ("blade runer", "Blade Runner"),
        ("balde runner", "Blade Runner"),
        ("lola", "Run Lola Run"),
        ("東京物", "東京物語"),
        ("script", NASTY[0]),
    ],
)
def test_title_is_found_however_it_is_typed(field: Page, typed: str, title: str) -> None:
    """Case, accents, the order of words, a word half typed and one typo do not matter; Enter takes it."""
    field.fill("#new-search-input", typed)
    field.locator("#new-search-options [role=option]").first.wait_for()
    assert field.locator("#new-search-options [role=option] span:first-child").first.inner_text() == title
    field.press("#new-search-input", "Enter")
    field.locator("#profile").get_by_role("link", name=title, exact=True).wait_for()
    assert field.input_value("#new-search-input") == ""


def test_what_is_typed_faster_than_the_list_is_taken(field: Page) -> None:
    """Enter right after the last letter takes what the list would have shown."""
    field.fill("#new-search-input", "blade")
    field.press("#new-search-input", "Enter")
    field.locator("#profile").get_by_role("link", name="Blade Runner", exact=True).wait_for()


def test_item_id_works_where_no_title_does(field: Page) -> None:
    """Somebody who knows the id types it, where no title is like it."""
    field.route("**/items?*", lambda route: route.fulfill(json={"items": []}))
    field.fill("#new-search-input", "i39")
    field.get_by_text("An item id works, too").wait_for()
    field.press("#new-search-input", "Enter")
    field.locator('[data-focus="remove i39"]').wait_for()


def test_nothing_found_is_said(field: Page) -> None:
    """No match is a sentence, and Enter on it does nothing worse."""
    field.fill("#new-search-input", "zzzzzz")
    field.get_by_text("Nothing is called “zzzzzz”").wait_for()
    field.press("#new-search-input", "Enter")
    field.get_by_text("There is no item “zzzzzz”").wait_for()
    assert field.locator("#profile .liked").count() == 0


def test_escape_closes_the_list_and_keeps_the_text(field: Page) -> None:
    """Escape closes the list; arrow keys open it again and walk it."""
    field.fill("#new-search-input", "run")
    options = field.locator("#new-search-options")
    options.wait_for()
    field.press("#new-search-input", "Escape")
    options.wait_for(state="hidden")
    assert field.input_value("#new-search-input") == "run"
    field.press("#new-search-input", "ArrowDown")
    options.wait_for()
    field.press("#new-search-input", "ArrowDown")
    active = field.get_attribute("#new-search-input", "aria-activedescendant")
    assert field.locator(f"#{active}").get_attribute("aria-selected") == "true"
    assert active == "new-search-1"


def test_pointer_chooses(field: Page) -> None:
    """A click on a match takes it."""
    field.fill("#new-search-input", "star")
    field.get_by_role("option").filter(has_text="Star Wars").click()
    field.locator("#profile").get_by_role("link", name="Star Wars", exact=True).wait_for()
