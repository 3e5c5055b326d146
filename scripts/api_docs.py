"""docs/api.md from OpenAPI: every endpoint and every kind of problem, with an example that was executed.

    python -m scripts.api_docs --artifacts artifacts/movielens-100k

Services are started on free ports of the loopback interface, one for each combination of settings that an
example needs, and asked; what they answered is what the document shows.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from models.artifact import current_version
from models.errors import FoldrecError
from scripts.api_examples import ADMIN_KEY, CURSOR_KEY, Example, Seeds, endpoints, problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOVIELENS = Seeds("196", ("186", "22", "244", "166"), "50", ("181", "172"), ("genres", "Comedy"), "star wars")
_SHOWN_URL = "http://127.0.0.1:8000"
_LONGEST_ANSWER = 1_800
"""Characters of an answer that are shown."""
_START_SECONDS = 60
_DEFECT = "internal-error"
_NO_BOUND = 2**53
"""Larger integers are not the same in every reader of JSON."""


class Answers:
    """Services by their settings, started when they are first asked.

    Args:
        artifacts: holds the model that is asked.
        scratch: an empty directory.
        stack: ends the services.
    """

    def __init__(self, artifacts: Path, scratch: Path, stack: contextlib.ExitStack) -> None:
        self._artifacts = artifacts
        self._scratch = scratch
        self._stack = stack
        self._services: dict[tuple[tuple[str, str], ...], httpx.Client] = {}

    def service(self, settings: Mapping[str, str]) -> httpx.Client:
        """A client of a service with these settings."""
        defaults = {"artifacts": str(self._artifacts), "admin_key": ADMIN_KEY, "cursor_key": CURSOR_KEY}
        settings = {**defaults, **settings}
        key = tuple(sorted(settings.items()))
        if key not in self._services:
            self._services[key] = self._stack.enter_context(_running(settings))
        return self._services[key]

    def ask(self, example: Example) -> httpx.Response:
        """Send an example's request to the service that it needs.

        Raises:
            RuntimeError: the status is not the example's.
        """
        client = self.service(example.settings)
        content = None if example.body is None else json.dumps(example.body)
        answer = client.request(example.method, example.target, content=content, headers=_headers(example))
        if answer.status_code != example.status:
            raise RuntimeError(f"{_curl(example)}\nwas answered {answer.status_code}: {answer.text}")
        return answer

    def refusal(self, kind: str, example: Example) -> tuple[Example, httpx.Response]:
        """Bring a problem about; with the request that did."""
        match kind:
            case "not-ready":
                return example, self.ask(
                    replace(example, settings={"artifacts": str(self._scratch / "none")})
                )
            case "artifact-refused":
                return example, self.ask(replace(example, settings=self._with_broken_current()))
            case "cursor-expired":
                example = replace(example, target=example.target + self._older_cursor(example))
                return example, self.ask(example)
            case "too-busy":
                with _held_request(self.service(example.settings)):
                    return example, self.ask(example)
            case _:
                return example, self.ask(example)

    def _with_broken_current(self) -> dict[str, str]:
        """Settings of a service that runs on a directory whose `CURRENT` was broken later."""
        root = self._scratch / "broken"
        root.mkdir()
        version = current_version(self._artifacts)
        (root / version).symlink_to((self._artifacts / version).resolve())
        (root / "CURRENT").write_text(f"{version}\n")
        settings = {"artifacts": str(root), "reload_seconds": "3600"}
        self.service(settings)
        (root / "CURRENT").write_text("20260101T000000Z-0000\n")
        return settings

    def _older_cursor(self, example: Example) -> str:
        """A cursor of the same question, from a service with another model and the same key."""
        table = self._scratch / "table.csv"
        user = httpx.URL(example.target).params["user_id"]
        table.write_text(f"user_id,item_id\n{user},a\nsomebody,a\nsomebody,b\nsomebody,c\n")
        older = self._scratch / "older"
        words = ("--interactions", str(table), "--family", "popularity", "--artifacts", str(older))
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "scripts.train", *words], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        answer = self.ask(replace(example, status=200, settings={"artifacts": str(older)}))
        return str(answer.json()["next_cursor"])


@contextlib.contextmanager
def _running(settings: Mapping[str, str]) -> Iterator[httpx.Client]:
    """A service on a free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {**settings, "host": "127.0.0.1", "port": str(port), "log_level": "error"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FOLDREC_")}
    environment = {f"FOLDREC_{name.upper()}": value for name, value in variables.items()}
    process = subprocess.Popen([sys.executable, "-m", "app"], env=inherited | environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            deadline = time.monotonic() + _START_SECONDS
            while not _is_live(client):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the service did not start")
                time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait()


def _is_live(client: httpx.Client) -> bool:
    try:
        return client.get("/live").status_code == 200
    except httpx.TransportError:
        return False


@contextlib.contextmanager
def _held_request(client: httpx.Client) -> Iterator[None]:
    """A request whose body never comes to its end."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as connection:
        connection.sendall(
            b"POST /fold-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n{"
        )
        time.sleep(0.2)
        yield


def _headers(example: Example) -> dict[str, str]:
    typed = {} if example.body is None else {"Content-Type": "application/json"}
    return {**typed, **example.headers}


# Markdown


def document(openapi: Mapping[str, Any], answers: Answers, seeds: Seeds) -> str:
    """docs/api.md.

    Raises:
        RuntimeError: an example was not answered as it says, or an operation or a problem has none.
    """
    examples = endpoints(seeds)
    operations = {f"{method.upper()} {path}" for path, item in openapi["paths"].items() for method in item}
    if wrong := operations ^ {example.operation for example in examples}:
        raise RuntimeError(f"{', '.join(sorted(wrong))}: without an example, or with one and not there")
    parts = [_INTRODUCTION.format(version=openapi["info"]["version"])]
    for name in dict.fromkeys(example.operation for example in examples):
        method, path = name.split()
        parts.append(_operation(name, openapi["paths"][path][method.lower()], openapi))
        parts += [
            f"{example.words}\n\n{_shown(example, answers.ask(example))}"
            for example in examples
            if example.operation == name
        ]
    parts.append(_PROBLEMS)
    provoked = problems(seeds)
    documented = _problem_kinds(openapi)
    if missing := documented.keys() - provoked.keys() - {_DEFECT}:
        raise RuntimeError(f"no example for {', '.join(sorted(missing))}: scripts/api_examples.py needs one")
    statuses = {kind: problem["status"] for kind, problem in documented.items()}
    statuses |= {kind: example.status for kind, example in provoked.items()}
    for kind, status in sorted(statuses.items(), key=lambda each: each[1]):
        parts.append(f"### `/problems/{kind}` · {status}")
        if kind == _DEFECT:
            shown = _json_block(documented[kind])
            parts.append(f"A defect of the service; there is no request for it.\n\n{shown}")
            continue
        example, answer = answers.refusal(kind, provoked[kind])
        given = ", ".join(f"`FOLDREC_{name.upper()}={value}`" for name, value in example.settings.items())
        words = " ".join(filter(None, [example.words, given and f"The service was started with {given}."]))
        parts.append("\n\n".join(filter(None, [words, _shown(example, answer)])))
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# HTTP API

Generated by `python -m scripts.api_docs` from the OpenAPI document of version {version}, and by asking a
service with a model of MovieLens 100K: every answer below is one that it gave. Long ones are cut (`…`). What
the members of an answer mean: [answers.md](answers.md); filters: [filters.md](filters.md); pages, caching and
workers: [serving.md](serving.md); problems: [errors.md](errors.md). A typed client in one file:
[examples/client.py](examples/client.py).

Every answer has `X-Request-ID` (yours, or one that was made) and `X-Model-Version`. Where the service was
started with `FOLDREC_API_KEYS`, send `X-API-Key`. Names that are not listed are refused, not ignored."""

_PROBLEMS = """## Problems

Every refusal is `application/problem+json`. [errors.md](errors.md) says what to do about each."""


def _operation(name: str, operation: Mapping[str, Any], openapi: Mapping[str, Any]) -> str:
    lines = [f"## `{name}`", "", operation.get("description", operation["summary"])]
    rows = [
        (
            parameter["name"],
            parameter["schema"] | parameter,
            parameter.get("required", False),
            parameter["in"],
        )
        for parameter in operation.get("parameters", [])
    ]
    if body := operation.get("requestBody"):
        schema = _resolved(body["content"]["application/json"]["schema"], openapi)
        required = schema.get("required", [])
        rows += [
            (member, _resolved(each, openapi) | each, member in required, "body")
            for member, each in schema["properties"].items()
        ]
    if rows:
        lines += ["", "| name | in | type | default | meaning |", "|---|---|---|---|---|"]
        for member, schema, is_required, place in rows:
            default = "required" if is_required else _default(schema)
            described = schema.get("description", "").replace("|", "\\|").replace("\n", " ")
            lines.append(f"| `{member}` | {place} | {_type(schema)} | {default} | {described} |")
    return "\n".join(lines)


def _default(schema: Mapping[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`" if schema.get("default") not in (None, []) else ""


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "object")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None or high is None or high >= _NO_BOUND:
        return str(kind)
    return f"{kind} {low:g} to {high:g}"


def _resolved(schema: Mapping[str, Any], openapi: Mapping[str, Any]) -> dict[str, Any]:
    """A schema behind its reference; of something that may be null, the something."""
    for choice in schema.get("anyOf", []):
        if choice.get("type") != "null":
            return _resolved(choice, openapi)
    if reference := schema.get("$ref"):
        found: dict[str, Any] = openapi["components"]["schemas"][reference.rpartition("/")[2]]
        return found
    return dict(schema)


def _problem_kinds(openapi: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The documented example of every kind of problem of an operation, by the last part of its type."""
    kinds: dict[str, dict[str, Any]] = {}
    for item in openapi["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                for media in response.get("content", {}).values():
                    for name, example in media.get("examples", {}).items():
                        if str(example["value"].get("type", "")).startswith("/problems/"):
                            kinds[name] = example["value"]
    return kinds


def _curl(example: Example) -> str:
    words = [] if example.method == "GET" else ["-X", example.method]
    for name, value in _headers(example).items():
        words += ["-H", f"{name}: {value}"]
    if example.body is not None:
        words += ["-d", json.dumps(example.body)]
    return shlex.join(["curl", _SHOWN_URL + example.target, *words])


def _shown(example: Example, answer: httpx.Response) -> str:
    status = "" if answer.is_success else f"# {answer.status_code}{_retry_after(answer)}\n"
    block = (
        _json_block(answer.json()) if "json" in answer.headers["content-type"] else _text_block(answer.text)
    )
    return f"```sh\n{_curl(example)}\n{status}```\n{block}"


def _retry_after(answer: httpx.Response) -> str:
    seconds = answer.headers.get("retry-after")
    return f", Retry-After: {seconds}" if seconds else ""


def _json_block(value: Any) -> str:  # noqa: ANN401 - JSON
    return f"```json\n{_cut(_json(value, 0))}\n```"


def _text_block(text: str) -> str:
    return f"```\n{_cut(text)}\n```"


def _json(value: Any, indent: int) -> str:  # noqa: ANN401 - JSON
    """JSON with one member a line, what fits into a line in one."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= 110 or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + 1
    pad = " " * inner
    if isinstance(value, list):
        return "[\n" + ",\n".join(pad + _json(each, inner) for each in value) + "]"
    members = (f"{pad}{json.dumps(name)}: {_json(each, inner)}" for name, each in value.items())
    return "{\n" + ",\n".join(members) + "}"


def _cut(text: str) -> str:
    """The first lines of a long answer."""
    if len(text) <= _LONGEST_ANSWER:
        return text
    kept = text[:_LONGEST_ANSWER].rpartition("\n")[0] or text[:_LONGEST_ANSWER]
    return kept + "\n…"


def main(
    artifacts: Annotated[
        Path, typer.Option(help="What scripts.train has published for MovieLens 100K.")
    ] = Path("artifacts/movielens-100k"),
    out: Annotated[Path, typer.Option(help="The document to write.")] = Path("docs/api.md"),
) -> None:
    """Write docs/api.md: every endpoint and every problem, with an example that was executed."""
    try:
        text = executed(artifacts, MOVIELENS)
    except (FoldrecError, RuntimeError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    out.write_text(text)
    typer.echo(f"wrote {out}")


def executed(artifacts: Path, seeds: Seeds) -> str:
    """The document for a model, by services that are started and ended here.

    Raises:
        FoldrecError: there is no model in `artifacts`.
        RuntimeError: an example is missing, or was not answered as it says.
    """
    current_version(artifacts)
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        answers = Answers(artifacts, Path(scratch), stack)
        openapi = answers.service({}).get("/openapi.json").json()
        return document(openapi, answers, seeds).replace(scratch, "/srv")


if __name__ == "__main__":
    typer.run(main)
