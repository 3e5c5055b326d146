"""docs/api.md: every example is executed, and the document in the repository is about the same API."""

import json
import re
from pathlib import Path

import pytest

from scripts import api_docs
from scripts.api_examples import Seeds
from tests.service_process import ROOT

SEEDS = Seeds("u1", ("u2", "u3", "u4", "u5"), "i1", ("i2", "i4"), ("genres", "Comedy"), "title")
HEADING = re.compile(r"^##+ .*$", re.MULTILINE)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The document for a model of sixty users and forty items."""
    directory = tmp_path_factory.mktemp("api-docs")
    table, items = directory / "table.csv", directory / "items.ndjson"
    pairs = [(user, item) for user in range(60) for item in range(40) if (user * 7 + item * 3) % 5 == 0]
    table.write_text("user_id,item_id\n" + "".join(f"u{user},i{item}\n" for user, item in pairs))
    described = [
        {"item_id": f"i{n}", "title": f"Title {n}", "genres": ["Comedy", "Drama"]} for n in range(40)
    ]
    items.write_text("".join(json.dumps(each) + "\n" for each in described))
    root = directory / "artifacts"
    _train("--interactions", table, "--items", items, "--set", "factors=8", "--artifacts", root)
    return api_docs.executed(root, SEEDS)


def _train(*words: object) -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    command = [sys.executable, "-m", "scripts.train", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_operation_and_every_problem_has_an_executed_example(document: str) -> None:
    """Under each problem is an answer of its type; only that of a defect was not brought about."""
    sections = re.split(r"^### ", document, flags=re.MULTILINE)[1:]
    assert len(sections) == 15
    for section in sections:
        kind = re.match(r"`(/problems/[a-z-]+)` · (\d+)", section)
        assert kind is not None
        assert f'"type": "{kind[1]}"' in section
        assert ("curl" in section) == (kind[1] != "/problems/internal-error")
        if "curl" in section:
            assert f"# {kind[2]}" in section


def test_the_document_in_the_repository_is_of_this_api(document: str) -> None:
    """docs/api.md has the same operations and problems, parameters and commands' number; else generate it."""
    kept = (ROOT / "docs" / "api.md").read_text()
    assert HEADING.findall(kept) == HEADING.findall(document), "run python -m scripts.api_docs"
    table = re.compile(r"^\| .*\|$", re.MULTILINE)
    assert table.findall(kept) == table.findall(document), "run python -m scripts.api_docs"
    assert kept.count("curl ") == document.count("curl ")


def test_nothing_of_this_machine_is_in_it(document: str, tmp_path: Path) -> None:
    """No path of a temporary directory or of a home."""
    assert str(tmp_path.parts[1]) not in re.findall(r"/(\w+)/", document)
