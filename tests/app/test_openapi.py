"""The OpenAPI document: complete, with examples, and true of the running service."""

import os
from importlib.metadata import version
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance
from schemathesis.schemas import BaseSchema

from app.errors import CONTENT_TYPE, Kind
from app.main import create_app
from app.openapi import refusals
from app.operation import Operation
from app.routes import operations
from app.schemas.problems import ProblemDocument
from app.settings import Settings

COMMON = {"422", "500"}
EXAMPLES = int(os.environ.get("TEST_API_EXAMPLES", "50"))
"""Cases of each operation and mode; `make test-api` asks for more."""


def unsaid(case: Case) -> list[Any]:
    """What to let pass, because JSON Schema has no words for it.

    These are the equal lengths of two arrays, the fields that the items' metadata have, that only what is in
    a history can be removed from it, how large a group is and what it cannot be asked, that it takes several
    users of the model to place an item, and which cursors the service signed.
    """
    given_members: set[str] = {"first users"} if case.path == "/fold-in/item" else set()
    for part in (case.query, case.body):
        if isinstance(part, dict):
            given_members |= part.keys()
    unsaid_of = {"weights", "filter", "what_if", "group", "first users", "cursor"}
    return [positive_data_acceptance] if given_members & unsaid_of else []


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document of a service with keys."""
    return create_app(Settings(api_keys=("a-key",), max_k=77)).openapi()  # type: ignore[arg-type]


def test_every_operation_is_documented(document: dict[str, Any]) -> None:
    """Paths and methods are those that are served; each has a summary, a description and a tag."""
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert documented == {(operation.method, operation.path) for operation in operations()}
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["tags"]


def test_every_refusal_is_documented_with_examples(document: dict[str, Any]) -> None:
    """Each operation lists its error statuses as problem documents, with an example that is one."""
    heavy = {"/similar-users", "/map", "/items", "/items/{item_id}/users", "/model/report"}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            expected = set(COMMON)
            if path not in {"/live", "/ready"}:
                expected.add("401")
            if method == "post" and path != "/admin/reload":
                expected |= {"413", "415"}
            if path != "/admin/reload" and (method == "post" or path in heavy):
                expected.add("429")
            if path not in {"/live", "/metrics", "/admin/reload"}:
                expected.add("503")
            responses = operation["responses"]
            assert expected <= set(responses), (method, path)
            assert ("429" in responses) == ("429" in expected), (method, path)
            for status, response in responses.items():
                waits = {"Retry-After"} if status in {"429", "503"} else set()
                assert set(response["headers"]) >= {"X-Request-ID", "X-Model-Version"} | waits
                if status in {"200", "304"}:
                    continue
                content = response["content"][CONTENT_TYPE]
                assert content["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}
                for example in content["examples"].values():
                    assert str(ProblemDocument.model_validate(example["value"]).status) == status


def test_conditional_requests_are_documented(document: dict[str, Any]) -> None:
    """What has an entity tag takes If-None-Match and may answer 304, and nothing else does."""
    for operation in operations():
        documented = document["paths"][operation.path][operation.method.lower()]
        parameters = {each["name"] for each in documented.get("parameters", [])}
        assert ("If-None-Match" in parameters) == operation.has_entity_tag
        for status in ("200", "304"):
            headers = documented["responses"].get(status, {}).get("headers", {})
            assert (headers.keys() >= {"ETag", "Cache-Control"}) == operation.has_entity_tag


def test_every_kind_of_problem_has_an_example() -> None:
    """No kind is without an example document."""
    documented = {
        ProblemDocument.model_validate(example["value"]).type
        for response in refusals(*Kind).values()
        for example in response["content"][CONTENT_TYPE]["examples"].values()
    }
    assert documented == {kind.type for kind in Kind}


def test_limits_and_version_are_those_of_the_service(document: dict[str, Any]) -> None:
    """`k` has the maximum of the settings in queries and bodies; the version is the package's."""
    assert document["info"]["version"] == version("foldrec")
    [k] = [each for each in document["paths"]["/recommend"]["get"]["parameters"] if each["name"] == "k"]
    assert k["schema"]["maximum"] == 77
    assert document["components"]["schemas"]["FoldInBody"]["properties"]["k"]["maximum"] == 77
    assert "maximum" not in document["components"]["schemas"]["Recommendation"]["properties"]["k"]


def test_security_is_what_the_settings_ask_for(document: dict[str, Any]) -> None:
    """With keys the API needs one; without, only the admin routes do."""
    assert document["paths"]["/recommend"]["get"]["security"] == [{"ApiKey": []}]
    assert document["paths"]["/admin/reload"]["post"]["security"] == [{"AdminKey": []}]
    assert "security" not in document["paths"]["/live"]["get"]
    keyless = create_app(Settings()).openapi()
    assert "security" not in keyless["paths"]["/recommend"]["get"]
    assert keyless["paths"]["/admin/reload"]["post"]["security"] == [{"AdminKey": []}]


@pytest.fixture(scope="module")
def api(real: httpx.Client) -> BaseSchema:
    """The document as the running service shows it."""
    return schemathesis.openapi.from_url(f"{real.base_url}/openapi.json")


ALLOWED = [(operation, GenerationMode.POSITIVE) for operation in operations()]
NOT_ALLOWED = [
    (operation, GenerationMode.NEGATIVE)
    for operation in operations()
    if operation._query or operation._body  # nothing else can be wrong: an item id is any string
]


@pytest.mark.parametrize(
    ("operation", "mode"), ALLOWED + NOT_ALLOWED, ids=lambda each: getattr(each, "label", None) or each.value
)
def test_service_keeps_its_word(api: BaseSchema, operation: Operation, mode: GenerationMode) -> None:
    """What the schema allows, and what it does not, gets a documented answer and never a 5xx."""
    documented = api[operation.path][operation.method]

    @given(case=documented.as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES)
    def check(case: Case) -> None:
        case.call_and_validate(excluded_checks=unsaid(case))

    check()
