"""The playground's page as HTTP sees it: what is sent, to whom, and under which policy."""

import json
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from pydantic import ValidationError

from app.settings import Settings

ASSETS = sorted(file.name for file in files("app").joinpath("playground").iterdir())
PATHS = ["/", *(f"/playground/{name}" for name in ASSETS)]


@pytest.mark.parametrize("path", PATHS)
def test_files_are_sent_with_a_strict_policy(fake: Any, path: str) -> None:
    """Each file has a type that no browser guesses anew, and a policy without other hosts or inline code."""
    response = fake.client.get(path)
    assert response.status_code == 200
    assert response.headers["x-content-type-options"] == "nosniff"
    directives = dict(
        directive.split(" ", 1) for directive in response.headers["content-security-policy"].split("; ")
    )
    assert directives["default-src"] == "'none'"
    for kind in ("script-src", "style-src", "img-src", "connect-src"):
        assert directives[kind] == "'self'"
    assert directives["frame-ancestors"] == "'none'"


def test_page_asks_for_nothing_from_another_host() -> None:
    """No file names an address that a browser would load; XML namespaces are names only."""
    for file in files("app").joinpath("playground").iterdir():
        addresses = re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"(?m)(^|\s)//\s.*$", "", file.read_text()))
        assert set(addresses) <= {"http://www.w3.org"}, file.name


def test_page_names_files_that_are_there(fake: Any) -> None:
    """What the page and its modules refer to can be had."""
    text = fake.client.get("/").text
    named = set(re.findall(r'(?:src|href)="playground/([\w.-]+)"', text))
    for module in (name for name in ASSETS if name.endswith(".js")):
        source = fake.client.get(f"/playground/{module}").text
        named |= set(re.findall(r'from "\./([\w.-]+)"', source))
    assert named == set(ASSETS) - {"index.html"}


def test_known_file_is_not_sent_again(fake: Any) -> None:
    """If-None-Match with the tag of a file answers 304, with another tag the file."""
    tag = fake.client.get("/").headers["etag"]
    kept = fake.client.get("/", headers={"If-None-Match": tag})
    assert (kept.status_code, kept.content) == (304, b"")
    assert fake.client.get("/", headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "../settings.py", "..%2fsettings.py", "%2e%2e/settings.py"])
def test_no_other_file_can_be_had(fake: Any, name: str) -> None:
    """Only the page's own files are there, whatever the path says."""
    assert fake.client.get(f"/playground/{name}").status_code == 404


def test_page_needs_no_key_and_no_model(start: Callable[..., Any], api_key: str) -> None:
    """The page loads before a model does and without a key: it is what asks for the key."""
    client = start(ready=False, api_keys=(api_key,)).client
    assert client.get("/").status_code == 200
    assert client.get("/playground/main.js").status_code == 200
    assert client.get("/model").status_code == 401


def test_page_can_be_removed(start: Callable[..., Any]) -> None:
    """Without the playground its paths are like any that never were."""
    client = start(playground=False).client
    assert client.get("/").status_code == 404
    assert client.get("/playground/main.js").status_code == 404
    assert client.get("/live").status_code == 200


def test_page_is_not_part_of_the_api(fake: Any) -> None:
    """OpenAPI describes the API, not the page."""
    assert not {"/", "/playground/{name}"} & json.loads(fake.client.get("/openapi.json").text)["paths"].keys()


def test_image_hosts_are_added_to_the_policy(start: Callable[..., Any]) -> None:
    """Pictures may come from the hosts of the setting, and nothing else may."""
    client = start(image_hosts=("images.example.org", "*.example.net")).client
    policy = client.get("/").headers["content-security-policy"]
    assert "img-src 'self' images.example.org *.example.net;" in policy
    assert policy.count("example") == 2


@pytest.mark.parametrize(
    "host", ["a.example; script-src *", "*", "'unsafe-inline'", "a.example/path", "data:", "a b", ""]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    """A value that would loosen the policy stops the start."""
    with pytest.raises(ValidationError, match="a host is like"):
        Settings(image_hosts=(host,))
