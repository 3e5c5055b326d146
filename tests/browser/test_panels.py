"""Every panel shows what the service answers, and does what it offers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from models.artifact import current_version
from tests.browser.conftest import NASTY, REPORT, Visit, dataset, publish_one, until
from tests.service_process import running

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

LIKED = ["i9", "i12", "i15"]


def like(page: Page, *item_ids: str) -> None:
    """Like items, each from its own panel, and wait for the list that follows from all of them."""
    for item_id in item_ids:
        page.evaluate(f"location.hash = '#item/{item_id}'")
        until(page, f"document.querySelector('#item-card dd')?.textContent === '{item_id}'")
        page.get_by_role("button", name="I like it").click()
        page.locator(f'[data-focus="remove {item_id}"]').wait_for()
    page.get_by_text(f"Folded in from {len(item_ids)} item").wait_for()


def listed(items: Locator) -> list[tuple[str, str]]:
    """Item ids and scores of a list, as shown."""
    while True:  # a list is drawn anew when more arrives, and is empty for a moment
        items.first.wait_for()
        shown = items.evaluate_all(
            """items => items.map((item) => [
                item.querySelector(".name a").getAttribute("href").replace("#item/", ""),
                item.querySelector(".score").innerText,
            ])"""
        )
        if shown:
            return [(item_id, score) for item_id, score in shown]


def answered(answer: dict[str, Any]) -> list[tuple[str, str]]:
    """The same of an answer."""
    return [(item["item_id"], f"{item['score']:.3f}") for item in answer["items"]]


def folded(api: httpx.Client, item_ids: list[str], **options: Any) -> dict[str, Any]:
    """What the service says to somebody who likes these items."""
    interactions = [{"item_id": item_id, "value": 5} for item_id in item_ids]
    return api.post("/fold-in", json={"interactions": interactions, "k": 10, **options}).json()


def test_nobody_gets_popular_items_with_titles(playground: Visit, api: httpx.Client) -> None:
    """Before anything is said, the list is what most people have, and says so."""
    page = playground.open()
    shown = [item_id for item_id, _ in listed(page.locator("#new-list .item"))]
    assert shown == [item["item_id"] for item in folded(api, [])["items"]]
    assert "most people have" in page.inner_text("#new-about")


def test_likes_are_folded_in(playground: Visit, api: httpx.Client) -> None:
    """The list is that of the same history posted directly, in order, with its scores."""
    page = playground.open()
    like(page, *LIKED)
    assert listed(page.locator("#new-list .item")) == answered(folded(api, LIKED))


def test_because_sums_to_the_score(playground: Visit, api: httpx.Client) -> None:
    """The reasons of an item are the contributions that the service tells, and they sum to its score."""
    page = playground.open()
    like(page, *LIKED)
    first = page.locator("#new-list .item").first
    first.locator("summary").click()
    [expected, *_] = folded(api, LIKED, explain=True)["items"]
    parts = [float(cell.inner_text().replace("−", "-")) for cell in first.locator("tbody td").all()]
    assert parts == [round(each["contribution"], 3) for each in expected["because"]]
    assert float(first.locator("tfoot td").inner_text()) == pytest.approx(expected["score"], abs=5e-4)
    assert float(first.locator(".score").inner_text()) == pytest.approx(
        sum(parts), abs=2e-3
    )  # three decimals


def test_dislike_is_a_negative_value(playground: Visit) -> None:
    """Turning a like into a dislike posts its strength with the other sign."""
    page = playground.open()
    like(page, "i9")
    with page.expect_request("**/fold-in") as asked:
        page.click('[data-focus="sign i9"]')
    assert asked.value.post_data_json["interactions"] == [{"item_id": "i9", "value": -5}]


def test_strength_is_the_value(playground: Visit) -> None:
    """The slider sets how strong a like is."""
    page = playground.open()
    like(page, "i9")
    with page.expect_request("**/fold-in") as asked:
        page.locator('[data-focus="strength i9"]').fill("2")
    assert asked.value.post_data_json["interactions"] == [{"item_id": "i9", "value": 2}]


def test_what_if_shows_what_moves(playground: Visit, api: httpx.Client) -> None:
    """The trial list is the service's, with each item's change; keeping the item brings the old list back."""
    page = playground.open()
    like(page, *LIKED)
    before = listed(page.locator("#new-list .item"))
    with page.expect_response("**/fold-in"):
        page.click('[data-focus="without i9"]')
    page.locator("#new-list .move").first.wait_for()
    expected = folded(api, LIKED, what_if={"remove": ["i9"]}, exclude=["i9"])
    assert listed(page.locator("#new-list .item")) == answered(expected["after"])
    changes = {change["item_id"]: change for change in expected["changes"]}
    for item, badge in zip(expected["after"]["items"], page.locator("#new-list .move").all(), strict=True):
        change = changes[item["item_id"]]
        moved = change.get("rank_change")
        words = "new" if moved is None else "stays" if moved == 0 else str(abs(moved))
        assert badge.inner_text().split()[-1] == words
    page.get_by_role("button", name="Keep it").click()
    page.wait_for_selector("#new-list .move", state="detached")
    assert listed(page.locator("#new-list .item")) == before


def test_uncertainty_is_shown_when_asked_for(playground: Visit, api: httpx.Client) -> None:
    """Every score gets the standard deviation that the service tells."""
    page = playground.open()
    like(page, *LIKED)
    page.check("#uncertainty")
    page.locator("#new-list .std").first.wait_for()
    expected = [f"± {item['score_std']:.3f}" for item in folded(api, LIKED, uncertainty=True)["items"]]
    assert [each.strip() for each in page.locator("#new-list .std").all_inner_texts()] == expected


def test_known_user_is_shown_with_history(playground: Visit, api: httpx.Client) -> None:
    """A user's list and whole history, and the comparison of stored and folded-in vector."""
    page = playground.open("user/u7")
    expected = api.get("/recommend", params={"user_id": "u7", "k": 10, "explain": True}).json()
    assert listed(page.locator("#user-list .item")) == answered(expected)
    shown = {link.get_attribute("href").removeprefix("#item/") for link in page.locator("#history a").all()}
    assert shown == {cause["item_id"] for cause in expected["items"][0]["because"]}
    assert "gives the same scores" in page.inner_text("#user-about")
    page.locator("#alike a").first.click()
    until(page, "location.hash !== '#user/u7'")
    until(page, "document.querySelector('#user-id').value === decodeURIComponent(location.hash.slice(6))")


