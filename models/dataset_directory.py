"""The directory that scripts.fetch writes: the files of a data set and how to read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import DataError
from models.layouts import PRESETS
from models.spelling import did_you_mean

DESCRIPTION: Final = "dataset.json"
"""Name of the file that describes the others."""


class DatasetDescription(BaseModel):
    """The content of dataset.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of the data set."""

    preset: str
    """Its layout: a name in `models.layouts.PRESETS`."""

    interactions: str
    """The table of interactions, relative to the directory."""

    items: str | None = None
    """The table of item metadata, relative to the directory."""

    source: str
    """Where the data came from."""

    license_note: str | None = None
    """What may be done with it."""


def open_dataset_directory(path: Path | str) -> tuple[Path, Path | None, str]:
    """The interactions, the items if there are any, and the preset of a directory written by scripts.fetch.

    Raises:
        DataError: dataset.json is missing or broken, or what it names is not there.
    """
    directory = Path(path)
    description_path = directory / DESCRIPTION
    remedy = "give the file of interactions itself, or fetch the data set again with scripts.fetch"
    try:
        text = description_path.read_bytes()
    except OSError as error:
        raise DataError(f"{directory}: there is no readable {DESCRIPTION} in it; {remedy}") from error
    try:
        description = DatasetDescription.model_validate(json.loads(text))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the whole"
        raise DataError(f"{description_path}: {where}: {problem['msg']}; {remedy}") from error
    except ValueError as error:
        raise DataError(f"{description_path}: not JSON ({error}); {remedy}") from error
    if description.preset not in PRESETS:
        raise DataError(
            f"{description_path}: there is no preset {description.preset!r}"
            f"{did_you_mean(description.preset, PRESETS)}; there are {', '.join(PRESETS)}"
        )
    interactions = _file_in(directory, description.interactions, remedy)
    items = None if description.items is None else _file_in(directory, description.items, remedy)
    return interactions, items, description.preset


def _file_in(directory: Path, name: str, remedy: str) -> Path:
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        raise DataError(f"{directory / DESCRIPTION}: {name!r} lies outside the directory; {remedy}")
    if not path.is_file():
        raise DataError(f"{directory / DESCRIPTION}: the file {name!r} that it names is not there; {remedy}")
    return path
