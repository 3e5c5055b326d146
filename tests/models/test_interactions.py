"""Tables of interactions: every format, what is kept as it stands, and what every error says."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.interactions import read_interactions
from models.layouts import PRESETS, Layout, TableFormat, choose_layout
from models.tables import delimited, ndjson

LAYOUT = Layout(value_column="rating", time_column="timestamp")
HEADER = "user_id,item_id,rating,timestamp\n"
NO_HEADER = TableFormat(columns=("user_id", "item_id", "rating", "timestamp"))


def rows_of(interactions):
    """The table as `(user, item, value, timestamp)` in the order of its rows."""
    n_rows = len(interactions.users)
    times = interactions.timestamps.tolist() if interactions.timestamps is not None else [None] * n_rows
    return [
        (interactions.user_ids[user], interactions.item_ids[item], value, seconds)
        for user, item, value, seconds in zip(
            interactions.users.tolist(),
            interactions.items.tolist(),
            interactions.values.tolist(),
            times,
            strict=True,
        )
    ]


@pytest.fixture
def read(tmp_path):
    """Write a file and read it: `read("t.csv", content, layout, **options)`."""

    def write_and_read(name, content, layout=LAYOUT, **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_interactions(path, layout, **options)

    return write_and_read


@pytest.fixture
def error_of(read, tmp_path):
    """The message of the `DataError` that reading raises, without the directory."""

    def message(name, content, layout=LAYOUT, **options):
        with pytest.raises(DataError) as caught:
            read(name, content, layout, **options)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


EXPECTED = [("u1", "007", 4.5, 100), ("u2", "7", 3.0, 200), ("u1", "é", 1.0, 300)]


def as_ndjson(rows):
    """Rows as NDJSON."""
    keys = ("user_id", "item_id", "rating", "timestamp")
    return "".join(json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)


def as_delimited(rows, separator):
    """Rows as delimited text with a header."""
    return "".join(
        separator.join(map(str, row)) + "\n" for row in [("user_id", "item_id", "rating", "timestamp"), *rows]
    )


def as_parquet(frame):
    """A frame as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


TEXTS = {
    "t.csv": as_delimited(EXPECTED, ","),
    "t.tsv": as_delimited(EXPECTED, "\t"),
    "t.tab": as_delimited(EXPECTED, "\t"),
    "t.dat": as_delimited(EXPECTED, "::"),
    "t.ndjson": as_ndjson(EXPECTED),
    "t.jsonl": as_ndjson(EXPECTED),
    "t.JSON": as_ndjson(EXPECTED),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("", bytes), (".gz", gzip.compress), (".zst", zstandard.compress)],
    ids=["plain", "gzip", "zstd"],
)
def test_reads_every_text_format_plain_and_compressed(read, name, suffix, compress):
    """The name tells the format, whatever compresses the file."""
    table = read(name + suffix, compress(TEXTS[name].encode()))
    assert rows_of(table) == EXPECTED
    assert table.has_values


