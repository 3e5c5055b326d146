"""Unpacks an archive into a dataset's directory: its tables, and ``dataset.json``, which describes them.

The directory is filled under a temporary name and renamed, so it exists whole or not at all.
"""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.dataset_directory import DESCRIPTION, DatasetDescription, open_dataset_directory
from models.errors import DataError
from scripts.movielens import Archive, Counts, Dataset, Table


def find_installed(directory: Path) -> DatasetDescription | None:
    """The description of a complete dataset; None where `directory` is missing or empty.

    Raises:
        DataError: the directory holds something else, or lacks one of its tables.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return None
    try:
        open_dataset_directory(directory)
    except DataError as error:
        raise DataError(f"{error}, with {directory} moved out of the way") from error
    return DatasetDescription.model_validate_json((directory / DESCRIPTION).read_bytes())


def install(
    archive_path: Path, archive: Archive, dataset: Dataset, directory: Path, *, source: str
) -> Counts:
    """Unpacks the tables of `archive` into `directory`, counts them and describes them.

    Only the members that `archive` names are read, and each is written under a name chosen here: no path
    that an archive carries ever reaches the file system.

    Raises:
        DataError: a damaged archive, a missing member, or other counts than the dataset's own.
    """
    description = DatasetDescription(
        name=dataset.name,
        preset=archive.preset,
        interactions=archive.interactions.file_name,
        items=archive.items.file_name,
        source=source,
        license_note=dataset.license_note,
    )
    with _appearing(directory) as half_made:
        _unpack(archive_path, archive, half_made)
        counts = _count(half_made, archive)
        if dataset.counts not in (None, counts):
            raise DataError(f"{archive_path.name} holds {counts}; {dataset.name} has {dataset.counts}")
        text = description.model_dump_json(indent=2)
        (half_made / DESCRIPTION).write_text(f"{text}\n", encoding="utf-8")
    return counts


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """A temporary directory that takes the name `directory` if the block ends well, and else is removed."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as scratch:
        half_made = Path(scratch) / directory.name
        half_made.mkdir()
        yield half_made
        half_made.replace(directory)


def _unpack(archive_path: Path, archive: Archive, into: Path) -> None:
    members = [archive.interactions.member, archive.items.member]
    if archive.readme is not None:
        members.append(archive.readme)
    try:
        with zipfile.ZipFile(archive_path) as zipped:
            for member in members:
                name = member.rpartition("/")[2]
                with zipped.open(member) as packed, (into / name).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
    except KeyError as error:
        raise DataError(f"{archive_path.name} is not the expected archive: {error.args[0]}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{archive_path.name} is damaged ({error}); delete it and fetch again") from error


def _count(directory: Path, archive: Archive) -> Counts:
    interactions, users = _count_rows(directory, archive.interactions)
    _, items = _count_rows(directory, archive.items)
    return Counts(interactions=interactions, users=users, items=items)


def _count_rows(directory: Path, table: Table) -> tuple[int, int]:
    """Rows, and distinct values of the first column; no field of these tables spans lines."""
    keys = set()
    rows = 0
    with (directory / table.file_name).open("rb") as file:
        if table.header:
            next(file, None)
        for line in file:
            rows += 1
            keys.add(line.partition(table.separator)[0])
    return rows, len(keys)
