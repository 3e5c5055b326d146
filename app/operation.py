"""Routes that FastAPI documents and that run without its per-request machinery.

An :class:`Operation` is written like any FastAPI path operation::

    @router.get("/recommend", response_model=Recommendation, responses=refusals(Kind.UNKNOWN_USER))
    async def recommend(query: Annotated[RecommendQuery, Query()], served: CurrentModel) -> Answer:
        return served.recommend(query.user_id, query.options())

and OpenAPI is FastAPI's own. To answer a request, the query string or the body goes through one call of
pydantic, the answer through one of orjson; FastAPI's exit stacks, its dependency solver and the Response
objects cost more than retrieval does. As in FastAPI, ``async def`` runs on the event loop and ``def``
in a thread, here one of a bounded pool: heavy handlers are ``def``.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import Request, params
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope

from app import conditional
from app.access import Access
from app.conditional import CACHE_CONTROL, IF_NONE_MATCH
from app.dependencies import SERVED, current_model
from app.errors import (
    BodyTooLargeError,
    FieldError,
    Header,
    InvalidRequestError,
    Kind,
    UnsupportedMediaTypeError,
    invalid,
)
from app.limits import Limits
from app.openapi import refusals
from app.slots import InFlight

JSON = b"application/json"
_JSON_CONTENT = ((b"content-type", JSON),)


class ClientGoneError(Exception):
    """The client hung up before its request was complete; there is nobody to answer."""


@dataclass(slots=True)
class Reply:
    """An answer as it goes out."""

    body: bytes
    headers: tuple[Header, ...] = _JSON_CONTENT
    status: int = 200


class Operation(APIRoute):
    """One method of one path."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(path, endpoint, **options)
        self.access = Access.of(self.dependencies)
        self.method = next(iter(self.methods or {"GET"}))
        self.label = f"{self.method} {path}"
        self.prefix, self.takes_path, rest = path.partition("{")
        parameter, _, self.suffix = rest.partition("}")
        self._on_loop = inspect.iscoroutinefunction(endpoint)
        self._path_parameter = parameter.split(":")[0]
        self._query: tuple[str, type[BaseModel], frozenset[str]] | None = None
        self._body: tuple[str, type[BaseModel]] | None = None
        self._needs: list[tuple[str, Callable[[Request], Any]]] = []
        for name, hint in get_type_hints(endpoint, include_extras=True).items():
            if name not in ("return", self._path_parameter):
                self._understand(name, hint)
        self.has_entity_tag = (
            self.method == "GET"
            and bool(self._query or self._path_parameter)
            and any(need is current_model for _, need in self._needs)
        )
        if self.has_entity_tag:
            self.responses[304] = {"description": "What If-None-Match names is current"}
        self.responses = refusals(*self._kinds()) | self.responses

    def _understand(self, name: str, hint: Any) -> None:  # noqa: ANN401 - any annotation
        kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        match extras:
            case [params.Query()]:
                self._query = name, kind, _repeatable(kind)
            case [params.Body()]:
                self._body = name, kind
            case [params.Depends(dependency=dependency)] if dependency is not None:
                self._needs.append((name, dependency))
            case _:
                raise TypeError(
                    f"{self.endpoint.__name__}({name}): "
                    "an Operation takes Query, Body, Depends and the parameter of its path"
                )

    def _kinds(self) -> list[Kind]:
        """Kinds of problem that follow from the signature."""
        kinds = [Kind.INVALID_REQUEST, Kind.INTERNAL_ERROR]
        if self.access is not Access.OPEN:
            kinds.append(Kind.UNAUTHORIZED)
        if self._body:
            kinds += [Kind.BODY_TOO_LARGE, Kind.UNSUPPORTED_MEDIA_TYPE]
        if self._body or not self._on_loop:
            kinds.append(Kind.TOO_BUSY)
        if self._needs:
            kinds.append(Kind.NOT_READY)
        return kinds

    async def reply(
        self,
        scope: Scope,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        parameter: str,
        *,
        limits: Limits,
        in_flight: InFlight,
    ) -> Reply:
        """Answer one request.

        Args:
            scope: the request.
            receive: gives its body.
            headers: its header fields, names in lower case.
            parameter: the value of the path's parameter, if it has one.
            limits: what it may ask for.
            in_flight: has a slot for it while it waits for its body or for a thread.

        Raises:
            ClientGoneError: the body never came to its end.
            FoldrecError: the request was refused.
        """
        request = Request(scope)
        arguments: dict[str, Any] = {name: need(request) for name, need in self._needs}
        if self._path_parameter:
            arguments[self._path_parameter] = _path_value(self._path_parameter, parameter, scope)
        arguments |= self._queried(scope["query_string"], limits)
        if not self.has_entity_tag:
            return await self._answered(arguments, scope, receive, headers, limits, in_flight)
        kept = conditional.if_none_match(scope["headers"]) if IF_NONE_MATCH in headers else b""
        if kept and conditional.has(kept, tag := _entity_tag(scope)):
            return _not_modified(tag)
        reply = await self._answered(arguments, scope, receive, headers, limits, in_flight)
        tag = _entity_tag(scope)  # a cursor may have led to another model
        if kept and (conditional.has_any(kept) or conditional.has(kept, tag)):
            return _not_modified(tag)
        reply.headers += ((b"etag", tag), CACHE_CONTROL)
        return reply

    async def _answered(
        self,
        arguments: dict[str, Any],
        scope: Scope,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        limits: Limits,
        in_flight: InFlight,
    ) -> Reply:
        """Run the handler, after reading the body if it takes one."""
        if self._body is None and self._on_loop:
            return _replied(await self.endpoint(**arguments))
        with in_flight.all:
            if self._body is not None:
                name, model = self._body
                raw = await _read_json(receive, headers, limits.max_body_bytes)
                try:
                    arguments[name] = model.model_validate_json(raw, strict=True, context=limits)
                except ValidationError as error:
                    raise invalid(error, model, "body") from None
            if self._on_loop:
                return _replied(await self.endpoint(**arguments))
            with in_flight.heavy:
                return await asyncio.get_running_loop().run_in_executor(
                    scope["app"].state.pool, lambda: _replied(self.endpoint(**arguments))
                )

    def _queried(self, query_string: bytes, limits: Limits) -> dict[str, Any]:
        if self._query is None:
            unknown = list(parse_query(query_string, frozenset()))
            if unknown:
                raise InvalidRequestError(
                    [
                        FieldError(
                            "query", name, f"{name} is not known here: this path takes no query parameters"
                        )
                        for name in unknown
                    ]
                )
            return {}
        name, model, repeatable = self._query
        try:
            return {name: model.model_validate(parse_query(query_string, repeatable), context=limits)}
        except ValidationError as error:
            raise invalid(error, model, "query") from None


