"""Two steps of work at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


def computed_ahead(iterator: Iterator[T]) -> Iterator[T]:
    """The same elements, each computed in another thread while the one before it is in use."""
    end = object()
    with ThreadPoolExecutor(max_workers=1) as thread:
        pending = thread.submit(next, iterator, end)
        while (element := pending.result()) is not end:
            pending = thread.submit(next, iterator, end)
            yield element  # type: ignore[misc]  # not the end, so an element
