"""Layouts: presets, the options laid over them, and what makes no layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from models.errors import ConfigError, DataError
from models.layouts import PRESETS, ItemLayout, Layout, TableFormat, choose_layout


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("a.CSV.GZ", "csv"),
        ("a.b.tsv.zst", "tsv"),
        ("u.data", "tsv"),
        ("u.item", "tsv"),
        ("ml-100k.inter", "tsv"),
        ("ratings.dat", "double-colon"),
        ("a.jsonl", "ndjson"),
        ("a.json.gz", "ndjson"),
        ("a.pq", "parquet"),
    ],
)
def test_the_name_tells_the_format(name, expected):
    """By the last suffix, that of compression aside."""
    assert TableFormat().of(Path(name)) == expected


@pytest.mark.parametrize("name", ["a", "a.txt", "csv", "a.gz", ".csv", "a.csv.bak"])
def test_a_name_that_does_not_tell_is_an_error(name):
    """Nothing is guessed."""
    with pytest.raises(DataError, match="the name does not tell the format; give it with --format: csv, tsv"):
        TableFormat().of(Path(name))


def test_dialects():
    """The separator is the format's unless given; quotes go with separators of one character."""
    path = Path("a.csv")
    assert TableFormat().dialect_of(path) == (",", True)
    assert TableFormat(quoting=False).dialect_of(path) == (",", False)
    assert TableFormat(format="tsv").dialect_of(path) == ("\t", True)
    assert TableFormat(format="double-colon").dialect_of(path) == ("::", False)
    assert TableFormat(separator="\\t").dialect_of(Path("a.txt")) == ("\t", True)
    assert TableFormat(separator="||").dialect_of(path) == ("||", False)


def test_options_are_laid_over_a_preset():
    """Dots reach into the parts; None leaves a field as it was; the preset itself stays."""
    layout = choose_layout(
        "movielens-1m",
        {
            "items.table.encoding": "utf-8",
            "time_column": "",
            "user_column": None,
            "table.columns": ["user_id", "item_id", "rating"],
        },
    )
    preset = PRESETS["movielens-1m"]
    assert layout.items.table.encoding == "utf-8"
    assert layout.items.table.columns == preset.items.table.columns
    assert (layout.time_column, layout.user_column) == (None, "user_id")
    assert layout.interaction_columns == layout.table.columns == ("user_id", "item_id", "rating")
    assert preset.items.table.encoding == "latin-1"
    assert choose_layout() == Layout()


def test_the_item_id_has_the_same_name_unless_said_otherwise():
    """One option is enough where both tables call it the same."""
    assert Layout(item_column="book").item_id_column == "book"
    assert Layout(item_column="book", items=ItemLayout(id_column="id")).item_id_column == "id"


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        (
            "movielens",
            {},
            r"no preset 'movielens' \(did you mean 'movielens-\w+'\?\); there are movielens-100k, ",
        ),
        (None, {"user_colum": "x"}, r"no field 'user_colum' \(did you mean 'user_column'\?\)"),
        (
            None,
            {"items.titel_column": "x"},
            r"no field 'items.titel_column' \(did you mean 'title_column'\?\)",
        ),
        (None, {"user_column.x": "x"}, "no field 'user_column.x'"),
        (None, {"table.format": "xml"}, "cannot be used: table.format: Input should be 'csv', 'tsv'"),
        (None, {"table.separator": ""}, "table.separator: .*one or more characters"),
        (None, {"table.separator": "\n"}, "table.separator: .*none of them a line end"),
        (None, {"item_column": "user_id"}, "user, item, value and time must be different columns"),
        (None, {"table.columns": ["a", "a"]}, r"the column names \['a', 'a'\] repeat one"),
        (None, {"table.format": "ndjson", "table.separator": ","}, "ndjson has no separator"),
        (
            None,
            {"table.separator": "::", "table.quoting": True},
            "quoted fields need a separator of one char",
        ),
        (None, {"time_unit": "hours"}, "time_unit: Input should be 's', 'ms', 'us' or 'ns'"),
    ],
)
def test_what_makes_no_layout(preset, options, message):
    """The message names the field and what it takes."""
    with pytest.raises(ConfigError, match=message):
        choose_layout(preset, options)


def test_layouts_are_frozen():
    """A preset cannot be changed under another reader."""
    with pytest.raises(ValidationError, match="frozen"):
        PRESETS["recbole"].user_column = "x"