def parse_query(query_string: bytes, repeatable: frozenset[str]) -> dict[str, str | list[str]]:
    """Split a query string into values for validation.

    Args:
        query_string: percent-encoded UTF-8, ``+`` for a space.
        repeatable: parameters that may occur more than once; they become lists.

    Raises:
        InvalidRequestError: bytes that are not UTF-8, or a parameter given twice that is not repeatable.
    """
    values: dict[str, str | list[str]] = {}
    try:
        for pair in query_string.decode().split("&"):
            if not pair:
                continue
            name, _, value = pair.partition("=")
            if "%" in pair or "+" in pair:
                name, value = _unquoted(name), _unquoted(value)
            known = values.get(name)
            if name in repeatable:
                if isinstance(known, list):
                    known.append(value)
                else:
                    values[name] = [value]
            elif known is not None:
                raise InvalidRequestError([FieldError("query", name, f"{name} is given more than once")])
            else:
                values[name] = value
    except UnicodeDecodeError as error:
        shown = bytes(error.object).decode("utf-8", "replace")
        raise InvalidRequestError(
            [FieldError("query", "", f"{shown!r} is not UTF-8: percent-encode the UTF-8 bytes")]
        ) from None
    return values


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()


def _repeatable(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(
        name for name, field in model.model_fields.items() if get_origin(field.annotation) in (list, tuple)
    )


def _path_value(name: str, value: str, scope: Scope) -> str:
    """Refuse a value whose bytes are not UTF-8: servers decode a path with replacement characters."""
    if "\ufffd" in value:
        try:
            unquote_to_bytes(scope["raw_path"]).decode()
        except UnicodeDecodeError:
            detail = f"{name}={value!r} is not UTF-8: percent-encode the UTF-8 bytes"
            raise InvalidRequestError([FieldError("path", name, detail)]) from None
    return value


async def _read_json(receive: Receive, headers: Mapping[bytes, bytes], max_bytes: int) -> bytes:
    """Read a body that is declared as JSON, never more of it than allowed."""
    content_type = headers.get(b"content-type", b"")
    if content_type.partition(b";")[0].strip().lower() != JSON:
        shown = content_type.decode("latin-1") or "missing"
        raise UnsupportedMediaTypeError(f"Content-Type is {shown!r}: send application/json")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body"):
            break
    if size == 0:
        raise InvalidRequestError([FieldError("body", "", "the body is empty: send a JSON object")])
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body is over {max_bytes} bytes: send less at a time, or start the service with a larger "
        "FOLDREC_MAX_BODY_BYTES"
    )


def _entity_tag(scope: Scope) -> bytes:
    tag: bytes = scope[SERVED].entity_tags.tag(scope["path"], scope["query_string"])
    return tag


def _not_modified(tag: bytes) -> Reply:
    return Reply(b"", ((b"etag", tag), CACHE_CONTROL), status=304)


def _replied(answer: Reply | dict[str, Any]) -> Reply:
    return answer if isinstance(answer, Reply) else Reply(orjson.dumps(answer))
