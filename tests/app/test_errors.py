"""Every error of the contract, over a real socket."""

import http.client
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, ValidationError

from app.errors import Kind, invalid
from app.schemas.problems import ProblemDocument

JSON = {"content-type": "application/json"}
FOLD_IN = "/fold-in"


@dataclass(frozen=True)
class Case:
    """A request and the problem that answers it."""

    name: str
    kind: Kind
    method: str
    path: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    names: str = ""
    """What the detail must name."""
    settings: dict[str, Any] = field(default_factory=dict)
    ready: bool = True


def posted(name: str, body: bytes, names: str, path: str = FOLD_IN) -> Case:
    """A body that is refused as invalid."""
    return Case(name, Kind.INVALID_REQUEST, "POST", path, body, JSON, names)


def got(name: str, path: str, names: str) -> Case:
    """A query that is refused as invalid."""
    return Case(name, Kind.INVALID_REQUEST, "GET", path, names=names)


KEYS = {"api_keys": ("a-key-for-tests",), "admin_key": "an-admin-key-for-tests"}
ADMIN = {"x-api-key": "an-admin-key-for-tests"}

CASES = [
    got("no user", "/recommend", "user_id is missing"),
    got("empty user", "/recommend?user_id=", "user_id=''"),
    got("k of zero", "/recommend?user_id=u1&k=0", "k='0'"),
    got("k over the limit", "/recommend?user_id=u1&k=1001", "1000 (FOLDREC_MAX_K)"),
    got("k not a number", "/recommend?user_id=u1&k=ten", "k='ten'"),
    got("k with 5,000 digits", "/recommend?user_id=u1&k=" + "9" * 5000, "k='999"),
    got("k twice", "/recommend?user_id=u1&k=1&k=2", "k is given more than once"),
    got("misspelled parameter", "/recommend?user_id=u1&exclude_sen=false", "did you mean 'exclude_seen'?"),
    got("parameter of another route", "/similar?item_id=i1&exclude_seen=false", "exclude_seen is not known"),
    got("not a boolean", "/recommend?user_id=u1&explain=perhaps", "explain='perhaps'"),
    got("explain_top of zero", "/recommend?user_id=u1&explain_top=0", "explain_top='0'"),
    got("not UTF-8", "/recommend?user_id=%ff", "not UTF-8"),
    got("a lone surrogate, percent-encoded", "/recommend?user_id=%ed%a0%80", "not UTF-8"),
    got("parameter where none is taken", "/live?x=1", "x is not known"),
    posted("no body", b"", "the body is empty: send a JSON object"),
    posted("not JSON", b"{", "EOF"),
    posted("a list", b"[]", "should be an object"),
    posted("no interactions", b"{}", "interactions is missing"),
    posted("misspelled member", b'{"interactions":[],"exclude_sen":1}', "did you mean 'exclude_seen'?"),
    posted(
        "misspelled nested member",
        b'{"interactions":[{"item_id":"i1","valu":1}]}',
        "interactions[0].valu is not known here (did you mean 'value'?)",
    ),
    posted(
        "unknown nested member",
        b'{"interactions":[{"item_id":"i1","colour":1}]}',
        "interactions[0].colour is not known here; known are item_id, timestamp, value",
    ),
    posted(
        "misspelled member of a pair",
        b'{"pairs":[{"user_id":"u1","item":"i1"}]}',
        "pairs[0].item_id is missing",
        "/predict",
    ),
    posted("NaN", b'{"interactions":[{"item_id":"i1","value":NaN}]}', "interactions[0].value=nan"),
    posted("Infinity", b'{"interactions":[{"item_id":"i1","value":-Infinity}]}', "finite"),
    posted("1e400", b'{"interactions":[{"item_id":"i1","value":1e400}]}', "finite"),
    posted("a number in quotes", b'{"interactions":[{"item_id":"i1","value":"1"}]}', "valid number"),
    posted("lone surrogate", rb'{"interactions":[{"item_id":"\ud800"}]}', "hex escape"),
    posted("not UTF-8 in the body", b'{"interactions":[{"item_id":"\xff"}]}', "JSON"),
    posted("deep nesting", b"[" * 100_000, "recursion"),
    posted("an integer of 5,000 digits", b'{"interactions":[],"k":' + b"9" * 5000 + b"}", "out of range"),
    posted("an integer of 4,000 digits", b'{"interactions":[],"k":' + b"9" * 4000 + b"}", "FOLDREC_MAX_K"),
    posted("too many users", json.dumps({"user_ids": ["u1"] * 1001}).encode(), "1000", "/recommend"),
    posted("weights that do not fit", b'{"item_ids":["i1","i2"],"weights":[1]}', "one for each", "/similar"),
    Case("unknown user", Kind.UNKNOWN_USER, "GET", "/recommend?user_id=x9&on_unknown=error", names="'x9'"),
    Case("unknown seed", Kind.UNKNOWN_ITEM, "GET", "/similar?item_id=x9", names="'x9'"),
    Case("unknown item", Kind.UNKNOWN_ITEM, "GET", "/items/x9", names="'x9'"),
    got("item that is not UTF-8", "/items/%ff", "percent-encode the UTF-8 bytes"),
    got("item with a lone surrogate", "/items/a%ed%a0%80", "percent-encode the UTF-8 bytes"),
    Case(
        "item that is a replacement character", Kind.UNKNOWN_ITEM, "GET", "/items/%ef%bf%bd", names="'\ufffd'"
    ),
    Case("item with a zero byte", Kind.UNKNOWN_ITEM, "GET", "/items/%00", names=r"'\x00'"),
    Case("item with a slash", Kind.UNKNOWN_ITEM, "GET", "/items/a%2Fb", names="'a/b'"),
    Case(
        "a model that is not loaded",
        Kind.UNKNOWN_MODEL,
        "GET",
        "/similar?item_id=i1&model_version=20260101T000000Z-0000",
        names="'20260101T000000Z-0000'",
    ),
    Case("nothing there", Kind.NOT_FOUND, "GET", "/recommendations", names="/openapi.json"),
    Case("no item named", Kind.NOT_FOUND, "GET", "/items/"),
    Case("trailing slash", Kind.NOT_FOUND, "GET", "/recommend/"),
    Case("admin is off", Kind.NOT_FOUND, "POST", "/admin/reload", names="FOLDREC_ADMIN_KEY"),
    Case("wrong method", Kind.METHOD_NOT_ALLOWED, "DELETE", "/recommend", names="GET, HEAD, POST"),
    Case("wrong method on docs", Kind.METHOD_NOT_ALLOWED, "POST", "/openapi.json"),
    Case(
        "form",
        Kind.UNSUPPORTED_MEDIA_TYPE,
        "POST",
        FOLD_IN,
        b"{}",
        {"content-type": "text/plain"},
        "text/plain",
    ),
    Case("no content type", Kind.UNSUPPORTED_MEDIA_TYPE, "POST", FOLD_IN, b"{}", names="missing"),
    Case(
        "body too large",
        Kind.BODY_TOO_LARGE,
        "POST",
        FOLD_IN,
        b" " * 2000,
        JSON,
        "FOLDREC_MAX_BODY_BYTES",
        {"max_body_bytes": 1000},
    ),
    Case("no key", Kind.UNAUTHORIZED, "GET", "/recommend?user_id=u1", names="X-API-Key", settings=KEYS),
    Case(
        "wrong key",
        Kind.UNAUTHORIZED,
        "GET",
        "/model",
        None,
        {"x-api-key": "guess"},
        "API keys",
        settings=KEYS,
    ),
    Case(
        "an API key for admin",
        Kind.UNAUTHORIZED,
        "POST",
        "/admin/reload",
        None,
        {"x-api-key": "a-key-for-tests"},
        "admin key",
        settings=KEYS,
    ),
    Case("no model", Kind.NOT_READY, "GET", "/ready", names="scripts.train", ready=False),
    Case("no model to ask", Kind.NOT_READY, "GET", "/recommend?user_id=u1", names="no model", ready=False),
    Case(
        "nothing to load",
        Kind.ARTIFACT_REFUSED,
        "POST",
        "/admin/reload",
        None,
        ADMIN,
        "train a model",
        KEYS,
        ready=False,
    ),
    Case("a bug", Kind.INTERNAL_ERROR, "GET", "/recommend?user_id=boom", names="logged"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_error_is_a_problem_document(case: Case, start: Callable[..., Any]) -> None:
    """Every refusal has the right status and type, names the cause, and carries its request id."""
    service = start(ready=case.ready, **case.settings)
    host = urlsplit(service.url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=10)
    connection.request(case.method, case.path, body=case.body, headers=case.headers)
    response = connection.getresponse()
    raw = response.read()
    connection.close()
    problem = ProblemDocument.model_validate_json(raw)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status, problem.type) == (case.kind.status, case.kind.type)
    assert problem.status == response.status
    assert problem.title == case.kind.title
    assert problem.instance == response.headers["x-request-id"]
    assert case.names in problem.detail
    assert b"Traceback" not in raw
    assert b"secret internals" not in raw


def test_every_kind_has_a_case() -> None:
    """No kind of problem goes without a request that causes it."""
    elsewhere = {Kind.TOO_BUSY, Kind.CURSOR_EXPIRED, Kind.NO_REPORT}  # test_{overload,pages,report}.py
    assert {case.kind for case in CASES} | elsewhere == set(Kind)


def test_every_kind_is_explained() -> None:
    """docs/errors.md has a heading with type and status for each kind of problem."""
    text = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    for kind in Kind:
        assert f"## `{kind.type}` · {kind.status}\n" in text
        assert kind.title in text


@pytest.mark.parametrize(
    ("path", "settings", "ready", "header", "value"),
    [
        ("/ready", {"reload_seconds": 2.5}, False, "retry-after", "3"),
        ("/model", KEYS, True, "www-authenticate", 'ApiKey realm="foldrec"'),
    ],
)
def test_header_that_belongs_to_the_status(
    start: Callable[..., Any], path: str, settings: dict[str, Any], ready: bool, header: str, value: str
) -> None:
    """503 says when to come back, 401 how to authenticate."""
    assert start(ready=ready, **settings).client.get(path).headers[header] == value


def test_allow_lists_all_methods_of_the_path(fake: Any) -> None:
    """405 carries Allow with the methods of every operation of that path, HEAD included."""
    assert fake.client.delete("/recommend").headers["allow"] == "GET, HEAD, POST"
    assert fake.client.post("/ready", json={}).headers["allow"] == "GET, HEAD"


def test_chunked_body_is_cut_off_at_the_limit(start: Callable[..., Any]) -> None:
    """A body without a declared length is refused as soon as it exceeds the limit, before its end."""
    service = start(max_body_bytes=1000)
    url = urlsplit(service.url)
    with socket.create_connection((url.hostname, url.port), timeout=10) as connection:
        connection.sendall(
            b"POST /fold-in HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + b"258\r\n" + b" " * 600 + b"\r\n"
        )
        connection.sendall(b"258\r\n" + b" " * 600 + b"\r\n")  # no last chunk ever follows
        head = connection.recv(65536)
    assert head.startswith(b"HTTP/1.1 413 ")


def test_chunked_body_below_the_limit_is_read(start: Callable[..., Any]) -> None:
    """A chunked body is put together whatever the chunks."""
    service = start(max_body_bytes=1000)
    body = b'{"interactions":[{"item_id":"i1"}],"k":2}'
    answer = service.client.post(FOLD_IN, content=(body[n : n + 1] for n in range(len(body))), headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["k"] == 2


def test_long_input_is_quoted_shortly(fake: Any) -> None:
    """A detail quotes what was sent only up to a bounded length, and errors are listed up to a bound."""
    body = {"interactions": [{"item_id": "i", "value": "x" * 5000}] * 100}
    problem = ProblemDocument.model_validate_json(fake.client.post(FOLD_IN, json=body).content)
    assert len(problem.errors) == 1  # a list is refused at its first wrong entry
    unknown = ProblemDocument.model_validate_json(
        fake.client.post(FOLD_IN, json={f"m{n}": n for n in range(100)}).content
    )
    assert len(unknown.errors) == 20
    assert "more, see errors" in unknown.detail
    assert all(len(each.detail) < 200 for each in problem.errors)


def test_bug_is_logged_with_its_request_id(fake: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What the client is not told is in the log, under the id that the client was told."""
    answer = fake.client.get("/recommend?user_id=boom", headers={"x-request-id": "from-the-client"})
    [record] = [record for record in caplog.records if record.name == "app.gateway"]
    assert answer.json()["instance"] == "from-the-client"
    assert vars(record)["request_id"] == "from-the-client"
    assert record.exc_info is not None
    assert "secret internals" in str(record.exc_info[1])


class Clause(BaseModel, extra="forbid"):
    """A part of a body."""

    field: str = ""


class Body(BaseModel, extra="forbid"):
    """A body with parts in parts."""

    clause: Clause | None = None
    clauses: tuple[Clause, ...] = ()


@pytest.mark.parametrize(
    ("body", "field"),
    [({"clause": {"feild": "x"}}, "clause.feild"), ({"clauses": [{}, {"feild": "x"}]}, "clauses[1].feild")],
)
def test_members_are_suggested_at_any_depth(body: dict[str, Any], field: str) -> None:
    """An unknown member of a part, optional or one of many, is answered with the names of that part."""
    with pytest.raises(ValidationError) as raised:
        Body.model_validate(body)
    [found] = invalid(raised.value, Body, "body").fields
    assert (found.field, found.detail) == (field, f"{field} is not known here (did you mean 'field'?)")