def test_reads_parquet(read):
    """Parquet carries the same table."""
    frame = pl.DataFrame(EXPECTED, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    assert rows_of(read("t.parquet", as_parquet(frame))) == EXPECTED
    assert rows_of(read("t.pq", as_parquet(frame))) == EXPECTED


def test_arrays_have_the_documented_types(read):
    """Codes are int32, values float32, timestamps int64."""
    table = read("t.csv", TEXTS["t.csv"])
    assert (table.users.dtype, table.items.dtype) == (np.int32, np.int32)
    assert (table.values.dtype, table.timestamps.dtype) == (np.float32, np.int64)
    assert (table.user_ids, table.item_ids) == (["u1", "u2"], ["007", "7", "é"])


def test_format_and_separator_override_the_name(read):
    """A file of any name is read as what it is said to be."""
    semicolons = Layout(table=TableFormat(separator=";"), value_column="rating", time_column="timestamp")
    assert rows_of(read("t.txt", as_delimited(EXPECTED, ";"), semicolons)) == EXPECTED
    ndjson = Layout(table=TableFormat(format="ndjson"), value_column="rating", time_column="timestamp")
    assert rows_of(read("t.csv", as_ndjson(EXPECTED), ndjson)) == EXPECTED
    long = Layout(table=TableFormat(separator=" § "), value_column="rating", time_column="timestamp")
    assert rows_of(read("t", as_delimited(EXPECTED, " § "), long)) == EXPECTED


def test_compression_is_told_by_the_content_where_the_name_is_silent(read):
    """A gzip or zstd file without the suffix is read all the same."""
    assert rows_of(read("t.csv", gzip.compress(TEXTS["t.csv"].encode()))) == EXPECTED
    assert rows_of(read("t.csv", zstandard.compress(TEXTS["t.csv"].encode()))) == EXPECTED


def test_compressed_files_may_be_concatenated(read):
    """Several gzip members (padded with zeros) or zstd frames are one file."""
    head, tail = TEXTS["t.csv"][:40].encode(), TEXTS["t.csv"][40:].encode()
    assert rows_of(read("t.csv.gz", gzip.compress(head) + gzip.compress(tail) + b"\0\0")) == EXPECTED
    assert rows_of(read("t.csv.zst", zstandard.compress(head) + zstandard.compress(tail))) == EXPECTED


def test_value_and_time_are_optional(read):
    """Without a column of values every interaction is 1; without one of times there are none."""
    table = read("t.csv", TEXTS["t.csv"], Layout())
    assert table.values.tolist() == [1.0, 1.0, 1.0]
    assert table.timestamps is None
    assert not table.has_values
    assert table.report.unused_columns == ("rating", "timestamp")


def test_a_file_without_a_header_gets_names(read):
    """Names given in the layout stand for the header that is not there."""
    layout = Layout(table=NO_HEADER, value_column="rating", time_column="timestamp")
    assert rows_of(read("t.csv", TEXTS["t.csv"].removeprefix(HEADER), layout)) == EXPECTED


def test_columns_may_stand_in_any_order_among_others(read):
    """Columns are found by name."""
    content = "x,timestamp,item_id,y,user_id,rating\n-,100,007,-,u1,4.5\n"
    assert rows_of(read("t.csv", content)) == EXPECTED[:1]


def test_presets_of_movielens(read):
    """The layouts of MovieLens and RecBole are read with nothing but the name of the preset."""
    expected = [("196", "242", 3.0, 881250949), ("186", "302", 3.5, 891717742)]
    files = {
        "movielens-100k": ("u.data", "196\t242\t3\t881250949\n186\t302\t3.5\t891717742\n"),
        "movielens-1m": ("ratings.dat", "196::242::3::881250949\n186::302::3.5::891717742\n"),
        "movielens-csv": (
            "ratings.csv",
            "userId,movieId,rating,timestamp\r\n196,242,3.0,881250949\r\n186,302,3.5,891717742\r\n",
        ),
        "recbole": (
            "ml-100k.inter",
            (
                "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
                "196\t242\t3\t881250949\n186\t302\t3.5\t891717742.0\n"
            ),
        ),
    }
    assert set(files) == set(PRESETS)
    for preset, (name, content) in files.items():
        assert rows_of(read(name, content, PRESETS[preset])) == expected


def test_an_option_takes_a_column_out_of_a_preset(read):
    """An empty name says that there is no such column."""
    layout = choose_layout("recbole", {"value_column": "", "time_column": ""})
    table = read("x.inter", "user_id:token\titem_id:token\n1\t2\n", layout)
    assert rows_of(table) == [("1", "2", 1.0, None)]


def test_ids_stay_as_they_are(read):
    """No folding, no trimming, no numbers; only the empty id is missing."""
    ids = ["é", "e\u0301", " x ", "x", "007", "7", "NULL", "nan", "1e3", "\t", "\u2028", "\x00", "🎬", "#c"]
    content = "".join(f"{user},i,1,0\n" for user in ids)
    assert read("t.csv", HEADER + content).user_ids == ids
    assert read("t.ndjson", as_ndjson([(user, "i", 1, 0) for user in ids])).user_ids == ids


def test_whole_numbers_of_typed_formats_become_their_digits(read):
    """An id that NDJSON or Parquet holds as an integer is its plain decimal text."""
    table = read("t.ndjson", as_ndjson([(7, "7", 1, 0), (-3, 2**63, 1, 0)]))
    assert (table.user_ids, table.item_ids) == (["7", "-3"], ["7", "9223372036854775808"])
    frame = pl.DataFrame(
        {"user_id": [7, 2**64 - 1], "item_id": ["a", "b"]},
        schema={"user_id": pl.UInt64, "item_id": pl.Categorical},
    )
    table = read("t.parquet", as_parquet(frame), Layout())
    assert (table.user_ids, table.item_ids) == (["7", "18446744073709551615"], ["a", "b"])


def test_a_byte_order_mark_crlf_and_blank_lines_are_accepted(read):
    """What Windows programs write is read like the rest."""
    content = "\ufeff" + TEXTS["t.csv"].replace("\n", "\r\n\r\n")
    assert rows_of(read("t.csv", content)) == EXPECTED
    assert rows_of(read("t.ndjson", "\ufeff" + TEXTS["t.ndjson"].replace("\n", "\r\n\n"))) == EXPECTED


def test_the_last_line_needs_no_end(read):
    """A file may end without a line end."""
    assert rows_of(read("t.csv", TEXTS["t.csv"].removesuffix("\n"))) == EXPECTED
    assert rows_of(read("t.ndjson", TEXTS["t.ndjson"].removesuffix("\n"))) == EXPECTED


def test_quoted_fields_hold_separators_quotes_and_line_ends(read):
    """RFC 4180, quoted numbers included."""
    content = HEADER + '"a,""b""","c\r\nd\n","4.5","7"\nx,"",1,1\n'
    table = read("t.csv", content, on_bad_row="skip")
    assert rows_of(table) == [('a,"b"', "c\r\nd\n", 4.5, 7)]
    assert [(bad.line, bad.reason) for bad in table.report.first_bad] == [(5, "missing item id")]


def test_a_quote_within_a_field_is_a_character(read):
    """Only a field that begins with a quote is quoted."""
    assert read("t.csv", HEADER + '5" disk,i,1,0\nu,i,1,0\n').user_ids == ['5" disk', "u"]
    layout = Layout(table=TableFormat(quoting=False))
    assert read("t.csv", 'user_id,item_id\n"u,"i"\n', layout).user_ids == ['"u']


def test_latin_1(read):
    """The encoding is an option."""
    layout = Layout(table=TableFormat(encoding="latin-1"))
    assert read("t.csv", "user_id,item_id\nÉva,ÿ\n".encode("latin-1"), layout).user_ids == ["Éva"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("-1", -1),
        (" 12 ", 12),
        ("1365029107", 1365029107),
        ("1365029107.9", 1365029107),
        ("-0.5", -1),
        ("1.365029107e9", 1365029107),
        ("2013-04-03", 1364947200),
        ("2013-04-03 22:45:07", 1365029107),
        ("2013-04-03T22:45:07", 1365029107),
        ("2013-04-03T22:45:07.999", 1365029107),
        ("2013-04-03T22:45:07Z", 1365029107),
        ("2013-04-04T00:45:07+02:00", 1365029107),
        ("2013-04-03T17:45:07.5-0500", 1365029107),
        ("2013-04-03T22:45", 1365029100),
        ("1969-12-31T23:59:59.5", -1),
        ("20130403T224507Z", 1365029107),
        ("9999-12-31", 253402214400),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.ndjson"])
def test_timestamps(read, name, text, seconds):
    """Epoch seconds and ISO 8601, UTC where no zone is said, rounded down to the second."""
    rows = [("u", "i", 1, text), ("u", "j", 1, text)]
    content = as_delimited(rows, ",") if name == "t.csv" else as_ndjson(rows)
    assert read(name, content).timestamps.tolist() == [seconds, seconds]


def test_timestamps_of_several_shapes_in_one_column(read):
    """Each row is read by its own shape."""
    texts = ["2013-04-03", "1365029107", "1365029107.5", "2013-04-03T22:45", "2013-04-03 22:45:07+00"]
    content = as_delimited([(str(row), "i", 1, text) for row, text in enumerate(texts)], ",")
    assert read("t.csv", content).timestamps.tolist() == [
        1364947200,
        1365029107,
        1365029107,
        1365029100,
        1365029107,
    ]


def test_the_unit_of_timestamps_is_told(read, error_of):
    """Milliseconds are read as such when said so, and never guessed."""
    rows = [("u", "i", 1, 1365029107999), ("u", "j", 1, -1)]
    layout = Layout(time_column="timestamp", time_unit="ms")
    assert read("t.csv", as_delimited(rows, ","), layout).timestamps.tolist() == [1365029107, -1]
    assert read("t.ndjson", as_ndjson(rows), layout).timestamps.tolist() == [1365029107, -1]
    assert error_of("t.csv", as_delimited(rows, ",")).splitlines()[1] == (
        "  line 2, column 'timestamp': '1365029107999' in the unit 's' is past the year 5138; "
        "if the unit is a finer one, give it (time_unit: ms, us or ns)"
    )


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_dates_of_parquet(read, unit):
    """Dates and datetimes of any resolution and zone; numbers of any type."""
    moments = [datetime(2013, 4, 3, 22, 45, 7, 999000), datetime(1969, 12, 31, 23, 59, 59, 500000)]  # noqa: DTZ001
    local = pl.Series(moments).dt.cast_time_unit(unit)
    for column, expected in (
        (local, [1365029107, -1]),
        (local.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"), [1365029107, -1]),
        (pl.Series([date(2013, 4, 3), date(1969, 12, 31)]), [1364947200, -86400]),
        (pl.Series([5.5, -5.5]), [5, -6]),
        (pl.Series([5, 6], dtype=pl.UInt8), [5, 6]),
    ):
        frame = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["i", "i"], "rating": [1, 2]})
        content = as_parquet(frame.with_columns(column.alias("timestamp")))
        assert read("t.parquet", content).timestamps.tolist() == expected


def test_values_of_parquet(read):
    """Integers, decimals and text are numbers too."""
    for column in (pl.Series([1, 2]), pl.Series(["1", "2.0"]), pl.Series(["1", "2"]).cast(pl.Decimal(9, 2))):
        frame = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["i", "i"], "rating": column})
        table = read("t.parquet", as_parquet(frame), Layout(value_column="rating"))
        assert table.values.tolist() == [1.0, 2.0]


