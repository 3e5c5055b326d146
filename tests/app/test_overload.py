"""More requests than the service takes: refused at once, over a real socket, and what is light goes on."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from app.errors import Kind
from app.metrics import Metrics
from app.recommender import Options
from app.schemas.answers import Recommendations
from app.schemas.problems import ProblemDocument
from app.served import Served

SLOW_BATCH = {"user_ids": ["slow"]}
LIGHT = ["/live", "/ready", "/metrics", "/recommend?user_id=u1", "/items/i1"]


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests that are not answered yet."""
    with ThreadPoolExecutor() as pool:
        yield pool


def gauge(service: Any, name: str) -> float:
    """The value of a metric without labels."""
    [line] = [
        line for line in service.client.get("/metrics").text.splitlines() if line.startswith(f"{name} ")
    ]
    return float(line.split()[1])


def wait_for(service: Any, name: str, value: float) -> None:
    """Return once a gauge has a value; pytest's own timeout ends what never does."""
    while gauge(service, name) != value:
        pass


def is_too_busy(answer: httpx.Response, setting: str) -> None:
    """Hold an answer against the contract."""
    problem = ProblemDocument.model_validate_json(answer.content)
    assert (answer.status_code, problem.type) == (429, Kind.TOO_BUSY.type)
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert setting in problem.detail


@contextlib.contextmanager
def unfinished_body(service: Any) -> Iterator[socket.socket]:
    """A request whose body stops after its first byte."""
    url = urlsplit(service.url)
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall(
            b"POST /fold-in HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Content-Length: 19\r\n\r\n{"
        )
        yield connection


def test_heavy_request_over_the_bound_is_refused_at_once(
    start: Callable[..., Any], background: ThreadPoolExecutor
) -> None:
    """With one batch running and one waiting, every heavy route answers 429 and every light one 200."""
    service = start(threads=1, max_heavy_in_flight=2)
    batches = [background.submit(service.client.post, "/recommend", json=SLOW_BATCH) for _ in range(2)]
    wait_for(service, "foldrec_heavy_in_flight", 2)
    pairs = {"pairs": [{"user_id": "u1", "item_id": "i1"}]}
    for answer in (
        service.client.post("/recommend", json={"user_ids": ["u1"]}),
        service.client.post("/predict", json=pairs),
        service.client.get("/similar-users?user_id=u1"),
        service.client.get("/items/i1/users"),
    ):
        is_too_busy(answer, "FOLDREC_MAX_HEAVY_IN_FLIGHT")
    assert [service.client.get(path).status_code for path in LIGHT] == [200] * len(LIGHT)
    assert service.client.post("/fold-in", json={"interactions": []}).status_code == 200
    assert not any(batch.done() for batch in batches)
    text = service.client.get("/metrics").text
    assert 'foldrec_requests_total{route="POST /recommend",status="429"} 1.0' in text
    service.source.recommender.release.set()
    assert [batch.result().status_code for batch in batches] == [200, 200]
    assert service.client.get("/similar-users?user_id=u1").status_code == 200


def test_request_over_the_bound_is_refused_at_once(
    start: Callable[..., Any], background: ThreadPoolExecutor
) -> None:
    """With all slots taken, a request with a body is refused, a light one is not."""
    service = start(max_in_flight=2)
    heavy: list[Future[httpx.Response]] = [
        background.submit(service.client.post, "/recommend", json=SLOW_BATCH),
        background.submit(service.client.get, "/similar-users?user_id=slow"),
    ]
    wait_for(service, "foldrec_in_flight", 2)
    is_too_busy(service.client.post("/fold-in", json={"interactions": []}), "FOLDREC_MAX_IN_FLIGHT")
    assert [service.client.get(path).status_code for path in LIGHT] == [200] * len(LIGHT)
    service.source.recommender.release.set()
    assert [each.result().status_code for each in heavy] == [200, 200]
    assert service.client.post("/fold-in", json={"interactions": []}).status_code == 200


def test_slow_body_holds_a_slot_but_no_thread(start: Callable[..., Any]) -> None:
    """A body on its way counts among the requests in flight, not the heavy ones; its end frees the slot."""
    service = start(max_in_flight=1)
    with unfinished_body(service) as connection:
        wait_for(service, "foldrec_in_flight", 1)
        assert gauge(service, "foldrec_heavy_in_flight") == 0
        is_too_busy(service.client.post("/similar", json={"item_ids": ["i1"]}), "FOLDREC_MAX_IN_FLIGHT")
        assert service.client.get("/recommend?user_id=u1").status_code == 200
        connection.sendall(b'"interactions":[]}')
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert gauge(service, "foldrec_in_flight") == 0


def test_client_that_hangs_up_frees_its_slot(start: Callable[..., Any]) -> None:
    """A connection closed in the middle of a body leaves nothing behind."""
    service = start(max_in_flight=1)
    with unfinished_body(service):
        wait_for(service, "foldrec_in_flight", 1)
    wait_for(service, "foldrec_in_flight", 0)
    assert service.client.post("/fold-in", json={"interactions": []}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [(b'{"user_ids":["boom"]}', 500), (b"{", 422), (b'{"user_ids":["x9"],"on_unknown":"error"}', 404)],
    ids=["a bug", "a refusal before the thread", "a refusal in the thread"],
)
def test_failure_frees_its_slots(start: Callable[..., Any], body: bytes, status: int) -> None:
    """However often requests fail, the next is answered."""
    service = start(max_in_flight=1, max_heavy_in_flight=1)
    for _ in range(3):
        failed = service.client.post("/recommend", content=body, headers={"content-type": "application/json"})
        assert failed.status_code == status
    assert service.client.post("/recommend", json={"user_ids": ["u1"]}).status_code == 200


def test_batch_is_encoded_list_by_list(fake: Any) -> None:
    """Only lists that are JSON already reach the encoder of the answer: encoding lets no other thread run."""
    served = Served(fake.source.recommender, Metrics())
    answer = served.recommend_many(["u1", "nobody"], Options(k=2))
    assert [type(result) for result in answer["results"]] == [orjson.Fragment] * 2
    results = Recommendations.model_validate_json(orjson.dumps(answer)).results
    assert [(result.user_id, result.source) for result in results] == [
        ("u1", "factors"),
        ("nobody", "popular"),
    ]
