"""A small model to publish, damage and open."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Literal

import hnswlib
import numpy as np

from models.artifact import (
    ArtifactContents,
    DatasetFingerprint,
    FoldInCertificate,
    ModelCard,
    StoredLists,
    TopListsCard,
    TrainingRecord,
)
from models.ids import IdMap
from models.index.certificate import GraphSetting, Measurement, RecallCertificate
from models.row_rules import BM25Weighting, ImplicitRule
from models.row_solve import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pydantic import JsonValue

SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where tests publish hundreds of times: a process dies there as elsewhere, and fsync costs nothing."""

N_FACTORS = 5
_USER_IDS = [f"user-{number}" for number in range(30)]
_ITEM_IDS = [f"item-{number}" for number in range(20)]
FILES = {
    "manifest.json",
    "manifest.sha256",
    "user_ids.marisa",
    "item_ids.marisa",
    "user_factors.npy",
    "item_factors.npy",
    "history_indptr.npy",
    "history_items.npy",
    "history_values.npy",
    "history_times.npy",
    "popularity.npy",
    "item_length_norms.npy",
    "top_items.npy",
    "top_scores.npy",
    "metadata.jsonl",
    "metadata_offsets.npy",
    "field_0_values.npy",
    "field_0_items.npy",
    "field_0_vocabulary.marisa",
    "field_1_values.npy",
    "field_1_items.npy",
    "field_2_values.npy",
    "field_2_items.npy",
    "field_2_vocabulary.marisa",
    "field_3_values.npy",
    "field_3_items.npy",
    "recommend.hnsw",
    "similar.hnsw",
}
"""Everything that the sample's version directory holds."""
METADATA: dict[str, dict[str, JsonValue]] = {
    "item-3": {"title": "Drei 😀", "year": 1995, "genres": ["A", "B"], "released": "1995-01-31"},
    "item-4": {"genres": ["B"], "notes": {"nested": 1}},
    "item-5": {"year": 1999.5},
    "item-7": {"released": "2001-02-03T04:05:06Z"},
    "item-9": {"title": "Neun"},
}
"""Metadata of the sample: fields of several kinds, no two of whose files are the same, and one of none."""


def sample_contents(
    user_ids: Sequence[str] = _USER_IDS,
    item_ids: Sequence[str] = _ITEM_IDS,
    *,
    seed: int = 0,
    histories: Sequence[set[int]] | None = None,
    metadata: Mapping[str, Mapping[str, JsonValue]] | None = None,
) -> ArtifactContents:
    """A random model with an index of each kind."""
    rng = np.random.default_rng(seed)
    n_users, n_items = len(user_ids), len(item_ids)
    if histories is None:
        histories = [set(np.flatnonzero(rng.random(n_items) < 0.3).tolist()) for _ in user_ids]
    indices = np.array([item for history in histories for item in sorted(history)], dtype=np.int32)
    item_factors = rng.standard_normal((n_items, N_FACTORS), dtype=np.float32)
    return ArtifactContents(
        users=IdMap.build(user_ids),
        items=IdMap.build(item_ids),
        user_factors=rng.standard_normal((n_users, N_FACTORS), dtype=np.float32),
        item_factors=item_factors,
        histories=Rows(
            np.cumsum([0, *map(len, histories)], dtype=np.int64),
            indices,
            rng.random(len(indices), dtype=np.float32),
            rng.integers(10**9, size=len(indices)),
        ),
        popularity=np.bincount(indices, minlength=n_items),
        item_arrays={"length_norms": rng.random(n_items, dtype=np.float32)},
        top_lists=top_lists(n_users, n_items, rng),
        metadata=metadata,
        graphs={"recommend": graph_saver(item_factors, "ip"), "similar": graph_saver(item_factors, "cosine")},
    )


