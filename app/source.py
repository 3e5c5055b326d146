"""Where models come from: a directory of artifacts, or whatever a test puts in its place."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol

from app import snapshot
from app.recommender import Recommender
from app.snapshot import Snapshot
from models.artifact import current_marker, current_version
from models.errors import NoArtifactError


class ModelSource(Protocol):
    """Names the model to serve and loads it. Every method may block."""

    def marker(self) -> Hashable | None:
        """Take a cheap look: equal markers mean the same model, None means that there is none."""

    def version(self) -> str:
        """Name the model to serve; raises ArtifactError."""

    def load(self) -> Recommender:
        """Load the model to serve; raises ArtifactError."""


class Inherited:
    """The model that a worker was forked with; its parent replaces the worker when there is another.

    Args:
        inherited: the model; None before there is any.
        prepare: has the snapshot before it answers.
    """

    def __init__(self, inherited: Snapshot | None, prepare: Callable[[Snapshot], Snapshot]) -> None:
        self._inherited = inherited
        self._prepare = prepare

    def marker(self) -> Hashable | None:
        """Always the same."""
        return self._inherited and self._inherited.version

    def version(self) -> str:
        """The version of the model."""
        return self._snapshot().version

    def load(self) -> Recommender:
        """There is nothing to load."""
        return Recommender(self._prepare(self._snapshot()))

    def _snapshot(self) -> Snapshot:
        if self._inherited is None:
            raise NoArtifactError("nothing has been published yet; train a model first")
        return self._inherited


class ArtifactDirectory:
    """The version that ``CURRENT`` names in a directory that ``models.artifact.publish`` writes to.

    Args:
        root: the directory.
        prepare: has the snapshot before it answers.
        load: opens, verifies and indexes the current version.
    """

    def __init__(
        self,
        root: Path,
        prepare: Callable[[Snapshot], Snapshot],
        load: Callable[[Path], Snapshot] = snapshot.load,
    ) -> None:
        self._root = root
        self._prepare = prepare
        self._load = load

    def marker(self) -> Hashable | None:
        """Look at ``CURRENT`` in one system call."""
        return current_marker(self._root)

    def version(self) -> str:
        """Read ``CURRENT``."""
        return current_version(self._root)

    def load(self) -> Recommender:
        """Open, verify and index the version."""
        return Recommender(self._prepare(self._load(self._root)))
