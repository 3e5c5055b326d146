"""An evaluation that is kept with the model that it is about, for `GET /model/report`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.artifact import attach_report, current_version
from models.artifact.manifest import read_manifest
from models.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from models.artifact import Manifest
    from models.dataset import Dataset
    from models.evaluation.comparison import Candidate


@dataclass(frozen=True, slots=True)
class Destination:
    """The version that a report goes to.

    Attributes:
        directory: of the version.
        manifest: what it says of itself.
    """

    directory: Path
    manifest: Manifest

    @classmethod
    def current(cls, artifacts: Path) -> Destination:
        """The version that is served.

        Raises:
            ArtifactError: there is none, or its manifest is damaged.
        """
        directory = artifacts / current_version(artifacts)
        return cls(directory, read_manifest(directory))

    def check_is_among(self, candidates: Iterable[Candidate]) -> None:
        """Refuse to say of a model what was found of others only.

        Raises:
            ConfigError: the version is of another family or configuration than all candidates.
        """
        family, config = self.manifest.family, self.manifest.config
        if not any((each.family, each.config) == (family, config) for each in candidates):
            settings = ", ".join(f"{name} {value}" for name, value in config.items())
            raise ConfigError(
                f"--attach-to: {self.directory} is of family {family} with {settings}, and no model of this "
                "evaluation is; name the recipe that it was trained by"
            )

    def check_is_of(self, dataset: Dataset) -> None:
        """Refuse to say of a model what was found on other interactions.

        Raises:
            ConfigError: the version was trained on others.
        """
        theirs = self.manifest.dataset
        if theirs.sha256 != dataset.sha256():
            raise ConfigError(
                f"--attach-to: {self.directory} was trained on other interactions ({theirs.rows:,} of "
                f"{theirs.users:,} users with {theirs.items:,} items; here are "
                f"{len(dataset.histories.indices):,} of {len(dataset.users):,} with {len(dataset.items):,}); "
                "give the table and the options that scripts.train was given, --duplicates among them"
            )

    def attach(self, page: str) -> Path:
        """Keep a report; raises ArtifactError."""
        return attach_report(self.directory, page)
