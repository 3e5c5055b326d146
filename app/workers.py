"""Several workers on one machine that share one copy of the model.

The parent loads the model and forks the workers, so what it loaded is the same physical memory in all of
them, graphs and id maps included, and a worker that dies is replaced in the time of a fork. A new artifact
makes a new generation of workers; once those answer, the old ones finish their requests and end. The parent
itself has one thread and answers nobody. A worker whose parent is gone ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import logging
import os
import secrets
import selectors
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app import snapshot
from app.compared import open_compared
from app.holder import Swap
from app.metrics import Metrics, SharedCounts
from app.replaced import ReplacedModels
from models.artifact import current_marker, current_version
from models.errors import ArtifactError, NoArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.compared import Compared
    from app.settings import Settings
    from app.snapshot import Snapshot
    from models.artifact import CurrentMarker

logger = logging.getLogger(__name__)

_GRACE_SECONDS: Final = 2.0
"""What a worker is given beyond its time to drain before it is killed."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a worker is replaced that died without ever answering: doubled each time."""
_PARENTS_SLOT: Final = -1
_READY, _RELOAD = b"ready\n", b"reload\n"


class Parent:
    """What a worker has of its parent.

    Attributes:
        snapshot: the model that the worker was forked with; None before there is any.
        slot: the worker's number: no two have the same at a time, and successors take over those of the dead.
        replaced: models that were served before, which cursors may go on in.
        cursor_key: signs the cursors of all workers where no key is set.
        compared: the model beside the served one, if there is to be any.
        metrics: the directory where all workers keep what they count.
        lifeline: a file descriptor that comes to its end with the parent.
    """

    def __init__(
        self,
        snapshot: Snapshot | None,
        slot: int,
        metrics: Path,
        lifeline: int,
        line: socket.socket,
        *,
        replaced: ReplacedModels[Snapshot],
        compared: Compared | None,
        cursor_key: bytes,
    ) -> None:
        self.snapshot = snapshot
        self.replaced = replaced
        self.compared = compared
        self.cursor_key = cursor_key
        self.slot = slot
        self.metrics = metrics
        self.lifeline = lifeline
        self._line = line
        self._one_at_a_time = asyncio.Lock()

    def ready(self) -> None:
        """Say that this worker answers."""
        self._line.sendall(_READY)

    async def reload(self) -> Swap:
        """Have the parent look for a new model now, and wait until its workers answer.

        Raises:
            ArtifactError: there is none, or it cannot be served; the model in place stays.
        """
        async with self._one_at_a_time:
            answer = await asyncio.to_thread(self._ask)
        if "error" in answer:
            raise ArtifactError(answer["error"])
        return Swap(**answer)

    def _ask(self) -> dict[str, Any]:
        self._line.sendall(_RELOAD)
        with self._line.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline() or b'{"error": "the service is stopping"}')
        return answer


@dataclass(eq=False, slots=True)
class _Worker:
    """A child as its parent sees it."""

    pid: int
    line: socket.socket
    slot: int
    generation: int
    is_ready: bool = False
    kill_at: float = float("inf")


