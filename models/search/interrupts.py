"""Ctrl-C in a search: heard while it waits for its workers, held back while its file is being written.

An interrupt in the middle of a statement leaves SQLAlchemy's words about it on the terminal.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


@contextmanager
def interrupts_held_back() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Hold SIGINT back; to be entered in the main thread.

    Yields:
        a context in which SIGINT raises KeyboardInterrupt, also one that came before; where it is ignored, it
        stays so.

    Raises:
        KeyboardInterrupt: at the end, for a SIGINT that came after the last wait.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # begun in the background by a shell whose Ctrl-C is not for us
        yield nullcontext
        return
    came = listening = False

    def hear(*_: object) -> None:
        nonlocal came
        came = True
        if listening:
            raise KeyboardInterrupt

    @contextmanager
    def heard() -> Iterator[None]:
        nonlocal listening
        listening = True
        try:
            if came:
                raise KeyboardInterrupt
            yield
        finally:
            listening = False

    signal.signal(signal.SIGINT, hear)
    try:
        yield heard
        if came:
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)
