"""Models that were replaced and are kept a while, for the cursors that go on in them."""

import time
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Versioned(Protocol):
    """A model, opened or served."""

    @property
    def version(self) -> str:
        """Its version."""
        ...


Model = TypeVar("Model", bound=Versioned)


class ReplacedModels(Generic[Model]):
    """The last few, for so long. For one thread only.

    Args:
        most: how many.
        seconds: how long each.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._kept: dict[str, tuple[Model, float]] = {}

    def keep(self, model: Model, until: float | None = None) -> None:
        """Keep a model from now on; the oldest goes where there are too many.

        Args:
            model: what was replaced.
            until: by `time.monotonic`; None: as long as any.
        """
        self._kept.pop(model.version, None)
        self._kept[model.version] = model, time.monotonic() + self._seconds if until is None else until
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]

    def get(self, version: str) -> Model | None:
        """The model of a version, if it is still kept."""
        model, until = self._kept.get(version, (None, 0.0))
        return model if time.monotonic() < until else None

    def forget(self) -> None:
        """Let go of those whose time is over."""
        now = time.monotonic()
        self._kept = {version: kept for version, kept in self._kept.items() if now < kept[1]}

    def __iter__(self) -> Iterator[tuple[Model, float]]:
        """Each model and until when it is kept, oldest first."""
        return iter(self._kept.values())
