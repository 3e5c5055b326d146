"""What an artifact says about itself: `manifest.json`, guarded by `manifest.sha256`."""

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json

from models.errors import ArtifactError
from models.index.certificate import RecallCertificate
from models.item_fields import FieldCard
from models.row_rules import RowRule

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
MANIFEST_HASH: Final = "manifest.sha256"
VERSION_PATTERN: Final = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$"
"""A version's name: when it was published (UTC) and four hex digits of its content's hash."""

_MAX_MANIFEST_BYTES: Final = 64 * 2**20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name inside the version's directory: never a path, never hidden."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileEntry(_Record):
    """One file of the version."""

    bytes: int = Field(ge=0)
    sha256: Sha256
    dtype: str | None = None
    """NumPy's name of the dtype; null unless the file is an array."""
    shape: tuple[int, ...] | None = None


class DatasetFingerprint(_Record):
    """Which interactions the model was trained on."""

    rows: int = Field(ge=0)
    users: int = Field(ge=0)
    items: int = Field(ge=0)
    first_timestamp: int | None = None
    """Seconds since the epoch, UTC; null where the table has no times."""
    last_timestamp: int | None = None
    sha256: Sha256


class FoldInCertificate(_Record):
    """How closely folding users in from their own histories reproduces their stored factors."""

    sample_size: int = Field(ge=0)
    max_abs_difference: float = Field(ge=0)
    """Largest absolute difference of any coordinate."""
    max_relative_difference: float = Field(ge=0)
    """Largest ‖folded - stored‖ / ‖stored‖ of any user."""
    top_k_overlap: float = Field(ge=0, le=1)
    """Mean share of the top k that the folded and the stored vector have in common."""
    k: int = Field(ge=1)


class TrainingRecord(_Record):
    """How the training went."""

    seconds: dict[str, float]
    """Wall-clock seconds by phase."""
    iterations: int = Field(ge=0)
    loss: tuple[float, ...] = ()
    """Loss after each iteration; empty for a family without one."""


class TopListsCard(_Record):
    """Lists that were made at training, by the exact search, what a user has had left out.

    `GET /recommend` looks them up where the question asks nothing that they do not answer.
    """

    k: int = Field(ge=1, description="how many items a full list has")
    short: int = Field(ge=0, description="users for whom fewer were left: all that are left are listed")
    without: int = Field(
        ge=0, description="users without a list: they have had everything, or show no preference"
    )
    bytes: int = Field(ge=0, description="of both arrays, which are memory-mapped")

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{self.k} items a user in {self.bytes / 2**20:,.1f} MiB; "
            f"fewer are left for {self.short:,} users, none for {self.without:,}"
        )


class ModelCard(_Record):
    """What the trainer knows and says about a model."""

    family: str = Field(min_length=1)
    config: dict[str, JsonValue]
    """Every hyperparameter, defaults included."""
    row_rule: RowRule
    seed: int
    dataset: DatasetFingerprint
    metrics: dict[str, JsonValue]
    retrieval: dict[str, RecallCertificate]
    """By graph name: `recommend`, `similar`."""
    fold_in: FoldInCertificate
    noise_variance: float | None = Field(
        default=None, ge=0, description="σ² behind `score_std`; null where the family has no posterior"
    )
    top_lists: TopListsCard | None = Field(
        default=None, description="lists made at training; null where every list is searched for"
    )
    training: TrainingRecord


class ItemFieldsCard(_Record):
    """What the item metadata can be filtered by."""

    fields: tuple[FieldCard, ...] = ()
    unfilterable: dict[str, str] = Field(
        default={}, description="the other members of the metadata, and why each is none"
    )


class Manifest(ModelCard):
    """The model card and what publishing added to it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    model_version: str = Field(pattern=VERSION_PATTERN)
    created_at: AwareDatetime
    libraries: dict[str, str]
    """Installed versions of what trained, stored and indexed the model."""
    item_fields: ItemFieldsCard = ItemFieldsCard()
    files: dict[FileName, FileEntry]

    def to_bytes(self) -> bytes:
        """The bytes of `manifest.json`."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def hash_line(manifest: bytes) -> bytes:
    """The content of `manifest.sha256`, in the format of `sha256sum -c`."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def read_manifest(directory: Path) -> Manifest:
    """Read a version's manifest: its hash first, then its schema version, then the rest.

    Raises:
        ArtifactError: one of the two files is missing, damaged, or of another schema.
        OSError: one of the two files cannot be read.
    """
    raw = _read(directory / MANIFEST)
    if _read(directory / MANIFEST_HASH) != hash_line(raw):
        raise ArtifactError(
            f"{directory / MANIFEST}: its hash is not the one in {MANIFEST_HASH}, so one of the two is "
            "damaged or was edited; copy the version again from where it was trained, or train again"
        )
    try:
        content = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ArtifactError(
            f"{directory / MANIFEST}: not JSON ({error}); publish the artifact again"
        ) from error
    schema_version = content.get("schema_version") if isinstance(content, dict) else None
    if schema_version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{directory / MANIFEST}: schema version {schema_version!r}, but this Foldrec reads "
            f"{SCHEMA_VERSION}; serve it with the Foldrec that wrote it, or train again with this one"
        )
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArtifactError(
            f"{directory / MANIFEST}: {'.'.join(map(str, first['loc']))}: {first['msg']}; "
            "publish the artifact again"
        ) from error


def _read(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path}: no such regular file; copy the version again, or train again")
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{path}: larger than {_MAX_MANIFEST_BYTES:,} bytes; publish the artifact again")
    return path.read_bytes()
