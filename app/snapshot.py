"""A snapshot: one version of a model, opened, checked and ready to answer. Immutable once made."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from models.artifact import current_version, open_artifact
from models.errors import ArtifactError
from models.fold_in import FoldIn
from models.index.exact import ExactIndex, inverse_norms
from models.index.retriever import open_retriever
from models.posterior import Posterior
from models.row_rules import FixedSide, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.watched import Watch, WatchedRetriever
    from models.artifact import Artifact, Manifest
    from models.index.retriever import Retriever
    from models.types import RowArray

IndexName: TypeAlias = Literal["recommend", "similar"]
INDEXES: Final[tuple[IndexName, ...]] = ("recommend", "similar")
"""The indexes over items; each has a certificate in the manifest."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a model.

    Attributes:
        artifact: the opened artifact: ids, factors, histories, metadata, manifest.
        loaded_at: when this process opened it (UTC).
        load_seconds: how long that took.
        recommend: retrieval of items by inner product.
        similar: retrieval of items by cosine, biases left out.
        similar_users: exact retrieval of users by cosine, biases left out.
        fold_in: the row problem against this version's items.
        posterior: how sure scores are; None where the rule is not Gaussian.
        by_popularity: item rows, most interactions first, int32, shape ``(n_items,)``.
        watches: what is watched of the retrieval, and what was found.
    """

    artifact: Artifact
    loaded_at: datetime
    load_seconds: float
    recommend: Retriever | WatchedRetriever
    similar: Retriever | WatchedRetriever
    similar_users: ExactIndex
    fold_in: FoldIn
    posterior: Posterior | None
    by_popularity: RowArray
    watches: Mapping[IndexName, Watch] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The model version."""
        return self.artifact.manifest.model_version

    @property
    def state(self) -> str:
        """The model version, and what no longer answers as its manifest says."""
        fallen = [name for name, watch in self.watches.items() if watch.live.has_fallen]
        return "+".join([self.version, *(f"exact-{name}" for name in fallen)])

    def live_recall(self) -> dict[str, dict[str, Any]]:
        """What was found of each index that is watched, as JSON."""
        return {
            name: {
                "method": getattr(self, name).method,
                "recall_estimate": watch.live.estimate,
                "samples": watch.live.samples,
                "floor": watch.live.floor,
                "has_fallen": watch.live.has_fallen,
            }
            for name, watch in self.watches.items()
        }

    def with_retriever(self, index: IndexName, retriever: Retriever | WatchedRetriever) -> Snapshot:
        """The same, another retriever answering for one index."""
        return (
            replace(self, recommend=retriever) if index == "recommend" else replace(self, similar=retriever)
        )

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself."""
        return self.artifact.manifest


def load(root: Path) -> Snapshot:
    """Open the version that `root`/CURRENT names.

    Raises:
        NoArtifactError: nothing has been published yet.
        ArtifactError: the artifact is damaged or of an unknown schema.
    """
    return open_version(root / current_version(root))


def open_version(directory: Path) -> Snapshot:
    """Open the version in a directory.

    Raises:
        ArtifactError: the artifact is damaged or of an unknown schema.
    """
    started = datetime.now(UTC)
    artifact = open_artifact(directory)
    rule = artifact.manifest.row_rule
    items = rule.without_bias(artifact.item_factors)
    users = rule.without_bias(artifact.user_factors)
    recommend = open_retriever(
        ExactIndex(artifact.item_factors),
        artifact.graph_path("recommend"),
        artifact.manifest.retrieval["recommend"],
    )
    similar = open_retriever(
        ExactIndex(items, scale=inverse_norms(items)),
        artifact.graph_path("similar"),
        artifact.manifest.retrieval["similar"],
    )
    side = FixedSide(artifact.item_factors, artifact.item_arrays)
    needed = {f"item_{name}.npy" for name in rule.array_names} | (
        {"history_times.npy"} if rule.timed else set()
    )
    for name in sorted(needed - artifact.manifest.files.keys()):
        raise ArtifactError(f"{artifact.directory}: its rule looks up {name}, which is missing; train again")
    fold_in = FoldIn(side, rule)
    finished = datetime.now(UTC)
    return Snapshot(
        artifact=artifact,
        loaded_at=finished,
        load_seconds=(finished - started).total_seconds(),
        recommend=recommend,
        similar=similar,
        similar_users=ExactIndex(users, scale=inverse_norms(users)),
        fold_in=fold_in,
        posterior=_posterior(artifact.manifest, side),
        by_popularity=np.argsort(-artifact.popularity, kind="stable").astype(np.int32),
    )


def _posterior(manifest: Manifest, side: FixedSide) -> Posterior | None:
    rule = manifest.row_rule
    if manifest.noise_variance is None or not isinstance(rule, Rule):
        return None
    return Posterior(side, rule, manifest.noise_variance)
