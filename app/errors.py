"""Every refusal as one problem document (RFC 9457).

::

    FoldrecError
    ├── RequestError, UnknownUserError, UnknownItemError, ArtifactError     (models.errors)
    └── ServiceError                  what only the HTTP shell can object to
        ├── InvalidRequestError       422, with one entry per field
        ├── UnauthorizedError         401
        ├── AdminOffError             404
        ├── MethodNotAllowedError     405
        ├── UnknownModelError         404
        ├── NoReportError             404
        ├── CursorExpiredError        410
        ├── BodyTooLargeError         413
        ├── UnsupportedMediaTypeError 415
        ├── TooBusyError              429
        └── NotReadyError             503

:func:`problem_of` is the only place that turns an error into a status. ``docs/errors.md`` explains each kind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from models.errors import ArtifactError, FoldrecError, RequestError, UnknownItemError, UnknownUserError
from models.spelling import did_you_mean

CONTENT_TYPE = "application/problem+json"
MAX_FIELDS = 20
"""Field-level entries in one problem document; a body of ten thousand faults is not answered with as many."""
MAX_DETAIL = 1000
"""Characters of a detail; it quotes what the client sent."""

Header = tuple[bytes, bytes]
Location = Literal["query", "body", "path"]


class Kind(Enum):
    """The kinds of problem: status and title. The name makes the type URI, ``/problems/unknown-item``."""

    INVALID_REQUEST = 422, "The request is not valid"
    UNAUTHORIZED = 401, "Missing or wrong API key"
    UNKNOWN_USER = 404, "Unknown user"
    UNKNOWN_ITEM = 404, "Unknown item"
    UNKNOWN_MODEL = 404, "Unknown model version"
    NO_REPORT = 404, "No evaluation report"
    NOT_FOUND = 404, "No such resource"
    METHOD_NOT_ALLOWED = 405, "Method not allowed"
    ARTIFACT_REFUSED = 409, "The artifact cannot be served"
    CURSOR_EXPIRED = 410, "The model of the cursor is gone"
    BODY_TOO_LARGE = 413, "The request body is too large"
    UNSUPPORTED_MEDIA_TYPE = 415, "The request body must be JSON"
    TOO_BUSY = 429, "Too many requests at a time"
    INTERNAL_ERROR = 500, "Internal error"
    NOT_READY = 503, "No model is loaded yet"

    def __init__(self, status: int, title: str) -> None:
        self.status = status
        self.title = title

    @property
    def slug(self) -> str:
        """The last segment of the type URI."""
        return self.name.lower().replace("_", "-")

    @property
    def type(self) -> str:
        """The relative type URI."""
        return f"/problems/{self.slug}"


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one parameter or member."""

    location: Location
    field: str
    detail: str


class ServiceError(FoldrecError):
    """Base of the refusals of the HTTP shell itself."""


class InvalidRequestError(ServiceError):
    """The query or the body is not what the schema says."""

    def __init__(self, fields: Sequence[FieldError], count: int | None = None) -> None:
        """Take the first findings, and how many there are in all if that is more."""
        first, rest = fields[0], (count or len(fields)) - 1
        more = f" (and {rest} more, see errors)" if rest else ""
        super().__init__(f"{first.location}: {first.detail}{more}")
        self.fields = tuple(fields[:MAX_FIELDS])


class UnauthorizedError(ServiceError):
    """The key is missing or wrong."""


class AdminOffError(ServiceError):
    """``/admin/*`` is asked for and no admin key is set."""


class MethodNotAllowedError(ServiceError):
    """The path exists, the method does not."""

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allow = ", ".join(sorted(allowed))
        super().__init__(f"{method} is not a method of this path; use {self.allow}")


class UnknownModelError(ServiceError):
    """A model version is asked for that is neither served nor compared with."""


class NoReportError(ServiceError):
    """No evaluation report is kept with the model."""

    def __init__(self, version: str) -> None:
        super().__init__(
            f"no evaluation report is kept with model {version}: python -m scripts.evaluate --attach-to "
            "keeps one there"
        )


class CursorExpiredError(ServiceError):
    """The model that a cursor goes on in is no longer kept."""


class BodyTooLargeError(ServiceError):
    """The body exceeds the limit."""


class UnsupportedMediaTypeError(ServiceError):
    """The body is not declared as JSON."""


class TooBusyError(ServiceError):
    """As many requests are in flight as the service takes."""


