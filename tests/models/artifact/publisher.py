"""A process that publishes, and that can be stopped at any of its file operations.

Reads one line per publication from standard input, ``<what> <number>``, and answers one line. Each runs in a
forked child, so that modules are imported once:

- ``kill n``: the child sends itself SIGKILL at its n-th file operation; answers ``killed`` or ``published``.
- ``stop n``: SIGSTOP there; answers ``stopped <pid>``, for the caller to kill.
- ``limit n``: no file may grow beyond n bytes, which fails like a full disk; answers what the child says.
- ``nobody 0``: as a user who may write nowhere; answers what the child says.

A file operation is everything in the root that Python's audit hooks report (opening, making, renaming,
removing, locking) and every fsync.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from models.artifact import publish
from models.errors import FoldrecError
from tests.models.artifact.sample import sample_card, sample_contents


class SignalAt:
    """Sends this process a signal at its n-th file operation in a directory."""

    def __init__(self, root: Path, number: int, sent: signal.Signals) -> None:
        self.root = str(root)
        self.left = number
        self.sent = sent

    def install(self) -> None:
        """Watch all operations from now on; there is no way back."""
        fsync = os.fsync

        def counted(fd: Any) -> None:
            self.count()
            fsync(fd)

        os.fsync = counted
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by the interpreter before the operation happens."""
        named = any(isinstance(a, str | Path) and str(a).startswith(self.root) for a in arguments)
        if named or event == "fcntl.flock":
            self.count()

    def count(self) -> None:
        """One more operation."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.sent)


def child(root: Path, what: str, number: int) -> str:
    """Publish under the given conditions; returns what there is to say."""
    contents = sample_contents(metadata={"item-1": {"title": "x" * 5000}})
    card = sample_card(contents, seed=os.getpid())
    if what in ("kill", "stop"):
        SignalAt(root, number, signal.SIGKILL if what == "kill" else signal.SIGSTOP).install()
    elif what == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
    elif what == "nobody" and os.geteuid() == 0:
        os.setuid(65_534)
    try:
        publish(root, contents, card)
    except FoldrecError as error:
        return f"{type(error).__name__}: {error}"
    return "published"


def main(root: Path) -> None:
    """Serve requests until standard input ends."""
    for line in sys.stdin:
        what, number = line.split()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writing, child(root, what, int(number)).encode())
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            answer = f"stopped {pid}"
        elif os.WIFSIGNALED(status):
            answer = "killed"
        else:
            answer = os.read(reading, 10_000).decode() or f"exit status {status}"
        os.close(reading)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
