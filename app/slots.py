"""How much a service takes on at a time: over it, a request is refused at once and never made to wait."""

from dataclasses import dataclass
from typing import Self

from app.errors import TooBusyError
from app.settings import Settings, variable


class Slots:
    """So many requests at a time, as a context manager that one holds. For the event loop's thread only."""

    def __init__(self, most: int, what: str, setting: str) -> None:
        self.taken = 0
        self._most = most
        self._refusal = (
            f"{most} {what} are in flight, as many as this service takes ({setting}): "
            "try again after Retry-After, or send fewer at a time"
        )

    def __enter__(self) -> None:
        if self.taken >= self._most:
            raise TooBusyError(self._refusal)
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.taken -= 1


@dataclass(frozen=True, slots=True)
class InFlight:
    """The bounds of one worker.

    A light request without a body is answered in one step of the event loop: there is never more than one,
    so none is counted or refused.
    """

    all: Slots
    """Requests that wait: for the rest of their body, for a thread, or for the handler in it."""
    heavy: Slots
    """Those of them that a thread runs or will run."""

    @classmethod
    def within(cls, settings: Settings) -> Self:
        """Take the bounds from the settings."""
        return cls(
            all=Slots(settings.max_in_flight, "requests", variable("max_in_flight")),
            heavy=Slots(settings.max_heavy_in_flight, "heavy requests", variable("max_heavy_in_flight")),
        )
