"""What FastAPI's OpenAPI does not know by itself: problem documents, headers, limits."""

from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import models_json_schema

from app import errors
from app.access import api_key
from app.errors import FieldError, Kind, Problem
from app.schemas.problems import ProblemDocument
from app.settings import Settings

_REFERENCE = "#/components/schemas/{model}"
_INSTANCE = "5d1fb7a600000001"

_HEADERS = {
    "X-Request-ID": {
        "description": "the one that was sent, or one that was made",
        "schema": {"type": "string"},
    },
    "X-Model-Version": {
        "description": "the model that answered; absent while none is loaded",
        "schema": {"type": "string"},
    },
}

_VALIDATORS = {
    "ETag": {
        "description": "stands for this model's answer to this question; send it back in If-None-Match",
        "schema": {"type": "string"},
    },
    "Cache-Control": {"description": "private: for this client alone", "schema": {"type": "string"}},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "entity tags of answers that the client has; 304 if one of them is current",
    "schema": {"type": "string"},
}

_RETRY_AFTER = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}

_EXAMPLES = {
    Kind.INVALID_REQUEST: Problem(
        Kind.INVALID_REQUEST,
        "query: exclude_sen is not known here (did you mean 'exclude_seen'?)",
        fields=(
            FieldError(
                "query", "exclude_sen", "exclude_sen is not known here (did you mean 'exclude_seen'?)"
            ),
        ),
    ),
    Kind.UNAUTHORIZED: Problem(
        Kind.UNAUTHORIZED, "the header X-API-Key is missing: send one of this service's API keys in it"
    ),
    Kind.UNKNOWN_USER: Problem(
        Kind.UNKNOWN_USER,
        "user 'u9' is not among the 943 users of model 20261121T083000Z-1f3a; "
        "POST /fold-in takes the history of anybody",
    ),
    Kind.UNKNOWN_ITEM: Problem(
        Kind.UNKNOWN_ITEM,
        "item 'x9' is not among the 1682 items of model 20261121T083000Z-1f3a; ids are compared exactly, and "
        "an item is in a model trained on interactions with it",
    ),
    Kind.UNKNOWN_MODEL: Problem(
        Kind.UNKNOWN_MODEL,
        "model '20260101T000000Z-0000' is not loaded here: 20261121T083000Z-1f3a is served, and nothing is "
        "compared with it (FOLDREC_COMPARE_WITH)",
    ),
    Kind.NO_REPORT: Problem(
        Kind.NO_REPORT,
        "no evaluation report is kept with model 20261121T083000Z-1f3a: python -m scripts.evaluate "
        "--attach-to keeps one there",
    ),
    Kind.NOT_FOUND: Problem(
        Kind.NOT_FOUND, "admin is off on this service: start it with FOLDREC_ADMIN_KEY set"
    ),
    Kind.METHOD_NOT_ALLOWED: Problem(
        Kind.METHOD_NOT_ALLOWED, "DELETE is not a method of this path; use GET, HEAD, POST"
    ),
    Kind.ARTIFACT_REFUSED: Problem(
        Kind.ARTIFACT_REFUSED,
        "item_factors.npy: its SHA-256 is not the one in the manifest; copy the version again or train again",
    ),
    Kind.CURSOR_EXPIRED: Problem(
        Kind.CURSOR_EXPIRED,
        "the cursor is of model 20261120T083000Z-9b2c, which was replaced by 20261121T083000Z-1f3a and is no "
        "longer kept (FOLDREC_CURSOR_SECONDS, FOLDREC_CURSOR_MODELS): start again with an empty cursor",
    ),
    Kind.BODY_TOO_LARGE: Problem(
        Kind.BODY_TOO_LARGE,
        "the body is over 1048576 bytes: send less at a time, or start the service with a larger "
        "FOLDREC_MAX_BODY_BYTES",
    ),
    Kind.UNSUPPORTED_MEDIA_TYPE: Problem(
        Kind.UNSUPPORTED_MEDIA_TYPE, "Content-Type is 'text/plain': send application/json"
    ),
    Kind.TOO_BUSY: Problem(
        Kind.TOO_BUSY,
        "16 heavy requests are in flight, as many as this service takes (FOLDREC_MAX_HEAVY_IN_FLIGHT): "
        "try again after Retry-After, or send fewer at a time",
    ),
    Kind.INTERNAL_ERROR: Problem(
        Kind.INTERNAL_ERROR, "the error was logged under this request id (instance)"
    ),
    Kind.NOT_READY: Problem(
        Kind.NOT_READY,
        "no model is loaded yet: publish an artifact (python -m scripts.train), it is picked up by itself",
    ),
}


def refusals(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Document problems as FastAPI's ``responses``: status, schema and one example for each kind."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        response = responses.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {
                    errors.CONTENT_TYPE: {
                        "schema": {"$ref": _REFERENCE.format(model=ProblemDocument.__name__)},
                        "examples": {},
                    }
                },
            },
        )
        example = {"summary": kind.title, "value": _EXAMPLES[kind].document(_INSTANCE)}
        response["content"][errors.CONTENT_TYPE]["examples"][kind.slug] = example
    return responses


def complete(document: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Complete what FastAPI derived from the routes.

    Args:
        document: changed in place.
        settings: the limits and the keys of the service that it describes.

    Returns:
        The same document.
    """
    components = document["components"]
    components["schemas"] |= models_json_schema(
        [(ProblemDocument, "serialization")], ref_template=_REFERENCE
    )[1]["$defs"]
    for operation in _operations(document):
        has_entity_tag = "304" in operation["responses"]
        for status, response in operation["responses"].items():
            response["headers"] = _HEADERS | (_RETRY_AFTER if status in {"429", "503"} else {})
            if has_entity_tag and status in {"200", "304"}:
                response["headers"] |= _VALIDATORS
        parameters = operation.get("parameters", [])
        if has_entity_tag:
            parameters.append(_IF_NONE_MATCH)
        parameters.sort(key=lambda parameter: not parameter["required"])
        for parameter in parameters:
            if parameter["name"] == "k":
                parameter["schema"]["maximum"] = settings.max_k
        if not settings.api_keys and operation.get("security") == [{api_key.scheme_name: []}]:
            del operation["security"]
    for schema in components["schemas"].values():
        if schema.get("additionalProperties") is False and "default" in schema.get("properties", {}).get(
            "k", {}
        ):
            schema["properties"]["k"]["maximum"] = settings.max_k
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()
