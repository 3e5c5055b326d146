"""Publishing a model: all of it, or none of it."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Final

import numpy as np

from models.artifact.arrays import AnyArray, InconsistencyError, ModelArrays
from models.artifact.digest import sha256_of
from models.artifact.durable import (
    exclusive_lock,
    remove_unfinished,
    rename_directory,
    sync,
    unfinished_directory,
)
from models.artifact.fields import write_fields
from models.artifact.manifest import (
    MANIFEST,
    MANIFEST_HASH,
    FileEntry,
    ItemFieldsCard,
    Manifest,
    ModelCard,
    hash_line,
)
from models.artifact.metadata import METADATA, METADATA_OFFSETS, write_metadata
from models.artifact.reader import ITEM_IDS, USER_IDS, index_file, open_unpublished
from models.artifact.store import set_current
from models.errors import ArtifactError, TrainingError
from models.item_fields import build_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import JsonValue

_LIBRARIES: Final = ("numpy", "scipy", "hnswlib", "marisa-trie", "implicit", "numba", "scikit-learn", "scann")
_UNNAMED: Final = "00000000T000000Z-0000"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArtifactContents(ModelArrays):
    """What a trainer hands over.

    Attributes:
        metadata: JSON objects by item id, or None where no items table was given.
        graphs: by name, what writes that index to a path; it must raise if it could not write all of it.
    """

    metadata: Mapping[str, Mapping[str, JsonValue]] | None = None
    graphs: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


def publish(root: Path, contents: ArtifactContents, card: ModelCard) -> str:
    """Store a model as a new version and have it served from now on.

    Everything is written to a hidden directory in `root`, read back and verified as a service would, synced
    and renamed; then `CURRENT` is replaced. A crash at any moment leaves the old version current and whole.

    Args:
        root: holds the versions; made if it is missing.
        contents: the model's numbers, ids and files.
        card: what is known about the model.

    Returns:
        The new version's name.

    Raises:
        TrainingError: a number is not finite, or arrays disagree; nothing was written.
        ArtifactError: another process is writing in `root`, or a file could not be written (disk full,
            permissions); nothing was published.
        DataError: the metadata cannot be JSON; nothing was published.
    """
    try:
        contents.check()
    except InconsistencyError as error:
        raise TrainingError(
            f"{error}; nothing was published: train again with more regularization or fewer factors "
            "if numbers are not finite, and report any other cause as a bug of the trainer"
        ) from error
    try:
        root.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(root):
            remove_unfinished(root)
            with unfinished_directory(root) as directory:
                manifest = _write(directory, contents, card)
                rename_directory(directory, root / manifest.model_version)
            set_current(root, manifest.model_version)
    except OSError as error:
        raise ArtifactError(
            f"{error.filename or root}: cannot be written ({error.strerror or error}); the version served so "
            "far stands; free some disk space or see who owns the directory, then train again"
        ) from error
    return manifest.model_version


def _write(directory: Path, contents: ArtifactContents, card: ModelCard) -> Manifest:
    arrays = contents.by_file()
    contents.users.save(directory / USER_IDS)
    contents.items.save(directory / ITEM_IDS)
    fields_card = ItemFieldsCard()
    if contents.metadata is not None:
        arrays[METADATA_OFFSETS] = write_metadata(directory / METADATA, contents.items, contents.metadata)
        fields = build_fields(contents.items, contents.metadata)
        fields_card = ItemFieldsCard(
            fields=tuple(field.card for field in fields), unfilterable=fields.unfilterable
        )
        arrays |= write_fields(directory, fields)
    for name, array in arrays.items():
        _write_array(directory / name, array)
    for name, save in contents.graphs.items():
        if name not in card.retrieval or card.retrieval[name].method == "exact":
            raise ArtifactError(f"{directory / MANIFEST}: retrieval: an index {name!r} has no certificate")
        save(directory / index_file(name, card.retrieval[name].method))
    for path in directory.iterdir():
        sync(path)
    manifest = _manifest(directory, arrays, card, fields_card)
    raw = manifest.to_bytes()
    for name, content in ((MANIFEST, raw), (MANIFEST_HASH, hash_line(raw))):
        (directory / name).write_bytes(content)
        sync(directory / name)
    # Whatever a service would refuse, it must be this process that says so.
    open_unpublished(directory)
    return manifest


def _write_array(path: Path, array: AnyArray) -> None:
    by_row = np.ascontiguousarray(array)
    with path.open("wb") as file:
        # Not np.save: its error says how much of how much was written, not that the disk is full.
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(by_row))
        file.write(by_row.data)


def _manifest(
    directory: Path, arrays: dict[str, AnyArray], card: ModelCard, item_fields: ItemFieldsCard
) -> Manifest:
    digests = sha256_of(directory.iterdir())
    files = {
        path.name: FileEntry(
            bytes=path.stat().st_size,
            sha256=digests[path],
            dtype=arrays[path.name].dtype.name if path.name in arrays else None,
            shape=arrays[path.name].shape if path.name in arrays else None,
        )
        for path in sorted(digests)
    }
    while True:
        created_at = datetime.now(UTC)
        unnamed = Manifest(
            **dict(card),
            model_version=_UNNAMED,
            created_at=created_at,
            libraries=_installed_versions(),
            item_fields=item_fields,
            files=files,
        )
        content_hash = hashlib.sha256(unnamed.to_bytes()).hexdigest()
        name = f"{created_at:%Y%m%dT%H%M%SZ}-{content_hash[:4]}"
        # Two versions of one second may share four digits: the next microsecond gives others.
        if not (directory.parent / name).exists():
            return unnamed.model_copy(update={"model_version": name})


def _installed_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = installed_version(library)
        except PackageNotFoundError:
            continue
    return versions
