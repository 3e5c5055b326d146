"""What is done for every request: id, version, keys, HEAD, metrics, and that it all holds for every route."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequestError
from app.operation import parse_query
from app.recommender import Options
from app.routes import operations

PATHS = ["/live", "/ready", "/model", "/openapi.json", "/docs", "/nowhere", "/recommend", "/items/x9"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_id_and_version(fake: Any, path: str) -> None:
    """Answers, refusals and FastAPI's own pages carry X-Request-ID and X-Model-Version."""
    answer = fake.client.get(path)
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    assert answer.headers["x-model-version"] == fake.source.recommender.snapshot.version


def test_ids_that_are_made_are_distinct(fake: Any) -> None:
    """No two requests get the same id."""
    assert len({fake.client.get("/live").headers["x-request-id"] for _ in range(100)}) == 100


@pytest.mark.parametrize("sent", ["a", "3f1c-9d:7/b@x+y=z_.", "0" * 128])
def test_harmless_id_is_echoed(fake: Any, sent: str) -> None:
    """An id of ordinary characters comes back as it was."""
    assert fake.client.get("/live", headers={"x-request-id": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "0" * 129, "a b", "<script>", '"', "ü".encode()])
def test_other_id_is_replaced(fake: Any, sent: str | bytes) -> None:
    """An id that is empty, long or could disturb a log or a page is replaced."""
    headers = {b"x-request-id": sent if isinstance(sent, bytes) else sent.encode()}
    echoed = fake.client.get("/live", headers=headers).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{16}", echoed)


def test_no_version_header_without_model(start: Callable[..., Any]) -> None:
    """While nothing is loaded there is no version to name."""
    assert "x-model-version" not in start(ready=False).client.get("/live").headers


@pytest.mark.parametrize(
    "path", ["/live", "/recommend?user_id=u1", "/items/i1", "/metrics", "/nowhere", "/recommend"]
)
def test_head_is_get_without_body(fake: Any, path: str) -> None:
    """HEAD has the status and headers of GET, length included, and no body."""
    got, head = fake.client.get(path), fake.client.head(path)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":  # its length changes with every request
        assert head.headers["content-length"] == got.headers["content-length"]


def test_defaults_are_those_of_the_contract(fake: Any) -> None:
    """A bare request means k=10, seen items left out, nothing excluded, no explanation, fallback allowed."""
    fake.client.get("/recommend?user_id=u1")
    assert fake.source.recommender.asked == [("recommend", "u1", Options(k=10))]
    assert Options(k=10) == Options(
        k=10, exclude_seen=True, exclude=(), explain=False, explain_top=None, on_unknown="fallback"
    )


def test_query_and_body_reach_the_recommender(fake: Any) -> None:
    """Every parameter means the same in a query string and in a body."""
    options = Options(
        k=3, exclude_seen=False, exclude=("i1", "ü&="), explain=True, explain_top=2, on_unknown="error"
    )
    fake.client.get(
        "/recommend",
        params={
            "user_id": "u1",
            "k": 3,
            "exclude_seen": "false",
            "exclude": ["i1", "ü&="],
            "explain": "true",
            "explain_top": 2,
            "on_unknown": "error",
        },
    )
    body = {
        "k": 3,
        "exclude_seen": False,
        "exclude": ["i1", "ü&="],
        "explain": True,
        "explain_top": 2,
        "on_unknown": "error",
    }
    fake.client.post("/recommend", json={"user_ids": ["u1"], **body})
    fake.client.post("/fold-in", json={"interactions": [{"item_id": "i1", "value": 2}], **body})
    by_query, by_body, folded = fake.source.recommender.asked
    assert by_query == by_body == ("recommend", "u1", options)
    assert folded[0] == "fold_in"
    assert [(each.item_id, each.value, each.timestamp) for each in folded[1]] == [("i1", 2.0, None)]
    assert folded[2] == options


def test_explain_top_explains(fake: Any) -> None:
    """Asking for so many contributions asks for an explanation."""
    fake.client.get("/recommend?user_id=u1&explain_top=2")
    assert fake.source.recommender.asked == [("recommend", "u1", Options(k=10, explain=True, explain_top=2))]


@pytest.mark.parametrize("user_id", ["ü", "a b", "a+b", "a%b", "日本", "🙂", "\x00", "a&b=c", "\n", " "])
def test_any_unicode_is_an_id(fake: Any, user_id: str) -> None:
    """An id is any string, however it has to be encoded."""
    answer = fake.client.get("/recommend", params={"user_id": user_id})
    assert answer.status_code == 200
    assert answer.json()["user_id"] == user_id
    assert fake.client.get(f"/items/{quote(user_id, safe='')}").status_code == 404


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8")), st.lists(st.text(st.characters(codec="utf-8")), min_size=1)
    )
)
def test_query_string_round_trip(parameters: dict[str, list[str]]) -> None:
    """What httpx encodes is what the parser reads, for any names and values."""
    encoded = str(httpx.QueryParams(parameters)).encode()
    assert parse_query(encoded, frozenset(parameters)) == parameters


@given(st.binary())
def test_any_bytes_are_parsed_or_refused(query_string: bytes) -> None:
    """No sequence of bytes gets more than a refusal out of the query parser."""
    try:
        parse_query(query_string, frozenset({"exclude"}))
    except InvalidRequestError as error:
        assert error.fields  # noqa: PT017 - being refused is as good as being parsed


