"""The first model, loaded while the rest of the service is still being imported."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from app import snapshot
from models.artifact import current_version

if TYPE_CHECKING:
    from pathlib import Path

    from app.snapshot import Snapshot


class LoadedEarly:
    """What `app.snapshot.load` does, begun at once in a thread of its own for whoever calls first.

    Args:
        root: holds the versions.
    """

    def __init__(self, root: Path) -> None:
        self._loaded: Snapshot | None = None
        self._thread = Thread(target=self._load, args=(root,), name="load")
        self._thread.start()

    def __call__(self, root: Path) -> Snapshot:
        """Wait for the snapshot, or load another if `CURRENT` names another by now; raises as `load` does."""
        self._thread.join()
        loaded, self._loaded = self._loaded, None
        if loaded is not None and loaded.version == current_version(root):
            return loaded
        return snapshot.load(root)

    def _load(self, root: Path) -> None:
        with suppress(Exception):  # whoever asks loads again, and is told
            self._loaded = snapshot.load(root)