# What cannot be used


BAD_ROWS = [
    ("quoted\nid", "c", "1", "2", None),
    ("", "x", "1", "2", ("user_id", "missing user id", "the id is missing")),
    ("a", "", "1", "2", ("item_id", "missing item id", "the id is missing")),
    ("a", "b", "", "2", ("rating", "missing value", "the value is missing")),
    ("a", "b", "four", "2", ("rating", "unparsable value", "'four' is not a number")),
    ("a", "b", "1_0", "2", ("rating", "unparsable value", "'1_0' is not a number")),
    ("a", "b", "inf", "2", ("rating", "infinite value or NaN", "'inf' is not finite as a 32-bit float")),
    ("a", "b", "NaN", "2", ("rating", "infinite value or NaN", "'NaN' is not finite as a 32-bit float")),
    ("a", "b", "1e39", "2", ("rating", "infinite value or NaN", "'1e39' is not finite as a 32-bit float")),
    ("a", "b", "1", "", ("timestamp", "missing timestamp", "the timestamp is missing")),
    (
        "a",
        "b",
        "1",
        "soon",
        (
            "timestamp",
            "unparsable timestamp",
            "'soon' is neither seconds since 1970 nor an ISO 8601 date",
        ),
    ),
    (
        "a",
        "b",
        "1",
        "2013-02-30",
        (
            "timestamp",
            "unparsable timestamp",
            "'2013-02-30' is neither seconds since 1970 nor an ISO 8601 date",
        ),
    ),
    (
        "a",
        "b",
        "1",
        "-inf",
        ("timestamp", "infinite timestamp or NaN", "'-inf' is not a finite timestamp"),
    ),
]