def test_keys_guard_everything_but_the_probes(
    start: Callable[..., Any], api_key: str, admin_key: str
) -> None:
    """With keys set, all but /live and /ready answer 401 without one, /docs and unknown paths included."""
    client = start(api_keys=(api_key, "another-key"), admin_key=admin_key).client
    own = {(route.method, route.path.replace("{item_id}", "i1")) for route in operations()}
    pages = {("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/nowhere")}
    for method, path in own | pages:
        status = client.request(method, path).status_code
        assert (status == 401) == (path not in {"/live", "/ready"}), (method, path)


def test_each_key_opens_what_it_is_for(start: Callable[..., Any], api_key: str, admin_key: str) -> None:
    """Every API key opens the API and not the admin routes; the admin key the reverse."""
    client = start(api_keys=(api_key, "another-key"), admin_key=admin_key).client

    def status(method: str, path: str, key: str) -> int:
        return client.request(method, path, headers={"x-api-key": key}).status_code

    assert status("GET", "/recommend?user_id=u1", api_key) == 200
    assert status("GET", "/recommend?user_id=u1", "another-key") == 200
    assert status("GET", "/recommend?user_id=u1", admin_key) == 401
    assert status("POST", "/admin/reload", admin_key) == 200
    assert status("POST", "/admin/reload", api_key) == 401


def test_admin_needs_no_api_key(start: Callable[..., Any], admin_key: str) -> None:
    """An admin key guards the admin routes also where the API is open."""
    client = start(admin_key=admin_key).client
    assert client.get("/recommend?user_id=u1").status_code == 200
    assert client.post("/admin/reload").status_code == 401
    assert client.post("/admin/reload", headers={"x-api-key": admin_key}).status_code == 200


def test_requests_are_counted_by_route_and_status(fake: Any) -> None:
    """requests_total has the path's template, never an id, and one value for whatever does not exist."""
    for path in ("/items/i1", "/items/i2", "/items/x9", "/nowhere", "/nowhere/else", "/recommend?user_id=u1"):
        fake.client.get(path)
    fake.client.post("/recommend", json={"user_ids": ["u1"]})
    text = fake.client.get("/metrics").text
    assert 'foldrec_requests_total{route="GET /items/{item_id}",status="200"} 2.0' in text
    assert 'foldrec_requests_total{route="GET /items/{item_id}",status="404"} 1.0' in text
    assert 'foldrec_requests_total{route="unmatched",status="404"} 2.0' in text
    assert 'foldrec_requests_total{route="GET /recommend",status="200"} 1.0' in text
    assert 'foldrec_requests_total{route="POST /recommend",status="200"} 1.0' in text
    assert 'foldrec_request_duration_seconds_count{route="GET /items/{item_id}"} 3.0' in text
    assert "u1" not in text
    assert "i1" not in text


def test_lists_are_timed_and_counted(fake: Any) -> None:
    """Retrieval by index, fold-ins, fallbacks by reason, and lists that came out short."""
    fake.client.get("/recommend?user_id=u1&k=3")
    fake.client.get("/recommend?user_id=nobody&k=3")
    fake.client.get("/similar?item_id=i1&k=20")
    fake.client.post("/recommend", json={"user_ids": ["nobody", "u1"], "k": 20})
    fake.client.post("/fold-in", json={"interactions": [{"item_id": "i1"}], "k": 3})
    fake.client.get("/similar-users?user_id=u1&k=3")
    text = fake.client.get("/metrics").text
    assert 'foldrec_retrieval_seconds_count{index="hnsw"} 1.0' in text
    assert "foldrec_fold_in_seconds_count 1.0" in text
    assert 'foldrec_fallback_total{reason="unknown_user"} 2.0' in text
    assert "foldrec_shortfall_total 4.0" in text


def test_metrics_of_the_contract_exist(fake: Any) -> None:
    """Every family of API.md that this version has is there, with its labels and the smallest bucket."""
    fake.client.get("/recommend?user_id=u1")
    fake.client.get("/recommend?user_id=nobody&k=20")
    text = fake.client.get("/metrics").text
    version = fake.source.recommender.snapshot.version
    for expected in (
        'foldrec_requests_total{route="GET /recommend",status="200"}',
        'foldrec_request_duration_seconds_bucket{le="0.00025",route="GET /recommend"}',
        'foldrec_retrieval_seconds_bucket{index="hnsw",le=',
        "foldrec_fold_in_seconds_bucket{le=",
        'foldrec_fallback_total{reason="unknown_user"}',
        "foldrec_shortfall_total ",
        "foldrec_in_flight 0.0",
        "foldrec_heavy_in_flight 0.0",
        f'foldrec_model_info{{family="ials",version="{version}"}} 1.0',
        "foldrec_model_load_seconds ",
        "foldrec_model_age_seconds ",
        'foldrec_reload_total{result="loaded"} 1.0',
        'foldrec_reload_total{result="refused"} 0.0',
    ):
        assert expected in text


def test_heavy_request_does_not_hold_up_a_light_one(start: Callable[..., Any]) -> None:
    """While a batch is being computed the event loop answers others."""
    service = start(threads=1)
    with ThreadPoolExecutor() as pool:
        batch = pool.submit(service.client.post, "/recommend", json={"user_ids": ["slow"]})
        while not service.source.recommender.asked:
            assert not batch.done()
        assert service.client.get("/recommend?user_id=u1").status_code == 200
        assert not batch.done()
        service.source.recommender.release.set()
        assert batch.result().status_code == 200
