"""Thin command lines: each module is a ``main(argv) -> int``."""

import os
import signal
import sys


def leave(*_: object) -> None:
    """Ctrl-C while a command is still importing ends it without a traceback."""
    os._exit(130)


# `python -m` has put "-m" there as long as it looks for the module. From `scripts.terminal.run` on, Ctrl-C is
# heard as ever.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)
