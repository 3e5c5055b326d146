"""A second model beside the served one, so that their lists can be compared."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import snapshot
from models.artifact import current_version
from models.artifact.manifest import MANIFEST
from models.artifact.store import CURRENT
from models.errors import ArtifactError, NoArtifactError

if TYPE_CHECKING:
    from pathlib import Path

    from app.answers.options import Body
    from app.settings import Settings
    from app.snapshot import Snapshot

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compared:
    """What ``FOLDREC_COMPARE_WITH`` came to: a model, or why there is none."""

    snapshot: Snapshot | None = None
    error: str | None = None

    def card(self) -> Body:
        """What `GET /model` says of it."""
        manifest = None if self.snapshot is None else self.snapshot.manifest
        return {
            "model_version": manifest and manifest.model_version,
            "family": manifest and manifest.family,
            "error": self.error,
        }


def open_compared(settings: Settings) -> Compared | None:
    """Open the model to compare with; None where the settings name none.

    One that cannot be opened is logged and told by `GET /model`; the service goes on without.
    """
    if settings.compare_with is None:
        return None
    try:
        opened = snapshot.open_version(_directory(settings.compare_with, settings.artifacts))
    except ArtifactError as error:
        logger.error("cannot compare: %s", error)  # noqa: TRY400 - no traceback
        return Compared(error=str(error))
    except Exception as error:
        logger.exception("cannot compare with %s: loading it failed", settings.compare_with)
        return Compared(error=f"loading it failed ({type(error).__name__}); see the log")
    logger.info("comparing with %s", opened.version)
    return Compared(opened)


def _directory(named: Path, artifacts: Path) -> Path:
    """A version's directory: one in `artifacts`, one by its path, or the current one of other artifacts."""
    for directory in (artifacts / named, named):
        if (directory / MANIFEST).is_file():
            return directory
        if (directory / CURRENT).is_file():
            return directory / current_version(directory)
    raise NoArtifactError(
        f"FOLDREC_COMPARE_WITH={named}: no version of that name in {artifacts}, and no directory of one "
        "or of artifacts; set it to one of these, or unset it"
    )
