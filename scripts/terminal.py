"""What every command line here has in common: its exit statuses and how it speaks of errors."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from rich.console import Console

import scripts
from models.errors import FoldrecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

INTERRUPTED = 130
"""128 + SIGINT, what a shell reports."""


def complain(what: str) -> None:
    """Print one error for a person."""
    Console(stderr=True).print(f"error: {what}", markup=False, highlight=False, soft_wrap=True)


def run(app: typer.Typer, argv: Sequence[str] | None, *, name: str) -> int:
    """Run a command line.

    Args:
        app: the command.
        argv: the words after the program's name; None takes those of this process.
        name: of the module, as in ``python -m name``.

    Returns:
        The exit status: 0 done, 1 a printed error, 2 wrong usage, 130 interrupted.
    """
    try:
        if signal.getsignal(signal.SIGINT) is scripts.leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app(sys.argv[1:] if argv is None else list(argv), prog_name=f"python -m {name}")
    except SystemExit as stop:
        return int(stop.code or 0)
    except (FoldrecError, OSError) as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain("interrupted; nothing was published")
        return INTERRUPTED
    return 0
