"""A snapshot: one version of a model, opened, checked and ready to answer. Immutable once made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from models.artifact import current_version, open_artifact
from models.errors import ArtifactError
from models.fold_in import FoldIn
from models.index.exact import ExactIndex, inverse_norms
from models.index.retriever import open_retriever
from models.row_rules import FixedSide

if TYPE_CHECKING:
    from pathlib import Path

    from models.artifact import Artifact, Manifest
    from models.index.retriever import Retriever
    from models.types import RowArray


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
        by_popularity: item rows, most interactions first, int32, shape ``(n_items,)``.
    """

    artifact: Artifact
    loaded_at: datetime
    load_seconds: float
    recommend: Retriever
    similar: Retriever
    similar_users: ExactIndex
    fold_in: FoldIn
    by_popularity: RowArray

    @property
    def version(self) -> str:
        """The model version."""
        return self.artifact.manifest.model_version

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
    started = datetime.now(UTC)
    artifact = open_artifact(root / current_version(root))
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
    finished = datetime.now(UTC)
    return Snapshot(
        artifact=artifact,
        loaded_at=finished,
        load_seconds=(finished - started).total_seconds(),
        recommend=recommend,
        similar=similar,
        similar_users=ExactIndex(users, scale=inverse_norms(users)),
        fold_in=FoldIn(side, rule),
        by_popularity=np.argsort(-artifact.popularity, kind="stable").astype(np.int32),
    )
