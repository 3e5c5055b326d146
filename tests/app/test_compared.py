"""FOLDREC_COMPARE_WITH: a second model beside the served one, asked for by `model_version`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.recommender import Options, Recommender
from app.schemas.service import ServedModel
from app.snapshot import open_version
from tests.service_process import Process, eventually, running

Publish = Callable[..., str]
Serve = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, publish_small: Publish) -> tuple[Path, str, str]:
    """Artifacts of two families: the older version, and the current one. Not to be changed."""
    root = tmp_path_factory.mktemp("two")
    return root, publish_small(root, family="svd"), publish_small(root)


@pytest.fixture
def client(two: tuple[Path, str, str], serve: Serve) -> httpx.Client:
    """A service that compares with the older version."""
    root, older, _ = two
    return serve(artifacts=root, compare_with=Path(older), cursor_key="a-key-for-tests")


def items(answer: httpx.Response) -> list[tuple[str, float]]:
    """Ids and scores of a list."""
    assert answer.status_code == 200, answer.text
    return [(item["item_id"], item["score"]) for item in answer.json()["items"]]


@pytest.mark.parametrize("which", [1, 2])
def test_list_is_of_the_model_that_is_asked_for(
    two: tuple[Path, str, str], client: httpx.Client, which: int
) -> None:
    """Lists and headers are those of the version named, as a service of it alone would answer."""
    version = two[which]
    alone = Recommender(open_version(two[0] / version))
    expected = {
        "/recommend?user_id=u1&k=5": alone.recommend("u1", Options(k=5)),
        "/similar?item_id=i3&k=5": alone.similar("i3", Options(k=5)),
    }
    for path, answer in expected.items():
        given = client.get(f"{path}&model_version={version}")
        assert items(given) == [(item["item_id"], item["score"]) for item in answer["items"]]
        assert given.json()["model_version"] == given.headers["x-model-version"] == version
    body = {"interactions": [{"item_id": "i3", "value": 5}], "k": 3}
    folded = client.post("/fold-in", json={**body, "model_version": version})
    assert folded.json()["model_version"] == version


def test_without_the_parameter_the_current_model_answers(
    two: tuple[Path, str, str], client: httpx.Client
) -> None:
    """A second model changes nothing for those who do not ask for it."""
    _, older, current = two
    for path in ("/recommend?user_id=u1&k=5", "/similar?item_id=i3&k=5"):
        plain, named = client.get(path), client.get(f"{path}&model_version={current}")
        assert plain.headers["x-model-version"] == current
        assert items(plain) == items(named) != items(client.get(f"{path}&model_version={older}"))


@pytest.mark.parametrize("version", ["20260101T000000Z-0000", "nonsense", ""])
def test_other_versions_are_refused(two: tuple[Path, str, str], client: httpx.Client, version: str) -> None:
    """What is not loaded is a 404 that says what is."""
    refused = client.get("/similar", params={"item_id": "i3", "model_version": version})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/unknown-model")
    assert all(each in refused.json()["detail"] for each in (repr(version), *two[1:]))


def test_without_setting_there_is_the_served_model_only(two: tuple[Path, str, str], serve: Serve) -> None:
    """The older version is then as unknown as any; the model's card has nothing to say."""
    client = serve(artifacts=two[0])
    refused = client.get(f"/recommend?user_id=u1&model_version={two[1]}")
    assert refused.status_code == 404
    assert "nothing is compared with it" in refused.json()["detail"]
    assert client.get("/model").json()["compared"] is None


def test_answer_of_the_second_model_has_a_tag_of_its_own(
    two: tuple[Path, str, str], client: httpx.Client
) -> None:
    """Kept answers of either model get their 304, and neither is taken for the other's."""
    path = "/similar?item_id=i3&k=5"
    for query in (path, f"{path}&model_version={two[1]}"):
        tag = client.get(query).headers["etag"]
        again = client.get(query, headers={"if-none-match": tag})
        assert (again.status_code, again.headers["etag"]) == (304, tag)
        assert two[1 if "version" in query else 2] in tag


def test_pages_go_on_in_the_second_model(two: tuple[Path, str, str], client: httpx.Client) -> None:
    """Cursors of either model lead through its own list."""
    path = f"/similar?item_id=i3&model_version={two[1]}&k="
    whole = items(client.get(f"{path}39&cursor="))
    first = client.get(f"{path}20&cursor=")
    second = client.get(f"{path}20&cursor={first.json()['next_cursor']}")
    assert second.headers["x-model-version"] == two[1]
    assert items(first) + items(second) == whole


def test_card_names_the_second_model(two: tuple[Path, str, str], client: httpx.Client) -> None:
    """`GET /model` says what is compared with what."""
    card = client.get("/model").json()
    ServedModel.model_validate(card)
    assert card["model_version"] == two[2]
    assert card["compared"] == {"model_version": two[1], "family": "svd", "error": None}


def test_other_directories_can_be_named(
    two: tuple[Path, str, str], serve: Serve, tmp_path: Path, publish_small: Publish
) -> None:
    """The path of other artifacts means their current version, the path of a version that version."""
    other = publish_small(tmp_path, seed=1)
    for path in (tmp_path, tmp_path / other):
        client = serve(artifacts=two[0], compare_with=path)
        assert client.get(f"/similar?item_id=i3&model_version={other}").status_code == 200


@pytest.mark.parametrize("damaged", [False, True])
def test_one_that_cannot_be_loaded_is_told_and_left_out(
    two: tuple[Path, str, str],
    serve: Serve,
    tmp_path: Path,
    publish_small: Publish,
    caplog: pytest.LogCaptureFixture,
    damaged: bool,
) -> None:
    """A name that means nothing, or a damaged version: the reason is in the log and in `GET /model`."""
    named = tmp_path / "nothing"
    words = "no version of that name"
    if damaged:
        named = tmp_path / publish_small(tmp_path)
        (named / "item_factors.npy").write_bytes(b"damaged")
        words = "item_factors.npy"
    with caplog.at_level(logging.ERROR):
        client = serve(artifacts=two[0], compare_with=named)
    assert any("cannot compare" in record.message and words in record.message for record in caplog.records)
    compared = client.get("/model").json()["compared"]
    assert compared["model_version"] is None
    assert words in compared["error"]
    assert client.get("/ready").status_code == 200
    assert client.get("/recommend?user_id=u1").status_code == 200


def test_all_workers_have_it(two: tuple[Path, str, str], tmp_path: Path) -> None:
    """The parent loads it once, and whichever worker is asked answers with it."""
    root, older, current = two
    with running(root, tmp_path / "log", workers="2", compare_with=older) as process:
        eventually(lambda: process.status("/ready") == 200)
        seen = {asked(process, older) for _ in range(20)}
        assert seen == {(older, current)}
        lines = [line for line in process.log() if "comparing with" in str(line)]
        assert len(lines) == 1


def asked(process: Process, version: str) -> tuple[Any, ...]:
    """Versions of a compared and of a plain answer, on connections of their own."""
    url = f"http://127.0.0.1:{process.port}/recommend?user_id=u1"
    answers = httpx.get(f"{url}&model_version={version}"), httpx.get(url)
    return tuple(answer.headers["x-model-version"] for answer in answers)