@pytest.mark.parametrize("bad", BAD_ROWS[1:], ids=lambda row: row[-1][1])
def test_a_bad_row_stops_the_run_and_says_where(error_of, bad):
    """File, line, column, value and remedy; the line counts those inside quotes."""
    *fields, (column, reason, problem) = bad
    content = HEADER + '"quoted\nid",c,1,2\n' + ",".join(fields) + "\nlast,x,1,2\n"
    assert error_of("t.csv", content) == (
        f"t.csv: 1 of 3 rows are bad ({reason}: 1):\n"
        f"  line 4, column '{column}': {problem}\n"
        f"correct them, or leave them out with --on-bad-row=skip"
    )


def test_bad_rows_are_skipped_counted_and_the_first_five_shown(read):
    """`on_bad_row="skip"` keeps the good rows and reports the rest by reason."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([HEADER.strip().split(","), *(row[:4] for row in BAD_ROWS)])
    table = read("t.csv", buffer.getvalue(), on_bad_row="skip")
    report = table.report
    assert rows_of(table) == [("quoted\nid", "c", 1.0, 2)]
    assert (report.rows, report.bad_rows) == (13, 12)
    assert report.bad_by_reason == {
        "infinite value or NaN": 3,
        "unparsable value": 2,
        "unparsable timestamp": 2,
        "missing user id": 1,
        "missing item id": 1,
        "missing value": 1,
        "missing timestamp": 1,
        "infinite timestamp or NaN": 1,
    }
    assert [(bad.line, bad.column, bad.reason) for bad in report.first_bad] == [
        (line, *row[4][:2]) for line, row in enumerate(BAD_ROWS[1:6], 4)
    ]
    assert report.first_bad[3].value == "four"
    assert "  line 7, column 'rating': 'four' is not a number\n" in str(report)
    assert str(report).endswith("…")


def test_more_than_five_bad_rows_end_in_an_ellipsis(error_of):
    """The message stays short however many there are."""
    message = error_of("t.csv", HEADER + ",i,1,0\n" * 1234)
    assert message.splitlines()[0] == "t.csv: 1,234 of 1,234 rows are bad (missing user id: 1,234):"
    assert len(message.splitlines()) == 8
    assert message.splitlines()[6] == "  …"


def test_counting_stops_when_all_is_bad(error_of, monkeypatch):
    """A wrong column is told without looking at millions of rows."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 20)
    content = "user_id,item_id,rating\n" + "u,i,x\n" * 1_000_000
    first_line, *_ = error_of("t.csv", content, Layout(value_column="rating")).splitlines()
    found = re.fullmatch(
        r"t\.csv: ([\d,]+) bad rows in the first \1; the rest was not read \(unparsable value: \1\):",
        first_line,
    )
    assert 100_000 <= int(found[1].replace(",", "")) < 300_000


def test_no_row_is_left(error_of):
    """Skipping everything is an error as well."""
    assert error_of("t.csv", HEADER + ",i,1,0\n", on_bad_row="skip").endswith(
        "\nno row is left to use; check the format, the columns and their order"
    )


def test_ragged_lines(error_of):
    """Too few and too many fields name the line and how many there are."""
    assert error_of("t.csv", HEADER + "a,b,1,2\n\na,b,1\na,b,1,2,\nx\n") == (
        "t.csv: 3 of 4 rows are bad (too few fields: 2, too many fields: 1):\n"
        "  line 4: 3 fields instead of 4: 'a,b,1'\n"
        "  line 5: 5 fields instead of 4: 'a,b,1,2,'\n"
        "  line 6: 1 field instead of 4: 'x'\n"
        "correct them, or leave them out with --on-bad-row=skip"
    )


