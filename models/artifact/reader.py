"""Opening a version: nothing in it is used before all of it has been verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from models.artifact.arrays import (
    DTYPES,
    HISTORY_INDPTR,
    HISTORY_ITEMS,
    HISTORY_TIMES,
    HISTORY_VALUES,
    ITEM_FACTORS,
    OPTIONAL_DTYPES,
    POPULARITY,
    TOP_ITEMS,
    TOP_SCORES,
    USER_FACTORS,
    AnyArray,
    InconsistencyError,
    ModelArrays,
    StoredLists,
    item_array_name,
)
from models.artifact.digest import sha256_of
from models.artifact.fields import is_field_file, open_fields
from models.artifact.manifest import MANIFEST, MANIFEST_HASH, Manifest, read_manifest
from models.artifact.metadata import METADATA, METADATA_OFFSETS, Metadata
from models.errors import ArtifactError
from models.ids import IdMap
from models.row_solve import Rows

if TYPE_CHECKING:
    from pathlib import Path

    from models.artifact.manifest import FileEntry
    from models.index.certificate import Method
    from models.item_fields import ItemFields

USER_IDS: Final = "user_ids.marisa"
ITEM_IDS: Final = "item_ids.marisa"
SEARCHES: Final = {"recommend", "similar"}
"""What a service searches for, exactly or in an index of that name."""
_INDEX_SUFFIXES: Final = {"hnsw": ".hnsw", "scann": ".scann"}
_PAIRS: Final = ((METADATA, METADATA_OFFSETS), (TOP_ITEMS, TOP_SCORES))
_REQUIRED: Final = {USER_IDS, ITEM_IDS, *DTYPES}
_REMEDY: Final = "copy the version again from where it was trained, or train again"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Artifact(ModelArrays):
    """A verified version, its arrays memory-mapped and read-only.

    Attributes:
        directory: where it lies.
        manifest: what it says about itself.
        item_metadata: JSON objects by item row, or None.
        item_fields: what the metadata can be filtered by; nothing where there are none.
    """

    directory: Path
    manifest: Manifest
    item_metadata: Metadata | None
    item_fields: ItemFields

    def metadata(self, item: int) -> bytes | None:
        """Metadata of the item in this row: one JSON object; None where the artifact has no metadata."""
        return None if self.item_metadata is None else self.item_metadata[item]

    def graph_path(self, name: str) -> Path | None:
        """The verified file of that index, or None where the search is exact."""
        certificate = self.manifest.retrieval.get(name)
        if certificate is None or certificate.method == "exact":
            return None
        return self.directory / index_file(name, certificate.method)


def index_file(name: str, method: Method) -> str:
    """File of an index that is searched by this method, which is not the exact one."""
    return f"{name}{_INDEX_SUFFIXES[method]}"


def _is_index(file: str) -> bool:
    return file.endswith(tuple(_INDEX_SUFFIXES.values()))


def open_artifact(directory: Path) -> Artifact:
    """Verify a published version and map it.

    Verified, in this order: the manifest's hash and schema version; that exactly the listed files are there
    (hidden ones, which belong to operating systems, aside), regular, of the listed sizes and hashes; dtypes
    and shapes; that ids, factors, histories and metadata agree with each other and every number is finite.

    Raises:
        ArtifactError: names the file and the remedy.
    """
    artifact = open_unpublished(directory)
    if directory.name != artifact.manifest.model_version:
        raise ArtifactError(
            f"{directory}: holds version {artifact.manifest.model_version}; "
            f"rename the directory to that, or {_REMEDY}"
        )
    return artifact


def open_unpublished(directory: Path) -> Artifact:
    """`open_artifact` for a directory that does not have its version's name yet."""
    try:
        manifest = read_manifest(directory)
        _verify_files(directory, manifest.files)
        return _open_verified(directory, manifest)
    except InconsistencyError as error:
        raise ArtifactError(f"{directory}/{error}; {_REMEDY}") from error
    except OSError as error:
        raise ArtifactError(
            f"{error.filename or directory}: cannot be read ({error.strerror or error}); "
            f"see who owns it and whether the disk is sound, or {_REMEDY}"
        ) from error


def _verify_files(directory: Path, entries: dict[str, FileEntry]) -> None:
    _check_listing(directory, entries)
    expected = {*entries, MANIFEST, MANIFEST_HASH}
    for path in sorted(directory.iterdir()):
        if path.name not in expected and not path.name.startswith("."):
            raise InconsistencyError(f"{path.name}: is not in the manifest")
    for name, entry in sorted(entries.items()):
        _verify_kind(name)
        path = directory / name
        if path.is_symlink() or not path.is_file():
            raise InconsistencyError(f"{name}: is missing, or not a regular file")
        if path.stat().st_size != entry.bytes:
            raise InconsistencyError(
                f"{name}: {path.stat().st_size:,} bytes where the manifest says {entry.bytes:,}"
            )
    for path, digest in sorted(sha256_of(directory / name for name in entries).items()):
        if digest != entries[path.name].sha256:
            raise InconsistencyError(
                f"{path.name}: its SHA-256 is not the one in the manifest; it is damaged"
            )