def test_unknown_user_gets_popular_items(playground: Visit) -> None:
    """Nobody of that name: popular items, with the reason."""
    page = playground.open("user")
    page.fill("#user-id", "nobody at all")
    page.press("#user-id", "Enter")
    until(page, "document.querySelector('#user-about').textContent.includes('does not know this user')")


def test_item_is_shown_with_what_is_like_it(playground: Visit, api: httpx.Client) -> None:
    """Metadata, how many had it, and the items most like it; clicking on one goes there."""
    page = playground.open("item/i9")
    expected = api.get("/similar", params={"item_id": "i9", "k": 12}).json()
    assert listed(page.locator("#similar .item")) == answered(expected)
    known = page.inner_text("#item-card")
    item = api.get("/items/i9").json()
    for word in (str(item["interactions"]), str(item["metadata"]["year"]), *item["metadata"]["genres"]):
        assert word in known
    page.locator("#similar .name a").first.click()
    until(page, f"location.hash === '#item/{expected['items'][0]['item_id']}'")


def test_who_has_an_item_is_shown(playground: Visit, api: httpx.Client) -> None:
    """The users with the largest values and how many there are in all; each leads to that user's panel."""
    page = playground.open("item/i9")
    page.locator("#fans a").first.wait_for()
    expected = api.get("/items/i9/users", params={"k": 20}).json()
    assert len({user["value"] for user in expected["users"]}) > 1
    shown = [(user["user_id"], f"{user['value']:g}") for user in expected["users"]]
    assert [tuple(link.inner_text().split()) for link in page.locator("#fans a").all()] == shown
    assert f"{expected['total']} users" in page.inner_text("#fans-about")
    page.locator("#fans a").first.click()
    until(page, f"location.hash === '#user/{shown[0][0]}'")
    page.locator("#user-list .item").first.wait_for()