def test_ragged_lines_of_any_separator(error_of):
    """So with `::`."""
    layout = Layout(table=TableFormat(format="double-colon", columns=("user_id", "item_id")))
    assert "line 2: 3 fields instead of 2: 'c::d::e'" in error_of("t.dat", "a::b\nc::d::e\n", layout)


def test_malformed_quotes_cost_one_line(read):
    """A quote never closed, or closed within the field, spoils its own line only."""
    content = HEADER + 'a,b,1,2\n"c,d,1,2\ne,f,1,2\n"g"h,i,1,2\nj,"k,1,2\n'
    table = read("t.csv", content, on_bad_row="skip")
    assert [user for user, *_ in rows_of(table)] == ["a", "e"]
    assert [(bad.line, bad.problem) for bad in table.report.first_bad] == [
        (3, "text follows a closing quote: '\"c,d,1,2'"),
        (5, "text follows a closing quote: '\"g\"h,i,1,2'"),
        (6, "a quote that is opened here is never closed: 'j,\"k,1,2'"),
    ]


def test_invalid_utf_8(error_of):
    """The bytes at fault are shown, with the remedy."""
    assert error_of("t.csv", HEADER.encode() + b"a,b,1,2\nc,\xe9t\xe9,1,2\n") == (
        "t.csv: 1 of 2 rows are bad (invalid UTF-8: 1):\n"
        "  line 3, column 'item_id': '\\\\xe9t\\\\xe9' is not valid UTF-8 "
        "(if the file is in latin-1, give that as its encoding)\n"
        "correct them, or leave them out with --on-bad-row=skip"
    )
    assert "line 1: '" in error_of("t.ndjson", b'{"user_id": "\xe9"}\n')
    assert error_of("t.csv", b"us\xe9r,item\n").startswith("t.csv: line 1, the header, is not valid UTF-8")


def test_bytes_that_are_not_read_need_not_be_utf_8(read):
    """A column that is not asked for may hold anything."""
    content = b"user_id,item_id,note\na,b,\xff\xfe\nc,d,ok\n"
    assert read("t.csv", content, Layout()).user_ids == ["a", "c"]


def test_wrong_columns_are_listed_with_a_suggestion(error_of):
    """A misspelled column is answered with those there are and the nearest of them."""
    assert error_of("t.csv", "User_ID,item,rating\na,b,1\n") == (
        "t.csv: there is no column 'user_id' (did you mean 'User_ID'?); there are 'User_ID', 'item', "
        "'rating'. Name the right one with --user-column; if the file has no header, give the names of all "
        "columns with --columns, or --item-columns"
    )
    assert "no column 'timestamp'; there are 'user_id'" in error_of(
        "t.csv", "user_id,item_id,rating\na,b,1\n"
    )
    assert "with --time-column" in error_of("t.csv", "user_id,item_id,rating\na,b,1\n")
    assert "with --value-column" in error_of("t.ndjson", '{"user_id": 1, "item_id": 2}\n')
    frame = pl.DataFrame({"user_id": [1], "itemid": [1]})
    assert "(did you mean 'itemid'?)" in error_of("t.parquet", as_parquet(frame))
    assert "a single column: if the separator is another one" in error_of("t.csv", "user_id;item_id\n1;2\n")
    assert "there are 2 columns 'item_id'" in error_of("t.csv", "user_id,item_id,item_id\n1,2,3\n")


def test_the_number_of_names_must_fit(error_of):
    """A file without a header needs a name for each column."""
    layout = Layout(table=TableFormat(columns=("user_id", "item_id")))
    assert error_of("t.csv", "1,2,3\n", layout) == (
        "t.csv: line 1 has 3 fields, but 2 names of columns were given (user_id, item_id); "
        "give one name for each, and check the separator (',')"
    )


