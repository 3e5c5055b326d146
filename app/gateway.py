"""The one middleware: everything that is done for every request, in one place and one stack frame.

Request id, key, dispatch, the answer's headers, errors, metrics. Paths that belong to an
:class:`~app.operation.Operation` are found in a dictionary and answered here; the others (``/docs``,
``/openapi.json``, and what does not exist) go on to FastAPI's router with the same treatment.
"""

import itertools
import logging
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import errors
from app.access import Access, KeyRing
from app.dependencies import SERVED
from app.errors import Header, MethodNotAllowedError, problem_of
from app.holder import ModelHolder
from app.limits import Limits
from app.metrics import Metrics
from app.operation import ClientGoneError, Operation
from app.slots import InFlight

logger = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_UNMATCHED: Final = "unmatched"
_CLIENT_GONE: Final = 499
_NOT_MODIFIED: Final = 304
_PROBLEM: Final = errors.CONTENT_TYPE.encode()

Methods = dict[str, Operation]


class Gateway:
    """Pure ASGI, outermost."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        operations: Iterable[Operation],
        holder: ModelHolder,
        keys: KeyRing,
        limits: Limits,
        metrics: Metrics,
        in_flight: InFlight,
    ) -> None:
        self._app = app
        self._holder = holder
        self._keys = keys
        self._limits = limits
        self._metrics = metrics
        self._in_flight = in_flight
        self._exact: dict[str, Methods] = {}
        self._with_parameter: dict[tuple[str, str], Methods] = {}
        for operation in sorted(operations, key=lambda each: len(each.suffix), reverse=True):
            methods = (
                self._with_parameter.setdefault((operation.prefix, operation.suffix), {})
                if operation.takes_path
                else self._exact.setdefault(operation.prefix, {})
            )
            methods[operation.method] = operation
        self._process = secrets.token_hex(4).encode()
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = self._request_id(headers.get(b"x-request-id"))
        scope[SERVED] = self._holder.served
        own = [(b"x-request-id", request_id)]
        label = _UNMATCHED
        body: bytes | None = None
        try:
            methods, parameter = self._find(scope)
            if methods is None:
                self._keys.check(Access.KEY, headers)
                status = await self._pass_on(scope, receive, send, own)
            else:
                operation = _choose(methods, scope["method"])
                label = operation.label
                self._keys.check(operation.access, headers)
                reply = await operation.reply(
                    scope,
                    receive,
                    headers,
                    parameter,
                    limits=self._limits,
                    in_flight=self._in_flight,
                )
                status, body = reply.status, reply.body
                own += reply.headers
        except ClientGoneError:
            status = _CLIENT_GONE
        except Exception as error:
            problem = problem_of(error)
            status, body = problem.kind.status, problem.body(request_id.decode())
            own += [(b"content-type", _PROBLEM), *problem.headers]
            if status == 500:
                logger.exception(
                    "%s failed", label, extra={"request_id": request_id.decode(), "path": scope["path"]}
                )
        if body is not None:
            own += _version(scope)
            if status != _NOT_MODIFIED:
                own.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": status, "headers": own})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        self._metrics.request(label, status, time.perf_counter() - started)

    def _request_id(self, sent: bytes | None) -> bytes:
        """Echo what the client sent if it is short and harmless, else make one."""
        if sent is not None and _REQUEST_ID.fullmatch(sent):
            return sent
        return b"%b%08x" % (self._process, next(self._numbers))

    def _find(self, scope: Scope) -> tuple[Methods | None, str]:
        """Return the operations of a path, None if it is not ours, and the value of the path's parameter.

        What follows the parameter is looked for in the path as it was sent: an id may end in `%2Fusers`.
        """
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        methods = self._exact.get(path)
        if methods is not None:
            return methods, ""
        for (prefix, suffix), candidates in self._with_parameter.items():
            if len(path) <= len(prefix) + len(suffix) or not path.startswith(prefix):
                continue
            if not suffix or scope["raw_path"].endswith(suffix.encode()):
                return candidates, path[len(prefix) : len(path) - len(suffix)]
        return None, ""

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, own: list[tuple[bytes, bytes]]
    ) -> int:
        """Let FastAPI answer; add our headers to its answer and return its status."""
        status = 0

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *own, *_version(scope)]
            await send(message)

        await self._app(scope, receive, observed)
        return status


def _version(scope: Scope) -> tuple[Header, ...]:
    """Name the model that answered, if one is loaded: the current one, or the one that a cursor led to."""
    served = scope[SERVED]
    return () if served is None else (served.header,)


def _choose(methods: Mapping[str, Operation], method: str) -> Operation:
    operation = methods.get("GET" if method == "HEAD" else method)
    if operation is None:
        raise MethodNotAllowedError(method, [*methods, "HEAD"] if "GET" in methods else methods)
    return operation