@pytest.mark.parametrize(
    ("panel", "name", "path"),
    [
        ("item/i9", "similar", "/similar?item_id=i9&k=12"),
        ("user/u7", "user-list", "/recommend?user_id=u7&k=10"),
    ],
)
def test_two_models_are_shown_side_by_side(
    playground: Visit, api: httpx.Client, older: str, panel: str, name: str, path: str
) -> None:
    """Both lists are what each model answers, and what they share is marked in both and counted."""
    page = playground.open(panel)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator(f"#{name}-other .item").first.wait_for()
    until(page, f"document.querySelector('#{name}-other h3').textContent.includes('in both')")
    answers = {name: api.get(path).json(), f"{name}-other": api.get(f"{path}&model_version={older}").json()}
    ids = [{item["item_id"] for item in answer["items"]} for answer in answers.values()]
    both = set.intersection(*ids)
    assert both
    assert both != ids[0]
    for place, answer in answers.items():
        assert listed(page.locator(f"#{place} .item")) == answered(answer)
        marked = page.locator(f"#{place} .shared")
        assert {each.get_attribute("data-item") for each in marked.all()} == both
        assert all("in both" in each.inner_text() for each in marked.all())
    assert page.inner_text(f"#{name}-served") == "ials (served)"
    assert page.inner_text(f"#{name}-other h3") == f"svd: {len(both)} of {len(ids[1])} in both"
    page.wait_for_load_state("networkidle")
    assert len([url for url in asked if url.endswith("/model")]) <= 1  # not taken for a new model