@pytest.mark.parametrize("name", ["t.csv", "t.ndjson", "t.csv.gz", "t.csv.zst"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n\r\n"])
def test_an_empty_file(error_of, name, content):
    """Nothing, a byte order mark or blank lines: the file is empty."""
    compress = {".gz": gzip.compress, ".zst": zstandard.compress}.get(Path(name).suffix, bytes)
    assert error_of(name, compress(content)) == f"{name}: the file is empty"


def test_a_header_and_nothing_else(error_of):
    """A table without rows is no table."""
    expected = "there is not one row in it, only the names of its columns"
    assert error_of("t.csv", HEADER) == f"t.csv: {expected}"
    assert error_of("t.csv", HEADER + "\n\n") == f"t.csv: {expected}"
    assert error_of(
        "t.parquet", as_parquet(pl.DataFrame({"user_id": [], "item_id": []})), Layout()
    ).startswith("t.parquet: column 'user_id' holds Null")
    schema = {"user_id": pl.Int64, "item_id": pl.String}
    assert error_of("t.parquet", as_parquet(pl.DataFrame(schema=schema)), Layout()).endswith(expected)


def test_files_that_are_not_there(tmp_path):
    """A missing file and a directory are told apart."""
    with pytest.raises(DataError, match=r"missing\.csv: there is no such file; check the path"):
        read_interactions(tmp_path / "missing.csv", LAYOUT)
    with pytest.raises(DataError, match="a directory; give the file of the table in it"):
        read_interactions(tmp_path, LAYOUT)
    with pytest.raises(DataError, match="cannot be read"):
        read_interactions("a\0b.csv", LAYOUT)


def test_a_name_that_does_not_tell_the_format(error_of):
    """The formats are listed."""
    assert error_of("t.txt", HEADER) == (
        "t.txt: the name does not tell the format; "
        "give it with --format: csv, tsv, double-colon, ndjson, parquet"
    )


def test_damaged_compression(error_of):
    """Not compressed, cut off, or damaged: each says which."""
    compressed = gzip.compress(HEADER.encode() + b"a,b,1,2\n" * 1000)
    assert error_of("t.csv.gz", HEADER).startswith(
        "t.csv.gz: not gzip, although its name ends in .gz; it begins with b'user_id,'"
    )
    assert "not zstd, although its name ends in .zst" in error_of("t.csv.zst", HEADER)
    assert error_of("t.csv.gz", compressed[:-1]) == (
        "t.csv.gz: the compressed data end too early; the file was cut off, copy it again"
    )
    frame = zstandard.compress(HEADER.encode() + b"a,b,1,2\n" * 1000)
    assert "end too early" in error_of("t.csv.zst", frame[:-1])
    flipped = bytearray(compressed)
    flipped[-8] ^= 1  # the checksum
    assert "the compressed data are damaged" in error_of("t.csv.gz", bytes(flipped))
    assert "the compressed data are damaged" in error_of("t.csv.gz", compressed + b"more")
    assert "the compressed data are damaged" in error_of("t.csv.zst", frame[:20] + b"\xff" * 99)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"PK\x03\x04 and so on", "a ZIP archive"),
        (HEADER.encode("utf-16"), "UTF-16 text"),
        (as_parquet(pl.DataFrame({"user_id": [1]})), "a Parquet file"),
        (b"BZh91AY&SY and so on", "compressed with bzip2"),
    ],
)
def test_files_of_another_kind(error_of, content, kind):
    """What the first bytes say is told, inside compression as well."""
    assert error_of("t.csv", content).startswith(f"t.csv: not text but {kind}")
    assert error_of("t.ndjson.gz", gzip.compress(content)).startswith(f"t.ndjson.gz: not text but {kind}")


def test_lines_that_end_in_cr_alone(error_of):
    """What once was a Mac file is recognized by its header."""
    assert "the lines end in CR alone" in error_of("t.csv", TEXTS["t.csv"].replace("\n", "\r"))


def test_a_line_without_end(error_of):
    """A file of one endless line is refused before it fills the memory."""
    assert "line 2 has over 4,194,304 bytes" in error_of("t.csv", HEADER + "x" * (40 << 20))
    assert "line 1 is longer than 16,777,216 bytes" in error_of("t.ndjson", "{" * (30 << 20))


def test_bad_lines_of_ndjson(read):
    """Each kind of line that is no interaction has its reason."""
    lines = [
        b'{"user_id": 1.5, "item_id": 1, "rating": 1, "timestamp": 1}',
        b'{"user_id": true, "item_id": 1, "rating": 1, "timestamp": 1}',
        b'{"user_id": null, "item_id": 1, "rating": 1, "timestamp": 1}',
        b'{"user_id": 1, "rating": 1, "timestamp": 1}',
        b'{"user_id": 1, "item_id": 1, "rating": [1], "timestamp": 1}',
        b'{"user_id": 1, "item_id": 1, "rating": NaN, "timestamp": 1}',
        b'{"user_id": 1, "item_id": 1, "rating": 1, "timestamp": false}',
        b"[1]",
        b'{"user_id": 1,',
        b'{"user_id": "\\ud800", "item_id": 1, "rating": 1, "timestamp": 1}',
        b'{"user_id": "\xff"}',
        b'{"user_id": 1, "item_id": 1, "rating": 99999999999999999999, "timestamp": 1}',
    ]
    found = []
    for line in lines:
        good = b'{"user_id": "a", "item_id": "b", "rating": 1, "timestamp": 1}'
        table = read("t.ndjson", good + b"\n" + line + b"\n", on_bad_row="skip")
        found += [(bad.line, bad.column, bad.reason) for bad in table.report.first_bad]
    assert found == [
        (2, "user_id", "wrong type"),
        (2, "user_id", "wrong type"),
        (2, "user_id", "missing user id"),
        (2, "item_id", "missing item id"),
        (2, "rating", "wrong type"),
        (2, "rating", "infinite value or NaN"),
        (2, "timestamp", "wrong type"),
        (2, None, "invalid JSON"),
        (2, None, "invalid JSON"),
        (2, None, "invalid JSON"),
        (2, None, "invalid UTF-8"),
    ]  # and the last is a number, if a large one


