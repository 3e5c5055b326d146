"""One published version to look at, and copies of it to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.artifact import publish
from tests.models.artifact.sample import METADATA, sample_card, sample_contents


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version directory with every kind of file; not to be changed."""
    root = tmp_path_factory.mktemp("artifacts")
    contents = sample_contents(metadata=METADATA)
    return root / publish(root, contents, sample_card(contents))


@pytest.fixture
def version(published: Path, tmp_path: Path) -> Path:
    """A copy of that directory, to be changed at will."""
    return Path(shutil.copytree(published, tmp_path / published.name))
