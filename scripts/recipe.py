"""Recipes: a family and its hyperparameters, from ``recipes/*.toml`` and ``--set`` on the command line."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Recipe(BaseModel):
    """The content of a recipe file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str = "ials"
    config: dict[str, Any] = Field(default_factory=dict)
    """Hyperparameters that differ from the family's defaults."""


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        ConfigError: it is not there, not TOML, or holds something else than ``family`` and ``[config]``.
    """
    try:
        return Recipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; the recipes that come along are in recipes/") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file ({error})") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"{path}: {where}: {problem['msg']}; a recipe holds family and [config]") from error


def write_recipe(path: Path, recipe: Recipe, comments: Iterable[str]) -> None:
    """Write a recipe file that `read_recipe` reads, below some lines of comment.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [f"# {line}" for line in comments]
    lines += [f"family = {_toml(recipe.family)}", "", "[config]"]
    lines += [f"{name} = {_toml(value)}" for name, value in recipe.config.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def overridden(config: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Lay ``name=value`` settings over a config; a dot leads into a nested table.

    Values are written as in TOML; a bare word is a string.

    Raises:
        ConfigError: a setting is not of that form.
    """
    for name, value in settings_of(settings, "--set").items():
        config = _with(config, name.split("."), value)
    return config


def settings_of(settings: Iterable[str], option: str) -> dict[str, Any]:
    """Values by name of ``name=value`` settings, written as in TOML; a bare word is a string.

    Raises:
        ConfigError: a setting is not of that form.
    """
    values = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not (name and equals):
            raise ConfigError(f"{option} {setting}: write name=value")
        values[name.strip()] = _value(text.strip())
    return values


def _with(config: dict[str, Any], path: list[str], value: object) -> dict[str, Any]:
    first, *rest = path
    if not rest:
        return {**config, first: value}
    inner = config.get(first)
    return {**config, first: _with(inner if isinstance(inner, dict) else {}, rest, value)}


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _toml(value: object) -> str:
    """A value as TOML: strings, booleans, numbers, and tables of them."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
