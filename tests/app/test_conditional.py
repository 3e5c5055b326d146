"""Entity tags: an answer that the client has is not sent again, and no other answer is held back."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import conditional
from app.conditional import EntityTags
from app.routes import operations

TAGGED = ["/recommend?user_id=u1&k=3", "/similar?item_id=i1", "/items/i1", "/items/i1/users?k=3"]
SECOND = "20260102T000000Z-0002"


def get(client: httpx.Client, path: str, *if_none_match: str) -> httpx.Response:
    """A GET with as many lines of If-None-Match."""
    return client.get(path, headers=[("if-none-match", line) for line in if_none_match])


@pytest.mark.parametrize("path", TAGGED)
def test_answer_that_the_client_has_is_not_sent_again(fake: Any, path: str) -> None:
    """The tag of an answer gets a 304 with the same headers, without a body and without asking the model."""
    first = fake.client.get(path)
    assert first.headers["cache-control"] == "private"
    asked = len(fake.source.recommender.asked)
    again = get(fake.client, path, first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert len(fake.source.recommender.asked) == asked
    for name in ("etag", "cache-control", "x-model-version"):
        assert again.headers[name] == first.headers[name]
    assert "content-length" not in again.headers
    assert "content-type" not in again.headers


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("{strong}", 304),
        ("{weak}", 304),
        ('"a", {strong} , W/"b,c"', 304),
        ('W/"a",{weak}', 304),
        ("*", 304),
        ("", 200),
        ('"a"', 200),
        ("{bare}", 200),
        ('W/"x{bare}"', 200),
        ('"{bare}x"', 200),
        ('"a,{bare}"', 200),
        ('"', 200),
    ],
)
def test_field_is_read_as_the_standard_says(fake: Any, field: str, status: int) -> None:
    """Lists, weak and strong tags and the star match; other tags, parts of tags and nonsense do not."""
    weak = fake.client.get(TAGGED[0]).headers["etag"]
    strong = weak.removeprefix("W/")
    sent = field.format(weak=weak, strong=strong, bare=strong.strip('"'))
    assert get(fake.client, TAGGED[0], sent).status_code == status


def test_lines_of_the_field_are_one_list(fake: Any) -> None:
    """A field may be split over several lines."""
    tag = fake.client.get(TAGGED[0]).headers["etag"]
    assert get(fake.client, TAGGED[0], tag, '"other"').status_code == 304
    assert get(fake.client, TAGGED[0], '"other"', tag).status_code == 304


def test_head_answers_304_too(fake: Any) -> None:
    """HEAD has the tag of GET and heeds the condition."""
    tag = fake.client.get(TAGGED[0]).headers["etag"]
    assert fake.client.head(TAGGED[0]).headers["etag"] == tag
    assert fake.client.head(TAGGED[0], headers={"if-none-match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/recommend", 422),
        ("/recommend?user_id=u1&k=0", 422),
        ("/recommend?user_id=x9&on_unknown=error", 404),
        ("/items/x9", 404),
        ("/nowhere", 404),
    ],
)
def test_refusal_stays_one(fake: Any, path: str, status: int) -> None:
    """No condition turns a refusal into a 304."""
    answer = get(fake.client, path, "*")
    assert answer.status_code == status
    assert "etag" not in answer.headers


def test_key_comes_first(start: Callable[..., Any], api_key: str) -> None:
    """Without the key there is no telling which tags are current."""
    client = start(api_keys=(api_key,)).client
    tag = client.get(TAGGED[0], headers={"x-api-key": api_key}).headers["etag"]
    assert get(client, TAGGED[0], tag).status_code == 401


def test_what_changes_by_itself_has_no_tag(fake: Any) -> None:
    """Probes, metrics and the model's state, which are no function of model and question, carry none."""
    for path in ("/live", "/ready", "/metrics", "/model", "/openapi.json"):
        assert "etag" not in fake.client.get(path).headers
    tagged = {operation.path for operation in operations() if operation.has_entity_tag}
    assert {"/recommend", "/similar", "/similar-users", "/predict", "/items/{item_id}"} <= tagged
    assert "/items/{item_id}/users" in tagged
    assert not tagged & {"/live", "/ready", "/metrics", "/model", "/fold-in"}


def test_new_model_makes_old_tags_stale(start: Callable[..., Any], admin_key: str) -> None:
    """After a swap the old answer's tag no longer gets a 304."""
    service = start(reload_seconds=3600, admin_key=admin_key)
    tag = service.client.get(TAGGED[0]).headers["etag"]
    service.source.publish(SECOND)
    service.client.post("/admin/reload", headers={"x-api-key": admin_key})
    assert get(service.client, TAGGED[0], tag).status_code == 200


question = st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.binary())


@given(st.sets(question, min_size=2, max_size=2))
def test_other_question_other_tag(questions: set[tuple[str, bytes]]) -> None:
    """Tags differ where path or query do, and where model or software do; replicas agree on them."""
    tags = EntityTags("20260101T000000Z-0001", "1.0")
    one, other = (tags.tag(*each) for each in questions)
    assert one != other
    again = EntityTags("20260101T000000Z-0001", "1.0")
    assert {again.tag(*each) for each in questions} == {one, other}
    for changed in (EntityTags("20260101T000000Z-0002", "1.0"), EntityTags("20260101T000000Z-0001", "1.1")):
        assert not {changed.tag(*each) for each in questions} & {one, other}


@given(st.lists(st.text(st.characters(codec="latin-1", min_codepoint=0x21, exclude_characters='"\x7f'))))
def test_tag_is_found_in_any_list_that_has_it(opaque: list[str]) -> None:
    """Whatever other tags a list has, commas in them included, it has a tag if and only if it is in it."""
    field = ", ".join(f'"{each}"' for each in opaque).encode("latin-1")
    assert conditional.has(field, b'W/"mine,0"') == ("mine,0" in opaque)
    assert conditional.has(field + b',W/"mine,0"', b'W/"mine,0"')
