"""The tools, called by the official client over both transports, beside the HTTP service."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from mcp import Client, StdioServerParameters

ROOT = Path(__file__).parents[2]
TOOLS = {"recommend", "fold_in", "similar", "explain", "search_items"}
COMMAND = ["-m", "app.mcp_server"]


def environment(artifacts: Path, **settings: str) -> dict[str, str]:
    """What a server is started with."""
    variables = {"artifacts": str(artifacts), "log_level": "error", **settings}
    return {**os.environ, **{f"FOLDREC_{name.upper()}": value for name, value in variables.items()}}


@pytest.fixture(scope="module")
def http_server(artifacts: Path) -> Iterator[str]:
    """The URL of a server over HTTP that asks for a key."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *COMMAND, "--http"], cwd=ROOT, env=environment(artifacts, port=str(port))
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(params=["stdio", "http"])
def talk(request: pytest.FixtureRequest, artifacts: Path) -> Callable[..., Any]:
    """Run a conversation with a server."""

    def _talk(conversation: Callable[[Client], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            server: Any = (
                request.getfixturevalue("http_server")
                if request.param == "http"
                else StdioServerParameters(
                    command=sys.executable, args=COMMAND, cwd=ROOT, env=environment(artifacts)
                )
            )
            async with Client(server) as client:
                return await conversation(client)

        return asyncio.run(run())

    return _talk


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return cast("dict[str, Any]", result.structured_content)


def without_titles(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as the HTTP service gives it."""
    items = [
        {name: value for name, value in item.items() if name not in {"title", "year"}}
        for item in answer["items"]
    ]
    return {**answer, "items": items}


def test_tools_answer_as_the_service_does(talk: Callable[..., Any], real: httpx.Client) -> None:
    """Each tool gives the answer of its endpoint, and lists have titles beside ids."""
    liked = [{"item_id": "i3"}, {"item_id": "i9", "value": 2.0}]
    must_not = {"must_not": [{"field": "genres", "any_of": ["Comedy"]}]}
    calls: list[tuple[str, dict[str, Any], httpx.Response]] = [
        (
            "recommend",
            {"user_id": "u7", "k": 3, "filter": ["genres:Comedy"]},
            real.get("/recommend?user_id=u7&k=3&filter=genres:Comedy"),
        ),
        (
            "fold_in",
            {"liked": liked, "k": 3, "filter": ["!genres:Comedy"]},
            real.post("/fold-in", json={"interactions": liked, "k": 3, "filter": must_not}),
        ),
        ("fold_in", {"liked": liked}, real.post("/fold-in", json={"interactions": liked})),
        ("similar", {"item_ids": ["i3"]}, real.post("/similar", json={"item_ids": ["i3"]})),
        (
            "explain",
            {"user_id": "u7", "item_id": "i3", "top": 2},
            real.get("/explain?user_id=u7&item_id=i3&explain_top=2"),
        ),
        ("search_items", {"query": "tilte 17", "k": 1}, real.get("/items?query=tilte+17&k=1")),
    ]

    async def conversation(client: Client) -> list[dict[str, Any]]:
        listed = await client.list_tools()
        assert {tool.name for tool in listed.tools} == TOOLS
        assert all(tool.description and tool.annotations for tool in listed.tools)
        return [await call(client, tool, **arguments) for tool, arguments, _ in calls]

    answers = talk(conversation)
    assert answers[0]["items"][0]["title"] == "Title " + answers[0]["items"][0]["item_id"][1:]
    for answer, (tool, _, response) in zip(answers, calls, strict=True):
        assert response.status_code == 200
        plain = without_titles(answer) if tool in {"recommend", "fold_in", "similar"} else answer
        assert plain == response.json()


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("similar", {"item_ids": ["x9"]}, "'x9'"),
        ("similar", {"item_ids": []}, "item_ids"),
        ("explain", {"user_id": "x9", "item_id": "i1"}, "POST /fold-in"),
        ("recommend", {"user_id": "u7", "filter": ["colour:"]}, "colour"),
        ("recommend", {"user_id": "u7", "k": 100_000}, "FOLDREC_MAX_K"),
        ("recommend", {"user_id": "u7", "k": 0}, "k"),
        ("search_items", {"query": ""}, "query"),
    ],
)
def test_refusal_is_a_text_that_says_what_is_wrong(
    http_server: str, tool: str, arguments: dict[str, Any], words: str
) -> None:
    """What cannot be answered is an error of the tool, in the words of the HTTP service."""

    async def conversation() -> None:
        async with Client(http_server) as client:
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert words in str(result.content)
            assert "Traceback" not in str(result.content)

    asyncio.run(conversation())


def test_key_is_asked_for() -> None:
    """Where the service has API keys, the tools over HTTP need one too."""
    code = (
        "import asyncio, httpx;"
        "from app.access import KeyRing; from app.mcp_server import Guarded; from pydantic import SecretStr;"
        "app = Guarded(None, KeyRing([SecretStr('a-key')], None));"
        "client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url='http://test');"
        "print(asyncio.run(client.post('/mcp')).status_code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "401\n"


def test_service_does_not_import_it() -> None:
    """The HTTP service runs without the extra."""
    code = "import sys, app.serve, app.main; app.main.create_app(); print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