def _check_listing(directory: Path, entries: dict[str, FileEntry]) -> None:
    for name in sorted(_REQUIRED - entries.keys()):
        raise ArtifactError(f"{directory / MANIFEST}: does not list {name}; {_REMEDY}")
    for one, other in _PAIRS:
        if (one in entries) != (other in entries):
            raise InconsistencyError(f"{MANIFEST}: lists only one of {one} and {other}")


def _verify_kind(name: str) -> None:
    known = name in {*_REQUIRED, *OPTIONAL_DTYPES, METADATA, METADATA_OFFSETS}
    if not (known or item_array_name(name) or is_field_file(name) or _is_index(name)):
        raise InconsistencyError(f"{name}: schema version 1 knows no such file")


def _open_verified(directory: Path, manifest: Manifest) -> Artifact:
    arrays = {
        name: _open_array(directory / name, entry)
        for name, entry in manifest.files.items()
        if name.endswith(".npy")
    }
    metadata = None
    if METADATA in manifest.files:
        metadata = Metadata(directory / METADATA, arrays[METADATA_OFFSETS])
    items = IdMap.open(directory / ITEM_IDS)
    artifact = Artifact(
        directory=directory,
        manifest=manifest,
        users=IdMap.open(directory / USER_IDS),
        items=items,
        user_factors=arrays[USER_FACTORS],
        item_factors=arrays[ITEM_FACTORS],
        histories=Rows(
            arrays[HISTORY_INDPTR],
            arrays[HISTORY_ITEMS],
            arrays[HISTORY_VALUES],
            arrays.get(HISTORY_TIMES),
        ),
        popularity=arrays[POPULARITY],
        item_arrays={
            extra: array for name, array in arrays.items() if (extra := item_array_name(name)) is not None
        },
        top_lists=StoredLists(arrays[TOP_ITEMS], arrays[TOP_SCORES]) if TOP_ITEMS in arrays else None,
        item_metadata=metadata,
        item_fields=open_fields(directory, manifest.item_fields, arrays, n_items=len(items)),
    )
    artifact.check()
    _check_manifest(artifact)
    return artifact


def _check_manifest(artifact: Artifact) -> None:
    manifest, dataset, metadata = artifact.manifest, artifact.manifest.dataset, artifact.item_metadata
    found = (len(artifact.users), len(artifact.items))
    if found != (dataset.users, dataset.items):
        raise InconsistencyError(
            f"{MANIFEST}: {dataset.users} users and {dataset.items} items in the dataset, "
            f"but {found[0]} and {found[1]} ids"
        )
    if metadata is not None and len(metadata) != len(artifact.items):
        raise InconsistencyError(f"{METADATA_OFFSETS}: {len(metadata)} items, but {ITEM_IDS} has {found[1]}")
    k = None if artifact.top_lists is None else artifact.top_lists.k
    described = None if manifest.top_lists is None else manifest.top_lists.k
    if k != described:
        raise InconsistencyError(f"{MANIFEST}: top_lists: {described} items a user, but {TOP_ITEMS} has {k}")
    for name in sorted(SEARCHES - manifest.retrieval.keys()):
        raise InconsistencyError(f"{MANIFEST}: retrieval: no certificate for {name!r}")
    measured = {
        index_file(name, certificate.method)
        for name, certificate in manifest.retrieval.items()
        if certificate.method != "exact"
    }
    stored = {name for name in manifest.files if _is_index(name)}
    if measured != stored:
        raise InconsistencyError(
            f"{MANIFEST}: certificates for {sorted(measured)}, but files {sorted(stored)}"
        )


def _open_array(path: Path, entry: FileEntry) -> AnyArray:
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # a header is parsed as Python source: there is no list of what that raises
        raise InconsistencyError(f"{path.name}: not an array that can be mapped ({error})") from error
    # A plain view: np.memmap pays for its subclass at every indexing.
    array = mapped.view(np.ndarray)
    if (array.dtype.name, array.shape) != (entry.dtype, entry.shape):
        raise InconsistencyError(
            f"{path.name}: {array.dtype.name} of shape {array.shape} where the manifest says "
            f"{entry.dtype} of shape {entry.shape}"
        )
    if not array.flags.c_contiguous:
        raise InconsistencyError(f"{path.name}: stored by column; store it by row")
    return array