def test_model_that_does_not_know_the_item_says_so(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """The other model's refusal stands where its list would be; the served one's list stays."""
    artifacts = tmp_path / "artifacts"
    older = publish_one(artifacts, dataset(30, 10, 2, 6, []), factors=4)
    publish_one(artifacts, dataset(30, 20, 2, 6, []), factors=4)
    with running(artifacts, tmp_path / "log", compare_with=older) as process:
        page = visit(f"http://127.0.0.1:{process.port}").open("item/i15")
        page.locator("#similar-other .about").get_by_text("'i15' is not among the 10 items").wait_for()
        assert page.locator("#similar .item").count() == 12
        page.goto(f"{page.url.partition('#')[0]}#item/i5")
        page.locator("#similar-other .item").first.wait_for()


def test_one_model_alone_has_one_list(visit: Callable[..., Visit], artifacts: Path, tmp_path: Path) -> None:
    """Without a second model, or with the served one named twice, nothing is beside the list."""
    for settings in ({}, {"compare_with": current_version(artifacts)}):
        with running(artifacts, tmp_path / "log", **settings) as process:
            page = visit(f"http://127.0.0.1:{process.port}").open("item/i9")
            page.locator("#fans a").first.wait_for()
            page.wait_for_load_state("networkidle")
            assert page.locator("#similar-other").is_hidden()
            assert page.locator("#similar-served").is_hidden()


def test_unknown_item_is_told_in_the_services_words(visit: Callable[..., Visit], service: Any) -> None:
    """A refusal is shown as the service words it."""
    one = visit(f"http://127.0.0.1:{service.port}")
    page = one.open("item/no-such-item")
    until(page, "document.querySelector('#item-card').textContent.includes(\"'no-such-item' is not among\")")


def test_item_can_be_liked_from_its_panel(playground: Visit) -> None:
    """From an item to somebody new who likes it."""
    page = playground.open("item/i9")
    page.get_by_role("button", name="I like it").click()
    page.locator('[data-focus="remove i9"]').wait_for()


def test_model_card_shows_what_is_served(playground: Visit, api: httpx.Client) -> None:
    """Version, data, quality and both certificates are those of GET /model."""
    page = playground.open("model")
    page.locator("#model-cards .panel").first.wait_for()
    text = page.inner_text("#model-cards")
    card = api.get("/model").json()
    assert card["model_version"] in text
    assert f"{card['dataset']['rows']:,}" in text
    for metric, value in card["metrics"]["model"].items():
        low, high = card["metrics"]["intervals"]["model"][metric]
        assert re.search(rf"{metric}\s+{value:.3f}\s+{low:.3f} – {high:.3f}\s", text)
    assert f"svd, {card['compared']['model_version']}" in text
    assert f"recall@10 {card['retrieval']['recommend']['recall']:.3f}" in text
    assert f"{100 * card['fold_in']['top_k_overlap']:.1f} %" in text
    assert page.locator("#model-cards .curve circle").count() == len(card["training"]["loss"])


def test_card_of_a_model_from_before_there_were_intervals(playground: Visit, api: httpx.Client) -> None:
    """Its metrics stand alone, and nothing is said of intervals."""
    card = api.get("/model").json()
    del card["metrics"]["intervals"]
    playground.page.route("**/model", lambda route: route.fulfill(json=card))
    page = playground.open("model")
    page.locator("#model-cards .figures").wait_for()
    cells = page.locator("#model-cards .figures td").all_inner_texts()
    assert cells[0] == f"{card['metrics']['model']['ndcg@10']:.3f}"
    assert "intervals" not in page.inner_text("#model-cards")


def test_report_opens_and_cannot_act(playground: Visit) -> None:
    """The card's link opens the report with its own styles; its script and its far picture do nothing."""
    page = playground.open("model")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Evaluation report").click()
    opened.value.get_by_role("heading", name="Three models").wait_for()
    assert page.url.endswith("#model")
    fetched: list[str] = []
    page.route(
        "https://pictures.example/**", lambda route: (fetched.append(route.request.url), route.abort())
    )
    page.goto(opened.value.url)
    page.wait_for_load_state("networkidle")
    assert fetched == []
    assert page.title() == "Evaluation"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
    assert len(playground.complaints) == 2  # the browser says what it kept the page from
    playground.complaints.clear()


def test_report_behind_a_key_is_saved(visit: Callable[..., Visit], artifacts: Path, tmp_path: Path) -> None:
    """No link can send the key, so the page fetches the report with it and hands it over as a file."""
    with running(artifacts, tmp_path / "log", api_keys="a-key-for-tests") as process:
        page = visit(f"http://127.0.0.1:{process.port}").open("model")
        page.fill("#key", "a-key-for-tests")
        page.press("#key", "Enter")
        with page.expect_download() as download:
            page.get_by_role("link", name="Evaluation report").click()
        assert download.value.suggested_filename == "report.html"
        assert Path(download.value.path()).read_text() == REPORT


def test_rating_model_shows_its_error(visit: Callable[..., Visit], tmp_path: Path) -> None:
    """RMSE and its interval; no link where there is no report; a second model that is not there is told."""
    artifacts = tmp_path / "artifacts"
    publish_one(artifacts, dataset(30, 20, 2, 6, []), family="als", factors=4)
    with running(artifacts, tmp_path / "log", compare_with="nothing") as process:
        page = visit(f"http://127.0.0.1:{process.port}").open("model")
        page.locator("#model-cards .figures").wait_for()
        text = page.inner_text("#model-cards")
        metrics = process.client.get("/model").json()["metrics"]
        low, high = metrics["intervals"]["rmse"]
        assert re.search(rf"rmse\s+{metrics['rmse']:.3f}\s+{low:.3f} – {high:.3f}\s", text)
        assert page.get_by_role("link", name="Evaluation report").count() == 0
        assert "no version of that name" in text


def test_panel_is_opened_at_its_top(playground: Visit) -> None:
    """No element of a panel is taken for the place that the address names."""
    for panel in ("new", "user/u7", "item/i9", "map", "model", "map"):
        page = playground.open(panel)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("scrollY") == 0, panel


def test_map_is_drawn_and_leads_to_items(playground: Visit, api: httpx.Client) -> None:
    """Dots are where the service says; a click on one goes to its item; the keyboard zooms."""
    page = playground.open("map")
    page.locator("#map-in-view a").first.wait_for()
    places = api.get("/map").json()
    assert page.locator("#map-in-view a").count() == 12
    box = page.locator("canvas").bounding_box()
    xs, ys = places["x"], places["y"]
    scale = min((box["width"] - 62) / (max(xs) - min(xs)), (box["height"] - 42) / (max(ys) - min(ys)))
    # An item with no other close to it, so that a pixel more or less does not matter.
    distances = [
        min((x - a) ** 2 + (y - b) ** 2 for m, (a, b) in enumerate(zip(xs, ys, strict=True)) if m != n)
        for n, (x, y) in enumerate(zip(xs, ys, strict=True))
    ]
    lonely = distances.index(max(distances))
    across = box["width"] / 2 + (xs[lonely] - (max(xs) + min(xs)) / 2) * scale
    down = box["height"] / 2 - (ys[lonely] - (max(ys) + min(ys)) / 2) * scale
    page.locator("canvas").focus()
    for _ in range(4):
        page.keyboard.press("+")
    until(page, "document.querySelectorAll('#map-in-view a').length < 12")
    page.keyboard.press("0")
    until(page, "document.querySelectorAll('#map-in-view a').length === 12")
    page.locator("canvas").click(position={"x": across, "y": down})
    until(page, f"location.hash === '#item/{places['item_ids'][lonely]}'")


def test_curl_repeats_what_is_seen(visit: Callable[..., Visit], service: Any) -> None:
    """What a panel copies, run in a shell, gives the list that the panel shows."""
    one = visit(f"http://127.0.0.1:{service.port}", permissions=["clipboard-read", "clipboard-write"])
    page = one.open()
    like(page, *LIKED)
    for panel, button, items in (
        ("new", "#new-tools", "#new-list .item"),
        ("user/u7", "#user-tools", "#user-list .item"),
        ("item/i9", "#similar-tools", "#similar .item"),
        ("item/i9", "#similar-other", "#similar-other .item"),
        ("user/u7", "#user-list-other", "#user-list-other .item"),
    ):
        page.goto(f"{one.url}/#{panel}")
        if panel == "item/i9":  # not what the likes left there
            until(page, "document.querySelector('#item-card dd')?.textContent === 'i9'")
        shown = listed(page.locator(items))
        page.locator(button).get_by_role("button", name="Copy as curl").click()
        page.locator(button).get_by_role("button", name="Copied").wait_for()
        command = page.evaluate("navigator.clipboard.readText()")
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60)
        assert answered(json.loads(done.stdout)) == shown


