"""One published version to look at, and copies of it to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.artifact import publish
from tests.models.artifact.sample import sample_card, sample_contents


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version directory with every kind of file; not to be changed."""
    root = tmp_path_factory.mktemp("artifacts")
    contents = sample_contents(metadata={"item-3": {"title": "Drei 😀", "year": 1995, "genres": ["A", "B"]}})
    return root / publish(root, contents, sample_card(contents))


@pytest.fixture
def version(published: Path, tmp_path: Path) -> Path:
    """A copy of that directory, to be changed at will."""
    return Path(shutil.copytree(published, tmp_path / published.name))