def top_lists(n_users: int, n_items: int, rng: np.random.Generator) -> StoredLists:
    """Three items of each user, of the second only one, of the third none."""
    k = min(3, n_items)
    items = np.argsort(rng.random((n_users, n_items)), axis=1)[:, :k].astype(np.int32)
    scores = -np.sort(-rng.random((n_users, k), dtype=np.float32))
    items[1:2, 1:] = items[2:3] = -1
    scores[items == -1] = 0
    return StoredLists(items, scores)


def graph_saver(vectors: np.ndarray, space: str) -> Callable[[Path], None]:
    """What writes a real index of the vectors."""

    def save(path: Path) -> None:
        index = hnswlib.Index(space, vectors.shape[1])
        index.init_index(len(vectors), random_seed=1)
        index.set_num_threads(1)
        index.add_items(vectors)
        index.save_index(str(path))

    return save


def sample_card(contents: ArtifactContents, **changes: Any) -> ModelCard:
    """A card that fits the contents."""
    card: dict[str, Any] = {
        "family": "ials",
        "config": {"factors": N_FACTORS, "weighting": {"kind": "bm25"}},
        "row_rule": ImplicitRule(alpha=1.5, regularization=0.1, weighting=BM25Weighting()),
        "seed": 7,
        "dataset": DatasetFingerprint(
            rows=len(contents.histories.indices),
            users=len(contents.users),
            items=len(contents.items),
            first_timestamp=874_724_710,
            last_timestamp=893_286_638,
            sha256=hashlib.sha256(b"the table").hexdigest(),
        ),
        "metrics": {"ndcg@10": 0.31, "by_cutoff": {"recall": [0.1, 0.2]}},
        "retrieval": {name: certificate("hnsw") for name in contents.graphs},
        "top_lists": None
        if contents.top_lists is None
        else TopListsCard(k=contents.top_lists.k, short=1, without=1, bytes=contents.top_lists.nbytes),
        "fold_in": FoldInCertificate(
            sample_size=30,
            max_abs_difference=1.5e-7,
            max_relative_difference=3e-7,
            top_k_overlap=1.0,
            k=10,
        ),
        "training": TrainingRecord(seconds={"load": 0.25, "fit": 1.5}, iterations=2, loss=(3.0, 1.0)),
    }
    return ModelCard(**(card | changes))


def certificate(method: Literal["exact", "hnsw"]) -> RecallCertificate:
    """A recall certificate of a search of the given kind."""
    setting = GraphSetting(space="inner_product", m=16, ef_construction=200, ef=10)
    return RecallCertificate(
        method=method,
        reason="measured",
        k=10,
        target=0.99,
        sample_size=100,
        recall=0.995,
        recall_as_served=1.0,
        microseconds=61.5,
        exact_microseconds=650.0,
        chosen=setting if method == "hnsw" else None,
        tried=(Measurement(setting=setting, recall=0.995, recall_as_served=1.0, microseconds=61.5),),
    )


def reseal(directory: Path, *names: str, **changes: Any) -> None:
    """Give changed files a manifest that fits them, as a foreign or faulty writer would.

    Independent of the writer: plain json, hashlib and np.load.

    Args:
        directory: of the version.
        names: files whose entries are made anew.
        changes: further members of the manifest to replace.
    """
    manifest = json.loads((directory / "manifest.json").read_bytes()) | changes
    for name in names:
        content = (directory / name).read_bytes()
        entry = {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "dtype": None,
            "shape": None,
        }
        if name.endswith(".npy"):
            # Any bytes may stand here, and what NumPy makes of them is any exception.
            with contextlib.suppress(Exception), (directory / name).open("rb") as file:
                array = np.lib.format.read_array(file)
                entry |= {"dtype": array.dtype.name, "shape": array.shape}
        manifest["files"][name] = entry
    seal(directory, json.dumps(manifest).encode())


def seal(directory: Path, manifest: bytes) -> None:
    """Store any bytes as the manifest, with their right hash."""
    (directory / "manifest.json").write_bytes(manifest)
    digest = hashlib.sha256(manifest).hexdigest()
    (directory / "manifest.sha256").write_bytes(f"{digest}  manifest.json\n".encode())
