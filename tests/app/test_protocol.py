"""The head of an answer goes out with its body, and nothing else changes: the oracle is uvicorn's own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.protocol import OnePacketProtocol

App = Callable[[Scope, Receive, Send], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"


class Recorded(asyncio.Transport):
    """A connection whose writes are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = list[bytes]()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        assert not self.closed
        self.writes.append(bytes(data))

    def close(self) -> None:
        """Remember."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def pause_reading(self) -> None:
        """Everything has come already."""

    def resume_reading(self) -> None:
        """Everything has come already."""


def answering(*chunks: bytes, length: int | None = None, status: int = 200) -> App:
    """Answers with these parts of a body."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, chunk in enumerate(chunks, start=1):
            more = number < len(chunks)
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
            await asyncio.sleep(0)

    return app


async def failing(_: Scope, __: Receive, send: Send) -> None:
    """Begins an answer and breaks."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    raise RuntimeError


async def exchange(protocol: type[HttpToolsProtocol], app: App, *received: bytes) -> Recorded:
    """What a connection is sent by a server that receives this."""
    config = uvicorn.Config(app, http=protocol, ws="none", lifespan="off", log_config=None)
    state = ServerState()
    transport = Recorded()
    connection = protocol(config=config, server_state=state, app_state={})
    connection.connection_made(transport)
    for data in received:
        connection.data_received(data)
        for _ in range(20):
            await asyncio.sleep(0)
    writes = transport.writes[:]
    if not transport.closed:
        transport.close()
        connection.connection_lost(None)
    assert transport.writes == writes
    transport.writes = writes
    return transport


LARGE = b"x" * 100_000
CASES: dict[str, tuple[App, list[bytes], int]] = {
    "whole": (answering(b"body", length=4), [GET], 1),
    "HEAD": (answering(b"", length=4), [GET.replace(b"GET", b"HEAD")], 1),
    "nothing": (answering(b"", status=304), [GET], 1),
    "large": (answering(LARGE, length=len(LARGE)), [GET], 2),
    "chunks": (answering(b"one", b"two", b"three"), [GET], 3),
    "a body like a head": (answering(b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n", length=29), [GET], 2),
    "one connection, many": (answering(b"body", length=4), [GET, GET, GET], 3),
    "pipelined": (answering(b"body", length=4), [GET + GET + GET], 3),
    "closed": (answering(b"body", length=4), [GET.replace(b"1.1", b"1.0")], 1),
    "posted": (answering(b"body", length=4), [POST + b"\r\nbody"], 1),
    "expected": (answering(b"body", length=4), [POST + b"Expect: 100-continue\r\n\r\n", b"body"], 2),
    "not HTTP": (answering(b"body", length=4), [b"\x00\x01"], 1),
    "broken": (failing, [GET], 1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_bytes_in_fewer_writes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and closing are uvicorn's own; of a small answer there is one write."""
    monkeypatch.setattr("logging.Logger.error", lambda *_args, **_options: None)
    app, received, n_writes = CASES[name]

    async def both() -> tuple[Recorded, Recorded]:
        plain = await exchange(HttpToolsProtocol, app, *received)
        return plain, await exchange(OnePacketProtocol, app, *received)

    plain, joined = asyncio.run(both())
    assert b"".join(joined.writes) == b"".join(plain.writes) != b""
    assert joined.closed == plain.closed
    assert len(joined.writes) == n_writes


def test_continue_is_not_kept_waiting() -> None:
    """A client that waits for leave to send its body gets it at once."""
    app, received, _ = CASES["expected"]
    first = asyncio.run(exchange(OnePacketProtocol, app, received[0]))
    assert first.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_nothing_is_written_to_a_client_that_has_gone() -> None:
    """It hangs up between head and body."""
    gone: list[Any] = []

    async def app(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        gone[0].closed = True
        gone[1].connection_lost(ConnectionResetError())
        await send({"type": "http.response.body", "body": b"body"})

    async def hang_up() -> list[bytes]:
        config = uvicorn.Config(app, http=OnePacketProtocol, ws="none", lifespan="off", log_config=None)
        connection = OnePacketProtocol(config=config, server_state=ServerState(), app_state={})
        transport = Recorded()
        gone.extend([transport, connection])
        connection.connection_made(transport)
        connection.data_received(GET)
        await asyncio.sleep(0.01)
        return transport.writes

    assert asyncio.run(hang_up()) == []