def test_ndjson_of_the_wrong_form(error_of):
    """An array, and objects over several lines, are recognized."""
    assert "a JSON array rather than one object per line" in error_of("t.json", ' [{"user_id": 1}]')
    assert error_of("t.json", '{\n"user_id": 1\n}\n').startswith(
        "t.json: 3 of 3 rows are bad (invalid JSON: 3)"
    )
    deep = '{"user_id": ' + "[" * 100_000 + "\n"
    assert error_of("t.json", deep).startswith("t.json: 1 of 1 rows are bad (invalid JSON: 1)")


def test_an_id_that_is_a_float_is_an_error(error_of):
    """Half an id means that something went wrong where the file was written."""
    assert "line 1, column 'user_id': an id must be text or a whole number, not 1.0; write it as text" in (
        error_of("t.ndjson", '{"user_id": 1.0, "item_id": 1, "rating": 1, "timestamp": 1}')
    )
    frame = pl.DataFrame({"user_id": [1.0], "item_id": [1]})
    assert error_of("t.parquet", as_parquet(frame), Layout()) == (
        "t.parquet: column 'user_id' holds Float64, but ids must be text or whole numbers; "
        "cast it where the file is written"
    )


def test_columns_of_the_wrong_type_in_parquet(error_of):
    """Values must be numbers, timestamps numbers or dates."""
    frame = pl.DataFrame({"user_id": [1], "item_id": [1], "rating": [True], "timestamp": [b"x"]})
    assert "column 'rating' holds Boolean, but values must be numbers" in error_of(
        "t.parquet", as_parquet(frame)
    )
    assert "column 'timestamp' holds Binary, but timestamps must be numbers, dates or text" in error_of(
        "t.parquet", as_parquet(frame), Layout(time_column="timestamp")
    )


def test_bad_rows_of_parquet_are_counted_in_rows(error_of):
    """There are no lines in Parquet."""
    frame = pl.DataFrame({"user_id": [1, None], "item_id": ["a", "b"], "rating": [float("nan"), 1]})
    assert error_of("t.parquet", as_parquet(frame), Layout(value_column="rating")).splitlines()[1:3] == [
        "  row 1, column 'rating': nan is not finite as a 32-bit float",
        "  row 2, column 'user_id': the id is missing",
    ]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1garbagePAR1", HEADER.encode()])
def test_parquet_that_is_none(error_of, content):
    """Anything else under that name is refused."""
    assert error_of("t.parquet", content).startswith("t.parquet: not a Parquet file that can be read")


def test_damaged_parquet_is_an_error_or_whole(tmp_path):
    """Whatever byte is flipped: a table of all rows or a `DataError`, never a part and never a crash.

    Parquet has no checksum over its pages here, so a flipped bit of the data may pass as another value.
    """
    frame = pl.DataFrame({"user_id": [f"u{row % 50}" for row in range(300)], "item_id": range(300)})
    whole = as_parquet(frame)
    path = tmp_path / "t.parquet"
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            table = read_interactions(path, Layout(), on_bad_row="skip")
        except DataError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 - either outcome is right
        else:
            assert table.report.rows == 300


# Duplicates


DUPLICATES = HEADER + "a,b,1,5\nc,d,1,1\na,b,4,4\na,b,3,5\n"


@pytest.mark.parametrize(
    ("policy", "merged"),
    [("sum", ("a", "b", 8.0, 5)), ("max", ("a", "b", 4.0, 5)), ("last", ("a", "b", 3.0, 5))],
)
def test_duplicates_are_merged(read, policy, merged):
    """Three rows of one pair become one, in the place of the first."""
    table = read("t.csv", DUPLICATES, duplicates=policy)
    assert rows_of(table) == [merged, ("c", "d", 1.0, 1)]
    assert (table.report.rows, table.report.merged_duplicates) == (4, 2)
    assert "2 merged into another" in str(table.report)


def test_duplicates_without_values_are_counted_when_summed(read):
    """How often a pair occurs is its value."""
    assert read("t.csv", DUPLICATES, Layout(), duplicates="sum").values.tolist() == [3.0, 1.0]
    assert read("t.csv", DUPLICATES, Layout(), duplicates="last").values.tolist() == [1.0, 1.0]


def test_duplicates_can_be_an_error(error_of, read):
    """Both lines are named, in the file's own numbering."""
    content = HEADER + '"x\ny",b,1,5\nbad\n\nc,d,1,1\n"x\ny",b,4,4\n' + "c,d,1,1\n" * 6
    assert error_of("t.csv", content, duplicates="error", on_bad_row="skip") == (
        "t.csv: 7 of 9 rows repeat a user and item:\n"
        "  user 'x\\ny', item 'b': line 7 repeats line 2\n"
        + "".join(f"  user 'c', item 'd': line {line} repeats line 6\n" for line in (9, 10, 11, 12))
        + "  …\n"
        "leave them out, or say with --duplicates what becomes of them: sum, max or last"
    )
    assert len(read("t.csv", HEADER + "a,b,1,5\na,c,1,1\n", duplicates="error").users) == 2


