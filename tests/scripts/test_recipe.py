"""Recipes and ``--set``: what a person writes becomes hyperparameters, or a clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ConfigError
from models.registry import EVALUATED, configure
from scripts.recipe import overridden, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_that_comes_along_is_valid(path):
    """Each file in recipes/ names a family and only hyperparameters that it has."""
    recipe = read_recipe(path)
    assert recipe.family == path.stem
    configure(recipe.family, recipe.config)


def test_there_is_a_recipe_for_every_family():
    """No family is without a recipe to start from."""
    assert {path.stem for path in RECIPES} == set(EVALUATED)


def test_settings_override_and_nest():
    """Values are read as TOML, bare words as strings, and a dot leads into a table."""
    config = overridden(
        {"factors": 8, "weighting": {"kind": "log"}},
        ["factors=64", "regularization = 0.5", "weighting.epsilon=2", "ridge=constant", 'x="a=b"'],
    )
    assert config == {
        "factors": 64,
        "regularization": 0.5,
        "weighting": {"kind": "log", "epsilon": 2},
        "ridge": "constant",
        "x": "a=b",
    }


def test_a_weighting_can_be_named_or_configured():
    """`--set weighting=bm25` and `--set weighting.kind=bm25` say the same."""
    by_name = configure("ials", overridden({}, ["weighting=bm25"]))
    in_full = configure("ials", overridden({}, ["weighting.kind=bm25"]))
    assert by_name == in_full


@pytest.mark.parametrize("setting", ["factors", "=64", ""])
def test_a_setting_that_is_none_is_named(setting):
    """A setting without a name or an equals sign is an error that shows the form."""
    with pytest.raises(ConfigError, match=f"--set {setting}: write name=value"):
        overridden({}, [setting])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory; the recipes that come along are in recipes/"),
        ("family = ", "not a TOML file"),
        ('family = "als"\nfactors = 3\n', "factors: Extra inputs are not permitted; a recipe holds family"),
    ],
)
def test_a_broken_recipe_is_named(tmp_path, content, complaint):
    """A recipe that is missing, not TOML, or of another shape is an error that names the file."""
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=rf"mine\.toml.*{complaint}"):
        read_recipe(path)
