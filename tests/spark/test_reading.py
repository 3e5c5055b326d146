"""The cluster reads a table as one machine does: the same dataset, the same bad rows, the same refusals."""

from __future__ import annotations

import csv
import json

import numpy as np
import polars as pl
import pytest

from models.dataset import build_dataset
from models.errors import DataError
from models.interactions import read_interactions as read_here
from models.layouts import choose_layout

COLUMNS = ("who", "what", "stars", "at")
LAYOUT = {"user_column": "who", "item_column": "what", "value_column": "stars", "time_column": "at"}
ODD_IDS = [
    "007",
    "7",
    " 7",
    "Ünï",
    "U\u0308ni\u0308",
    "日本",
    "🦊",
    "a,b",
    'say "x"',
    "\u200b",
    "NULL",
    "NaN",
    "é" * 300,
]


def rows_with_duplicates(seed=0, users=60, items=40, rows=1_500):
    """Ratings of odd ids, some pairs several times, some of these at one time."""
    rng = np.random.default_rng(seed)
    user_ids = ODD_IDS + [f"u{number}" for number in range(users - len(ODD_IDS))]
    item_ids = [f"i{number}" for number in range(items - len(ODD_IDS))] + ODD_IDS
    return [
        (user_ids[user], item_ids[item], float(value), 1_600_000_000 + int(second))
        for user, item, value, second in zip(
            (users * rng.random(rows) ** 2).astype(int),
            (items * rng.random(rows) ** 2).astype(int),
            rng.integers(1, 11, rows) / 2,
            rng.integers(0, 40, rows),
            strict=True,
        )
    ]


