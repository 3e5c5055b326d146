"""The artifact: the contract between training and serving, whatever trained it.

One directory per version, ``<root>/<version>/``, and ``<root>/CURRENT`` naming the one to serve:

=============================================  ======================================================
``manifest.json``                              what the model is, and every file's size and SHA-256
``manifest.sha256``                            the manifest's own SHA-256 (``sha256sum -c``)
``user_ids.marisa``, ``item_ids.marisa``       ids and rows
``user_factors.npy``, ``item_factors.npy``     float32, ``(n, D)``
``history_{indptr,items,values}.npy``          what each user did, as CSR: int64, int32, float32
``history_times.npy``                          optional: when, where the row rule asks; int64 seconds
``popularity.npy``                             int64, ``(n_items,)``: interactions of each item
``top_{items,scores}.npy``                     optional: everybody's best items: int32, float32, ``(n, k)``
``item_map.npy``                               optional: float32, ``(n_items, 2)``: places on the map
``item_<name>.npy``                            further arrays per item that a row rule needs
``metadata.jsonl``, ``metadata_offsets.npy``   optional: one JSON object per item, int64 ``(n_items + 1,)``
``field_<n>_{values,items}.npy``               optional: entries of a member, for filters, values ascending
``field_<n>_vocabulary.marisa``                optional: the strings of that member and their numbers
``recommend.hnsw``, ``similar.hnsw``           index files, where the search is not exact; `.scann` of ScaNN's
=============================================  ======================================================

A version never changes once it has its name. No file holds a pickle. ``<root>/<version>.report.html`` is what
`scripts.evaluate` says of it, if it was asked to.
"""

from models.artifact.arrays import StoredLists
from models.artifact.manifest import (
    DatasetFingerprint,
    FileEntry,
    FoldInCertificate,
    ItemFieldsCard,
    Manifest,
    ModelCard,
    TopListsCard,
    TrainingRecord,
)
from models.artifact.reader import Artifact, open_artifact
from models.artifact.report import attach_report, report_path
from models.artifact.store import (
    CurrentMarker,
    current_marker,
    current_version,
    prune,
    set_current,
    versions,
)
from models.artifact.writer import ArtifactContents, publish

__all__ = [
    "Artifact",
    "ArtifactContents",
    "CurrentMarker",
    "DatasetFingerprint",
    "FileEntry",
    "FoldInCertificate",
    "ItemFieldsCard",
    "Manifest",
    "ModelCard",
    "StoredLists",
    "TopListsCard",
    "TrainingRecord",
    "attach_report",
    "current_marker",
    "current_version",
    "open_artifact",
    "prune",
    "publish",
    "report_path",
    "set_current",
    "versions",
]