def test_a_sum_that_overflows(error_of):
    """Two finite values may sum up to infinity."""
    message = error_of("t.csv", HEADER + "a,b,3e38,5\na,b,3e38,5\n", duplicates="sum")
    assert message.startswith("t.csv: the values of user 'a' and item 'b' sum up to more than")


# Every format says the same


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
values = st.floats(min_value=-1e6, max_value=1e6, width=32)
seconds = st.integers(-(10**10), 10**10)
tables = st.lists(st.tuples(ids, ids, values, seconds), min_size=1, max_size=30)


def merged_by_dict(rows, policy):
    """The definition of the policies on one pair at a time."""
    groups = {}
    for user, item, value, seconds in rows:
        groups.setdefault((user, item), []).append((seconds, value))
    merge = {
        "sum": lambda group: np.float32(sum(float(value) for _, value in group)),
        "max": lambda group: max(value for _, value in group),
        # the latest, and of those the last in the file: enumerate breaks the tie
        "last": lambda group: max((seconds, row, value) for row, (seconds, value) in enumerate(group))[2],
    }[policy]
    return [(*pair, float(merge(group)), max(group)[0]) for pair, group in groups.items()]


@given(tables, st.sampled_from(["sum", "max", "last"]))
def test_what_is_written_is_read_back_from_every_format(tmp_path_factory, rows, policy):
    """Any ids, values and times, written by the csv and json modules and polars, against a dict."""
    directory = tmp_path_factory.mktemp("round-trip")
    expected = merged_by_dict(rows, policy)
    header = ("user_id", "item_id", "rating", "timestamp")
    as_text = [(user, item, repr(value), seconds) for user, item, value, seconds in rows]
    for line_end in ("\n", "\r\n"):
        with (directory / "t.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator=line_end).writerows([header, *as_text])
        table = read_interactions(directory / "t.csv", LAYOUT, duplicates=policy)
        assert rows_of(table) == expected
    (directory / "t.ndjson").write_text(as_ndjson(rows), encoding="utf-8")
    assert rows_of(read_interactions(directory / "t.ndjson", LAYOUT, duplicates=policy)) == expected
    pl.DataFrame(rows, schema=header, orient="row").write_parquet(directory / "t.parquet")
    assert rows_of(read_interactions(directory / "t.parquet", LAYOUT, duplicates=policy)) == expected


def test_many_blocks_are_one_table(read, monkeypatch):
    """Ids keep their numbers from block to block, in the order of their first row."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{item}", 1.0, 0) for user, item in rng.integers(0, 3000, size=(20_000, 2)).tolist()
    ]
    expected = list(dict.fromkeys(rows))
    for module, name, content in (
        (delimited, "t.csv", as_delimited(rows, ",")),
        (ndjson, "t.ndjson", as_ndjson(rows)),
    ):
        monkeypatch.setattr(module, "BLOCK_BYTES", 10_000)
        table = read(name, content)
        assert rows_of(table) == expected
        assert table.user_ids == list(dict.fromkeys(user for user, *_ in rows))
        assert table.item_ids == list(dict.fromkeys(item for _, item, *_ in rows))


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1, max_size=20), st.sampled_from(["T", " "]))
def test_iso_timestamps_are_read_as_the_standard_library_reads_them(tmp_path_factory, moments, between):
    """`datetime.isoformat` there, seconds since 1970 back, whatever the microseconds."""
    path = tmp_path_factory.mktemp("iso") / "t.csv"
    texts = [moment.isoformat(between) for moment in moments]
    rows = [(str(row), "i", 1, text) for row, text in enumerate(texts)]
    path.write_text(as_delimited(rows, ","), encoding="utf-8")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [(moment - epoch).days * 86_400 + (moment - epoch).seconds for moment in moments]
    assert read_interactions(path, LAYOUT).timestamps.tolist() == expected


def test_progress_counts_to_the_end(read, tmp_path):
    """Bytes of text, compressed or not, and rows of Parquet, ascending to all there are."""
    for name, content in (
        ("t.csv", TEXTS["t.csv"].encode()),
        ("t.csv.gz", gzip.compress(TEXTS["t.csv"].encode())),
        ("t.ndjson", TEXTS["t.ndjson"].encode()),
    ):
        seen = []
        read(name, content, progress=lambda done, total, seen=seen: seen.append((done, total)))
        size = (tmp_path / name).stat().st_size
        assert seen[-1] == (size, size)
        assert seen == sorted(seen)
    seen = []
    frame = pl.DataFrame(EXPECTED, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    read("t.parquet", as_parquet(frame), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (3, 3)