class Workers:
    """The parent: loads, forks, replaces, retires.

    Args:
        settings: how many workers, where artifacts are, how long to drain.
        sockets: bound; every worker listens on them.
        serve: what a worker does; it returns when the worker has been told to stop and has drained.
        load: opens the current version in a directory.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: list[socket.socket],
        serve: Callable[[list[socket.socket], Parent], None],
        load: Callable[[Path], Snapshot] = snapshot.load,
    ) -> None:
        self._settings = settings
        self._sockets = sockets
        self._serve = serve
        self._load_current = load
        self._snapshot: Snapshot | None = None
        self._replaced: ReplacedModels[Snapshot] = ReplacedModels(
            settings.cursor_models, settings.cursor_seconds
        )
        self._cursor_key = secrets.token_bytes()
        self._seen: CurrentMarker | None = None
        self._generation = 0
        self._workers: dict[int, _Worker] = {}
        self._asking: list[tuple[_Worker, str | None]] = []
        self._pause = 0.0
        self._fork_at = 0.0
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._lifeline, self._held = os.pipe()

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let the workers finish."""
        with self._signals(), tempfile.TemporaryDirectory(prefix="foldrec-metrics-") as metrics:
            self._directory = Path(metrics)
            self._metrics = Metrics(SharedCounts(self._directory, _PARENTS_SLOT))
            self._compared = open_compared(self._settings)
            self._look()
            look_at = time.monotonic() + self._settings.reload_seconds
            while not self._stopping:
                self._fork_missing()
                self._wait(min(look_at, self._fork_at if self._missing() else look_at))
                if time.monotonic() >= look_at:
                    self._look()
                    look_at = time.monotonic() + self._settings.reload_seconds
            logger.info("stopping %d workers", len(self._workers))
            for each in self._sockets:
                each.close()
            for worker in self._workers.values():
                self._retire(worker)
            while self._workers:
                self._wait(time.monotonic() + 0.1)

    # The model

    def _look(self) -> None:
        """Load a new model if there is one; a refused artifact is tried again when `CURRENT` changes."""
        self._replaced.forget()
        marker = current_marker(self._settings.artifacts)
        if marker is not None and marker != self._seen:
            with contextlib.suppress(ArtifactError):  # already in the log
                self._load()

    def _load(self) -> None:
        """Serve what `CURRENT` names, by a new generation of workers.

        Raises:
            ArtifactError: it cannot be served.
        """
        self._seen = current_marker(self._settings.artifacts)
        old = self._version
        try:
            if current_version(self._settings.artifacts) == old:
                return
            loaded = self._load_current(self._settings.artifacts)
        except NoArtifactError:
            raise
        except ArtifactError as error:
            self._metrics.artifact_refused()
            logger.error("artifact refused: %s", error, extra={"serving": old})  # noqa: TRY400 - no traceback
            raise
        except Exception as error:
            self._metrics.artifact_refused()
            logger.exception("artifact refused: loading it failed", extra={"serving": old})
            raise ArtifactError(f"loading it failed ({type(error).__name__}); see the log") from error
        if self._snapshot is not None:
            self._replaced.keep(self._snapshot)
        self._snapshot = loaded
        gc.collect()  # nothing else collects in this process: what replaced models left would stay for good
        self._generation += 1
        self._fork_at = self._pause = 0.0
        count = self._settings.workers
        logger.info("loaded %s for %d workers", self._version, count, extra={"replaced": old})

    @property
    def _version(self) -> str | None:
        return None if self._snapshot is None else self._snapshot.version

    # The workers

    def _missing(self) -> int:
        there = [worker for worker in self._workers.values() if worker.generation == self._generation]
        return self._settings.workers - len(there)

    def _fork_missing(self) -> None:
        if time.monotonic() >= self._fork_at:
            for _ in range(self._missing()):
                self._fork()

    def _fork(self) -> None:
        slot = next(each for each in itertools.count() if each not in self._slots())
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            self._become_worker(slot, ours, theirs)
        theirs.close()
        ours.setblocking(False)
        worker = self._workers[pid] = _Worker(pid, ours, slot, self._generation)
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(worker))

    def _slots(self) -> set[int]:
        return {worker.slot for worker in self._workers.values()}

    def _become_worker(self, slot: int, ours: socket.socket, theirs: socket.socket) -> None:
        """Serve, in the fork; never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._held)
            ours.close()
            for worker in self._workers.values():
                worker.line.close()
            self._selector.close()
            parent = Parent(
                self._snapshot,
                slot,
                self._directory,
                self._lifeline,
                theirs,
                replaced=self._replaced,
                compared=self._compared,
                cursor_key=self._cursor_key,
            )
            self._serve(self._sockets, parent)
            status = 0
        except BaseException:
            logger.exception("a worker failed")
        finally:
            os._exit(status)

    def _hear(self, worker: _Worker) -> None:
        """Take what a worker says."""
        try:
            said = worker.line.recv(64)
        except OSError:
            said = b""
        if not said:
            self._selector.unregister(worker.line)
        if _READY in said:
            worker.is_ready = True
            self._pause = 0.0
            self._retire_old()
        if _RELOAD in said:
            old = self._version
            try:
                self._load()
            except ArtifactError as error:
                self._answer(worker, {"error": str(error)})
            else:
                self._asking.append((worker, old))
                self._retire_old()

    def _retire_old(self) -> None:
        """Once all of the new generation answer, tell the old one to end, and whoever asked for it."""
        current = [worker for worker in self._workers.values() if worker.generation == self._generation]
        if self._missing() > 0 or not all(worker.is_ready for worker in current):
            return
        for worker, old in self._asking:
            self._answer(worker, {"old_version": old, "new_version": self._version})
        self._asking.clear()
        for worker in self._workers.values():
            if worker.generation < self._generation:
                self._retire(worker)

    def _retire(self, worker: _Worker) -> None:
        if worker.kill_at == float("inf"):
            worker.kill_at = time.monotonic() + self._settings.drain_seconds + _GRACE_SECONDS
            os.kill(worker.pid, signal.SIGTERM)

    def _answer(self, worker: _Worker, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it died meanwhile
            worker.line.sendall(json.dumps(answer).encode() + b"\n")

    def _reap(self) -> None:
        """Bury those that ended; one that nobody told to end is missing and will be replaced."""
        now = time.monotonic()
        for worker in list(self._workers.values()):
            if worker.kill_at < now:
                os.kill(worker.pid, signal.SIGKILL)
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            del self._workers[pid]
            with contextlib.suppress(KeyError):
                self._selector.unregister(worker.line)
            worker.line.close()
            if worker.kill_at == float("inf"):
                code = os.waitstatus_to_exitcode(status)
                logger.error("worker %d ended (exit code %d); replacing it", pid, code)
                if not worker.is_ready:
                    self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                    self._fork_at = now + self._pause

    # Waiting

    def _wait(self, until: float) -> None:
        """Sleep until a worker speaks or ends, a signal comes, or it is time."""
        kill_at = min((worker.kill_at for worker in self._workers.values()), default=until)
        timeout = max(0.0, min(until, kill_at + 0.01) - time.monotonic())
        for key, _ in self._selector.select(timeout):
            key.data()
        self._reap()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Wake up for SIGCHLD, stop at SIGTERM and SIGINT."""

        def stop(*_: object) -> None:
            self._stopping = True

        awake, wake = socket.socketpair()
        awake.setblocking(False)
        wake.setblocking(False)
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(awake, selectors.EVENT_READ, lambda: awake.recv(4096))
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            awake.close()
            wake.close()