class NotReadyError(ServiceError):
    """No snapshot is loaded."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "no model is loaded yet: publish an artifact (python -m scripts.train), it is picked up by itself"
        )
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem document, before it becomes bytes."""

    kind: Kind
    detail: str
    fields: tuple[FieldError, ...] = ()
    headers: tuple[Header, ...] = ()

    def body(self, instance: str) -> bytes:
        """Return the document as JSON; ``instance`` is the request id."""
        return orjson.dumps(self.document(instance))

    def document(self, instance: str) -> dict[str, Any]:
        """Return the document; ``instance`` is the request id."""
        document: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": _quotable(self.detail),
            "instance": instance,
        }
        if self.fields:
            document["errors"] = [
                {"location": each.location, "field": _quotable(each.field), "detail": _quotable(each.detail)}
                for each in self.fields
            ]
        return document


def problem_of(error: Exception) -> Problem:  # noqa: C901, PLR0911, PLR0912 - one line for each kind of error
    """Give an error its status: the only place that does."""
    text = str(error)
    match error:
        case InvalidRequestError():
            return Problem(Kind.INVALID_REQUEST, text, fields=error.fields)
        case UnknownUserError():
            return Problem(Kind.UNKNOWN_USER, text)
        case UnknownItemError():
            return Problem(Kind.UNKNOWN_ITEM, text)
        case RequestError():
            return Problem(Kind.INVALID_REQUEST, text)
        case UnauthorizedError():
            return Problem(
                Kind.UNAUTHORIZED, text, headers=((b"www-authenticate", b'ApiKey realm="foldrec"'),)
            )
        case AdminOffError():
            return Problem(Kind.NOT_FOUND, text)
        case MethodNotAllowedError():
            return Problem(Kind.METHOD_NOT_ALLOWED, text, headers=((b"allow", error.allow.encode()),))
        case UnknownModelError():
            return Problem(Kind.UNKNOWN_MODEL, text)
        case NoReportError():
            return Problem(Kind.NO_REPORT, text)
        case CursorExpiredError():
            return Problem(Kind.CURSOR_EXPIRED, text)
        case BodyTooLargeError():
            return Problem(Kind.BODY_TOO_LARGE, text)
        case UnsupportedMediaTypeError():
            return Problem(Kind.UNSUPPORTED_MEDIA_TYPE, text)
        case TooBusyError():
            return Problem(Kind.TOO_BUSY, text, headers=((b"retry-after", b"1"),))
        case NotReadyError():
            return Problem(Kind.NOT_READY, text, headers=((b"retry-after", b"%d" % error.retry_after),))
        case ArtifactError():
            return Problem(Kind.ARTIFACT_REFUSED, text)
        case HTTPException(status_code=404):
            return Problem(
                Kind.NOT_FOUND, "there is nothing at this path; GET /openapi.json lists what there is"
            )
        case HTTPException(status_code=405):
            return Problem(
                Kind.METHOD_NOT_ALLOWED,
                "this method is not one of this path",
                headers=tuple((k.lower().encode(), v.encode()) for k, v in (error.headers or {}).items()),
            )
        case _:
            return Problem(Kind.INTERNAL_ERROR, "the error was logged under this request id (instance)")


def invalid(error: ValidationError, model: type[BaseModel], location: Location) -> InvalidRequestError:
    """Turn pydantic's findings about a query or a body into ours."""
    details = error.errors(include_url=False, include_context=False)[:MAX_FIELDS]
    fields = [_field_error(detail, model, location) for detail in details]
    return InvalidRequestError(fields, error.error_count())


def _field_error(detail: ErrorDetails, model: type[BaseModel], location: Location) -> FieldError:
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).lstrip(
        "."
    )
    match detail["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            text = f"{field} is not known here"
            known = _members(model, detail["loc"][:-1])
            text += did_you_mean(str(detail["loc"][-1]), known) or "; known are " + ", ".join(known)
        case "missing":
            text = f"{field} is missing"
        case _ if not field:
            text = detail["msg"]
        case _:
            text = f"{field}={_shown(detail['input'])}: {detail['msg'].removeprefix('Value error, ')}"
    return FieldError(location, field, text)


def _members(owner: Any, location: tuple[int | str, ...]) -> list[str]:  # noqa: ANN401 - a type or an alias
    """The members that the object at a location of a request may have."""
    for part in location:
        owner = get_type_hints(owner)[part] if isinstance(part, str) else get_args(owner)[0]
        if get_origin(owner) in (Union, UnionType):  # X | None; pydantic goes into X without saying so
            owner = get_args(owner)[0]
    return sorted(owner.model_fields if issubclass(owner, BaseModel) else owner.__dataclass_fields__)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | None) else f"({type(value).__name__})"
    return text if len(text) <= 80 else text[:79] + "…"


def _quotable(text: str) -> str:
    """Cut to a bounded length and drop what UTF-8 cannot hold."""
    cut = text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"
    return cut.encode("utf-8", "replace").decode()
