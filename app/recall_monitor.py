"""Recall as people get it: a share of the lists is answered again, exactly, beside the requests.

Where what a graph answers falls below what its certificate promises, the exact scan answers in its place.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from app.snapshot import INDEXES
from app.watched import Answered, Watch, WatchedRetriever
from models.index.recall import LiveRecall, recall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.holder import ModelHolder
    from app.metrics import Metrics
    from app.snapshot import Snapshot

logger = logging.getLogger(__name__)

_WAITING: Final = 64
"""Answers that wait to be looked at; more are dropped."""
_REST: Final = 399
"""Times as long as an exact answer took the thread rests. Its scan also drives from the caches what requests
need there: given a hundredth of a core it cost them 4 % of their number."""


class RecallMonitor:
    """Watches the graphs of the model being served, in a thread of its own.

    Args:
        share: of the lists that are answered again; 0: none.
        metrics: told of every recall.
    """

    def __init__(self, share: float, metrics: Metrics) -> None:
        self._share = share
        self._metrics = metrics
        self._waiting: queue.Queue[Answered | None] = queue.Queue(_WAITING)
        self._stop = threading.Event()

    def watched(self, snapshot: Snapshot) -> Snapshot:
        """The same snapshot, a share of its graphs' answers handed over."""
        for index in INDEXES:
            retriever, promised = getattr(snapshot, index), snapshot.manifest.retrieval[index]
            if self._share and retriever.method != "exact":
                floor = min(promised.target, promised.recall, promised.recall_as_served)
                watch = Watch(snapshot.version, index, retriever.exact, promised.k, LiveRecall(floor))
                watched = WatchedRetriever(retriever, watch, self._share, self._hand_over)
                watches = {**snapshot.watches, index: watch}
                snapshot = replace(snapshot.with_retriever(index, watched), watches=watches)
        return snapshot

    @contextlib.contextmanager
    def running(self, holder: ModelHolder) -> Iterator[None]:
        """Look at what is handed over, until the block ends; a fall is told to the holder."""
        thread = threading.Thread(target=self._run, args=(holder,), name="recall")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            with contextlib.suppress(queue.Full):  # then it looks at the next, and sees that it is to stop
                self._waiting.put_nowait(None)
            thread.join()

    def _hand_over(self, answered: Answered) -> None:
        try:
            self._waiting.put_nowait(answered)
        except queue.Full:
            self._metrics.recall_dropped(answered.watch.index)

    def _run(self, holder: ModelHolder) -> None:
        while not self._stop.is_set():
            answered = self._waiting.get()
            if answered is None:
                break
            started = time.perf_counter()
            try:
                self._look(answered, holder)
            except Exception:
                logger.exception("an answer could not be checked; the next will be")
            self._stop.wait(_REST * (time.perf_counter() - started))

    def _look(self, answered: Answered, holder: ModelHolder) -> None:
        watch, live = answered.watch, answered.watch.live
        served = holder.served
        if served is None or served.version != watch.version or live.has_fallen:
            return
        k = min(answered.k, watch.k)
        _, best = watch.exact.search(answered.vector, k, answered.excluded, answered.eligible)
        estimate = live.add(recall(answered.scores[:k], best))
        self._metrics.recall_checked(watch.index, estimate)
        if live.has_fallen:
            logger.error(
                "recall of %s has fallen to %.3f, below the %.3f of its certificate: answering exactly until "
                "another model is loaded; train again",
                watch.index,
                estimate,
                live.floor,
                extra={"model_version": watch.version, "samples": live.samples},
            )
            self._metrics.recall_fell(watch.index)
            holder.search_exactly(watch.version, watch.index)
