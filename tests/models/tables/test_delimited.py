"""Delimited text: the fast way and the exact way say the same, wherever a block happens to end."""

from __future__ import annotations

import csv
import io
from itertools import islice
from pathlib import Path

import polars as pl
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from models.layouts import TableFormat
from models.tables import delimited
from models.tables.delimited import DelimitedTable
from models.tables.records import LONGEST_QUOTED_FIELD, read_records

CSV = TableFormat(format="csv", columns=("x", "y", "z"))
LONG_SEPARATOR = TableFormat(separator="::", columns=("x", "y", "z"))

# Bytes that matter to the format, and few others: most strings come out odd in some way.
TEXT = st.lists(
    st.sampled_from(
        [b"a", b",", b",", b'"', b'"', b"\n", b"\r\n", b"\r", "é".encode(), b"\xff", b"::", b"\x1f"]
    ),
    max_size=60,
).map(b"".join)
FIRST_RECORD = b"1,2,3\n"  # so that the number of columns always fits


def blocks_of(content, size):
    """The content in blocks of a size."""
    return iter([content[start : start + size] for start in range(0, len(content), size)])


def everything_in(table_format, blocks):
    """All rows with their lines, and all bad rows, by line."""
    table = DelimitedTable(Path("t.csv"), table_format, blocks)
    rows, bad = [], []
    for batch in table.batches(ids=table.columns):
        rows += zip(batch.lines.tolist(), batch.frame.rows(), strict=True)
        bad += batch.bad
    return rows, bad


def never_plain(_table, buffer):
    """In place of `_plain_block`: nothing is plain."""
    return None, buffer


@given(TEXT, st.integers(1, 12), st.booleans())
@example(b'"\n"\r,,\n', 5, True)
@example(b'a,b"",c\n"a""",b,\n', 100, True)
@example(b"a,b,c\r\r\n\r,\r,\r\n", 100, True)
def test_the_fast_way_is_the_exact_way(content, size, quoting):
    """Any bytes: the same rows, lines and bad rows as record by record, in one block or in many."""
    table_format = CSV.model_copy(update={"quoting": quoting})
    content = FIRST_RECORD + content
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DelimitedTable, "_plain_block", never_plain)
        expected = everything_in(table_format, iter([content]))
    assert everything_in(table_format, iter([content])) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_PIECE_BYTES", size)
        patch.setattr(delimited, "LONGEST_QUOTED_FIELD", size)
        assert everything_in(table_format, iter([content])) == expected
        # a block is never smaller than the first record, from which the columns are counted
        first, rest = content[: len(FIRST_RECORD)], content[len(FIRST_RECORD) :]
        found = everything_in(table_format, iter([first, *blocks_of(rest, size)]))
    assert found == expected


@given(TEXT, st.integers(1, 12))
def test_long_separators_split_as_python_splits(content, size):
    """`::` is what `bytes.split` takes it for, whatever control characters the file holds."""
    content = b"1::2::3\n" + content.replace(b"\xff", b"")
    lines = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    expected = [
        (number, tuple(field.decode() for field in line.split(b"::")))
        for number, line in enumerate(lines, 1)
        if line.count(b"::") == 2
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_PIECE_BYTES", size)
        rows, bad = everything_in(LONG_SEPARATOR, iter([content]))
    assert rows == expected
    assert [row.line for row in bad] == [
        number for number, line in enumerate(lines, 1) if line and line.count(b"::") != 2
    ]


def test_every_control_character_in_use():
    """Where no byte can stand in for the separator, the exact way does it."""
    everything = "".join(map(chr, range(1, 32))).replace("\n", "").replace("\r", "")
    content = f"1::2::3\n{everything}::b::c\n".encode()
    assert everything_in(LONG_SEPARATOR, iter([content]))[0][1] == (2, (everything, "b", "c"))


FIELD = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.text('a",\r\n ', max_size=5)


@given(
    st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=30),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 40),
)
def test_what_the_csv_module_writes(rows, quoting, line_end, size):
    """The rows come back, each in the line in which the csv module wrote it."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=quoting, lineterminator=line_end)
    lines = []
    for row in rows:
        lines.append(buffer.getvalue().count("\n") + 1)
        writer.writerow(row)
    # with LF alone the module leaves a last \r unquoted, where it reads as part of a CR LF
    assume(line_end == "\r\n" or not any(row[2].endswith("\r") for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_PIECE_BYTES", size)
        found = everything_in(CSV, iter([buffer.getvalue().encode()]))
    assert found == (list(zip(lines, rows, strict=True)), [])


def test_a_large_quoted_table_in_every_thread():
    """Polars cuts a block for its threads: quoted line ends must not lead it astray."""
    rows = [(f'user\n{row % 999} "x"', f"{row},\r\n{row}", "\n" * (row % 7)) for row in range(300_000)]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    content = buffer.getvalue().encode()
    found, bad = everything_in(CSV, blocks_of(content, delimited.BLOCK_BYTES))
    assert len(content) > delimited.BLOCK_BYTES / 2
    assert [row for _, row in found] == rows
    assert bad == []
    assert found[-1][0] == content[: content.rindex(b'"user')].count(b"\n") + 1


def test_lines_are_right_after_many_blocks():
    """Line numbers go on from block to block, over quoted line ends, blank lines and bad rows."""
    good, bad_line = '"a\nb",c,d\n', "x,y\n"
    content = (good * 3 + "\n" + bad_line + "e,f,g\n" * 5) * 20_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "_PIECE_BYTES", 5_000)
        rows, bad = everything_in(CSV, blocks_of(content.encode(), 100_000))
    lines = content.split("\n")
    assert len(rows) == 8 * 20_000
    for line, (x, _, _) in rows:
        assert lines[line - 1] == ('"a' if x == "a\nb" else "e,f,g")
    assert [row.line for row in bad] == [8 + 13 * repeat for repeat in range(20_000)]


def test_if_polars_disagrees_on_the_number_of_records(monkeypatch):
    """The exact way is taken: no row moves to another line unseen."""
    content = b'a,"b",c\nd,e,f\n'
    expected = everything_in(CSV, iter([content]))
    whole = pl.read_csv
    monkeypatch.setattr(pl, "read_csv", lambda *args, **options: whole(*args, **options).head(1))
    assert everything_in(CSV, iter([content])) == expected


def test_a_quote_that_is_open_too_long_is_given_up():
    """A quoted field of a megabyte more likely lacks its closing quote; the next line is read again."""
    content = b'"' + b"x\n" * LONGEST_QUOTED_FIELD + b'",2,3\n'
    first, second = islice(read_records(content, b",", quoting=True, final=False), 2)
    assert (first.problem, first.fields) == ("a quote that is opened here is never closed", [b'"x'])
    assert (second.line, second.fields) == (1, [b"x"])


def test_a_long_quoted_field_in_the_limit_is_read():
    """Half a megabyte of quoted lines is one field, in blocks and pieces of any size."""
    field = "line\n" * 100_000
    content = f'1,2,3\n"{field}",2,3\n4,5,6\n'.encode()
    expected = ([(1, ("1", "2", "3")), (2, (field, "2", "3")), (100_003, ("4", "5", "6"))], [])
    for size in (70_000, 1 << 20):
        assert everything_in(CSV, blocks_of(content, size)) == expected
