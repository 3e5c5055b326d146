"""The one reference to the model being served, and what replaces it."""

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.compared import Compared
from app.metrics import Metrics
from app.recommender import Recommender
from app.replaced import ReplacedModels
from app.served import Served
from app.snapshot import IndexName
from app.source import ModelSource
from models.errors import ArtifactError, NoArtifactError

if TYPE_CHECKING:
    from collections.abc import Hashable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swap:
    """The versions before and after looking for a new model; equal where there was none."""

    old_version: str | None
    new_version: str


class ModelHolder:
    """Loads models and swaps them whole.

    A request takes :attr:`served` once and keeps it: it finishes on the model that it started with. An
    artifact that cannot be served leaves the model in place.
    """

    def __init__(self, source: ModelSource, metrics: Metrics, replaced: ReplacedModels[Served]) -> None:
        self.served: Served | None = None
        self.compared: Served | None = None
        self.comparison: Compared | None = None
        self._replaced = replaced
        self._source = source
        self._metrics = metrics
        self._seen: Hashable | None = None
        self._one_at_a_time = asyncio.Lock()
        self._swapping = threading.Lock()

    def compare(self, comparison: Compared | None) -> None:
        """Have a second model beside whatever is served."""
        self.comparison = comparison
        if comparison is not None and comparison.snapshot is not None:
            self.compared = Served(Recommender(comparison.snapshot), self._metrics)

    def kept(self, version: str) -> Served | None:
        """A model that was replaced not long ago."""
        return self._replaced.get(version)

    def search_exactly(self, version: str, index: IndexName) -> None:
        """Have one index answer exactly from now on, if this version is served still. From any thread."""
        served = self.served
        if served is None or served.version != version:
            return
        snapshot = served.recommender.snapshot
        exact = getattr(snapshot, index).without_graph()
        exactly = Served(Recommender(snapshot.with_retriever(index, exact)), self._metrics)
        with self._swapping:
            if self.served is served:
                self.served = exactly

    async def reload(self) -> Swap:
        """Look for a new model now, and serve it.

        Raises:
            ArtifactError: there is none, or it cannot be served; the model in place stays.
        """
        async with self._one_at_a_time:
            self._seen = await asyncio.to_thread(self._source.marker)
            return await self._load()

    async def look(self) -> None:
        """Serve a new model if there is one; a refused artifact is tried again when `CURRENT` changes."""
        async with self._one_at_a_time:
            marker = await asyncio.to_thread(self._source.marker)
            if marker is None or marker == self._seen:
                return
            self._seen = marker
            with contextlib.suppress(ArtifactError):  # already in the log and in the metrics
                await self._load()

    async def watch(self, seconds: float) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            self._replaced.forget()
            try:
                await self.look()
            except Exception:
                logger.exception("looking for a new artifact failed; trying again")

    async def _load(self) -> Swap:
        old = None if self.served is None else self.served.version
        started = time.perf_counter()
        try:
            version = await asyncio.to_thread(self._source.version)
            if version == old:
                return Swap(old, old)
            recommender = await asyncio.to_thread(self._source.load)
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
        seconds = time.perf_counter() - started
        manifest = recommender.snapshot.manifest
        with self._swapping:
            if self.served is not None:
                self._replaced.keep(self.served)
            self.served = Served(recommender, self._metrics)
        self._metrics.model_loaded(
            version=self.served.version,
            family=manifest.family,
            created_at=manifest.created_at,
            seconds=seconds,
        )
        logger.info("serving %s, loaded in %.2f s", self.served.version, seconds, extra={"replaced": old})
        return Swap(old, self.served.version)
