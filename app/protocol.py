"""HTTP/1.1 as uvicorn speaks it, the head of an answer in one piece with its body.

uvicorn writes one after the other, and each write is a system call and a packet of its own. ASGI wants no
such haste: a server must not send the head before it has something of the body.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD: Final = b"HTTP/1.1 "
_CONTINUE: Final = b"HTTP/1.1 100 "
"""What begins so is no head that a body follows, but tells a waiting client to send its own."""
_LARGEST_COPIED: Final = 1 << 16
"""Bytes of a body. To copy a larger one behind its head takes longer than a second write."""


class OnePacketTransport(asyncio.Transport):
    """Another transport, but what begins like a head waits for the next write, for `flush` or for `close`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or hold back a head."""
        if self._head:
            if len(data) <= _LARGEST_COPIED:
                data = self._head + data
                self._head = b""
            else:
                self.flush()
        elif data[: len(_HEAD)] == _HEAD and data[: len(_CONTINUE)] != _CONTINUE:
            self._head = bytes(data)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that waits."""
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""

    def close(self) -> None:
        """Send what waits, then close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or being closed."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Have the protocol told of no more data."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Have it told again."""
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's
        """What the transport knows of its connection."""
        return self._transport.get_extra_info(name, default)


class OnePacketProtocol(HttpToolsProtocol):
    """Sends head and body of small answers in one write."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection."""
        self._joined = OnePacketTransport(transport)
        super().connection_made(self._joined)

    def on_response_complete(self) -> None:
        """Send the head of an answer that has no body: of HEAD."""
        self._joined.flush()
        super().on_response_complete()