def write(path, rows):
    """A table in the format that the name of its file says."""
    match path.suffix:
        case ".parquet":
            pl.DataFrame(rows, schema=list(COLUMNS), orient="row").write_parquet(path)
        case ".ndjson":
            lines = [json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        case _:
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([COLUMNS, *rows])
    return path


def read_both(space, path, *, layout=None, duplicates="last", on_bad_row="stop", least=(1, 1)):
    """What one machine makes of a table, and what the cluster does."""
    from models.engines.spark.numbered import number  # noqa: PLC0415 - an extra

    chosen = choose_layout(None, layout or LAYOUT)
    table = read_here(path, chosen, duplicates=duplicates, on_bad_row=on_bad_row)
    here = build_dataset(table, min_user_interactions=least[0], min_item_interactions=least[1])
    read = read_there(space, path, chosen, duplicates=duplicates, on_bad_row=on_bad_row, least=least)
    there, _ = number(space, read)
    return (here, table.report), (there, read.report)


def read_there(space, path, layout, *, duplicates="last", on_bad_row="stop", least=(1, 1)):
    """The table by the cluster; what earlier tests have written is out of the way."""
    from models.engines.spark.table import read_interactions  # noqa: PLC0415 - an extra

    for old in space.directory.iterdir():
        old.rename(space.directory.parent / f"{old.name}-{len(list(space.directory.parent.iterdir()))}")
    return read_interactions(
        space, str(path), layout, duplicates=duplicates, on_bad_row=on_bad_row, least=least
    )


@pytest.mark.parametrize(
    ("file", "duplicates", "least"),
    [
        ("table.csv", "last", (1, 1)),
        ("table.tsv", "sum", (1, 1)),
        ("table.ndjson", "max", (8, 9)),
        ("table.parquet", "last", (12, 10)),
    ],
)
def test_the_dataset_is_that_of_one_machine(space, tmp_path, file, duplicates, least):
    """Ids, rows, merged values and times are equal, whatever the format, the policy and the thresholds."""
    path = write(tmp_path / file, rows_with_duplicates())
    (here, here_said), (there, there_said) = read_both(space, path, duplicates=duplicates, least=least)
    assert list(there.users) == list(here.users)
    assert list(there.items) == list(here.items)
    for name in ("indptr", "indices", "values", "times"):
        np.testing.assert_array_equal(getattr(there.histories, name), getattr(here.histories, name))
    assert there.sha256() == here.sha256()
    assert (there_said.rows, there_said.merged_duplicates) == (here_said.rows, here_said.merged_duplicates)


BAD = [
    ("", "i1", "3", "5"),
    ("u1", "", "3", "5"),
    ("u1", "i2", "", "5"),
    ("u1", "i3", "many", "5"),
    ("u1", "i4", "1_000", "5"),
    ("u1", "i5", "1e39", "5"),
    ("u1", "i6", "-inf", "5"),
    ("u1", "i7", "NaN", "5"),
    ("u1", "i8", "2", ""),
    ("u1", "i9", "2", "yesterday"),
    ("u1", "i10", "2", "1600000000000"),
    ("u1", "i11", "2", "inf"),
    ("u1", "i12", "1.5f", "5"),
]
GOOD = [
    ("u1", "i1", " 4 ", "1600000000"),
    ("u1", "i2", "-.5e1", "2020-09-13"),
    ("u2", "i1", "1E2", "2020-09-13T12:26:40Z"),
    ("u2", "i3", "+3.", "2020-09-13 12:26:40.75+02:00"),
    ("u3", "i3", "0", "-0.5"),
]


def test_bad_rows_are_the_same_rows_for_the_same_reasons(space, tmp_path):
    """Each kind of bad row is skipped and counted as on one machine, and good ones mean the same."""
    path = write(tmp_path / "table.csv", [*GOOD, *BAD])
    (here, here_said), (there, there_said) = read_both(space, path, on_bad_row="skip")
    assert there.sha256() == here.sha256()
    assert there_said.bad_by_reason == here_said.bad_by_reason
    assert there_said.bad_rows == len(BAD)


def test_a_bad_row_stops_the_run_and_is_named(space, tmp_path):
    """Value, column, reason, file and remedy are in the message."""
    path = write(tmp_path / "table.csv", [*GOOD, BAD[3]])
    with pytest.raises(
        DataError, match=r"1 of 6 rows are bad.*\n.*column 'stars': 'many' is not a number"
    ) as said:
        read_there(space, path, choose_layout(None, LAYOUT))
    assert str(path) in str(said.value).partition("(in file:")[2]
    assert "--on-bad-row=skip" in str(said.value)


def test_rows_that_fall_apart_are_bad(space, tmp_path):
    """Too few or too many fields, bytes that are not UTF-8 and lines that are not JSON never become ids."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"who,what,stars,at\nu1,i1,3,5\nu1,i2\nu1,i3,3,5,6\nu\xe9,i4,3,5\n")
    read = read_there(space, path, choose_layout(None, LAYOUT), on_bad_row="skip")
    assert read.report.bad_by_reason == {"malformed row": 2, "invalid UTF-8": 1}
    assert read.n_entries == 1
    path = tmp_path / "table.ndjson"
    path.write_text('{"who": 7, "what": "i1", "stars": 3, "at": 5}\n[1]\nnonsense\n')
    read = read_there(space, path, choose_layout(None, LAYOUT), on_bad_row="skip")
    assert read.report.bad_by_reason == {"invalid JSON": 2}
    assert [row["user"] for row in read.entries.collect()] == ["7"]


@pytest.mark.parametrize(
    ("layout", "options", "complaint"),
    [
        (
            {"value_column": "score"},
            {},
            "no column 'score'.*there are 'who', 'what', 'stars', 'at'.*--value-column",
        ),
        ({}, {"duplicates": "error"}, r"\d+ of 1,500 rows repeat a user and item:\n.*--duplicates"),
        ({}, {"least": (1_000, 1)}, "is left after --min-user-interactions 1000.*lower them"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(space, tmp_path, layout, options, complaint):
    """Missing columns, forbidden duplicates and thresholds that leave nothing come with the remedy."""
    path = write(tmp_path / "table.csv", rows_with_duplicates())
    with pytest.raises(DataError, match=f"(?s){complaint}"):
        read_there(space, path, choose_layout(None, LAYOUT | layout), **options)


def test_a_column_of_the_wrong_type_is_refused(space, tmp_path):
    """Fractions are no ids, also where the file has types."""
    pl.DataFrame({"who": [1.5], "what": ["a"], "stars": [1.0], "at": [1]}).write_parquet(
        tmp_path / "t.parquet"
    )
    with pytest.raises(DataError, match="'who' holds double, but ids must be text or whole numbers"):
        read_there(space, tmp_path / "t.parquet", choose_layout(None, LAYOUT))


def test_a_directory_of_parts_is_one_table(space, tmp_path):
    """What another job has written in parts is read as a whole; the last of a pair is in the last file."""
    parts = tmp_path / "table"
    parts.mkdir()
    for number, value in enumerate((1.0, 2.0, 3.0)):
        write(parts / f"{number}.csv", [("u1", "i1", value, 5), (f"u{number}", "i2", value, 5)])
    layout = choose_layout(None, LAYOUT | {"table.format": "csv"})
    read = read_there(space, parts, layout, duplicates="last")
    assert read.report.rows == 6
    assert {row["value"] for row in read.entries.where("user = 'u1' and item = 'i1'").collect()} == {3.0}