def test_curl_of_who_has_an_item(visit: Callable[..., Visit], service: Any) -> None:
    """The panel's command answers with the users that it shows."""
    one = visit(f"http://127.0.0.1:{service.port}", permissions=["clipboard-read", "clipboard-write"])
    page = one.open("item/i9")
    page.locator("#fans a").first.wait_for()
    page.locator("#fans-tools button").click()
    page.locator("#fans-tools").get_by_text("Copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    users = [user["user_id"] for user in json.loads(done.stdout)["users"]]
    assert [link.inner_text().split()[0] for link in page.locator("#fans a").all()] == users


def test_curl_is_shown_where_nothing_can_be_copied(playground: Visit) -> None:
    """Without a clipboard the command is there to select."""
    playground.page.add_init_script("delete Navigator.prototype.clipboard")
    page = playground.open("item/i9")
    page.locator("#similar .item").first.wait_for()
    page.locator("#similar-tools").get_by_role("button", name="Copy as curl").click()
    assert page.locator("textarea").input_value().startswith("curl 'http://127.0.0.1")


def test_titles_are_text_and_nothing_else(playground: Visit, api: httpx.Client) -> None:
    """Markup in a title is shown as it is, in every panel, and runs nowhere."""
    page = playground.open()
    like(page, "i0", "i1", "i2", "i3")
    names = page.locator("#profile .name").all_inner_texts()
    assert names == NASTY
    page.locator("#new-list summary").first.click()
    for n in range(len(NASTY)):
        page.goto(f"{playground.url}/#item/i{n}")
        until(page, f"document.querySelector('#item-name').textContent === {json.dumps(NASTY[n])}")
    users = [
        n
        for n in range(80)
        if "i0" in str(api.get("/recommend", params={"user_id": f"u{n}", "explain": True}).json())
    ]
    page.goto(f"{playground.url}/#user/u{users[0]}")
    page.locator("#user-list .item").first.wait_for()
    page.goto(f"{playground.url}/#map")
    page.locator("#map-in-view a").first.wait_for()
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main img[src='x']").count() == 0
