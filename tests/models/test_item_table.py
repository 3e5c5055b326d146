"""Tables of item metadata: what becomes of each column, in every format."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError
from models.item_members import split_title
from models.item_table import read_items, read_users
from models.layouts import PRESETS, ItemLayout, Layout, TableFormat, choose_layout


@pytest.fixture
def read(tmp_path):
    """Write a file and read it: `read("t.csv", content, layout, **options)`."""

    def write_and_read(name, content, layout=Layout(), **options):  # noqa: B008 - it is frozen
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_items(path, layout, **options)

    return write_and_read


@pytest.fixture
def error_of(read, tmp_path):
    """The message of the `DataError` that reading raises, without the directory."""

    def message(name, content, layout=Layout(), **options):  # noqa: B008 - it is frozen
        with pytest.raises(DataError) as caught:
            read(name, content, layout, **options)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return message


def test_movielens_100k(read):
    """u.item: pipes, latin-1, one-hot genres."""
    flags = "0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0"
    content = (
        f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|{flags}\n"
        f'2|Fantôme, "Le" (1947)||||{flags.replace("1", "0")}\n'
    )
    records = read("u.item", content.encode("latin-1"), PRESETS["movielens-100k"]).records
    assert records == {
        "1": {
            "title": "Toy Story",
            "year": 1995,
            "release_date": "01-Jan-1995",
            "imdb_url": "http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)",
            "genres": ["Animation", "Children's", "Comedy"],
        },
        "2": {"title": 'Fantôme, "Le"', "year": 1947, "genres": []},
    }


def test_movielens_1m(read):
    """movies.dat: `::`, latin-1, genres between pipes."""
    content = "1::Toy Story (1995)::Animation|Children's|Comedy\n3::Désirée (1954)::Drama\n"
    records = read("movies.dat", content.encode("latin-1"), PRESETS["movielens-1m"]).records
    assert records == {
        "1": {"title": "Toy Story", "year": 1995, "genres": ["Animation", "Children's", "Comedy"]},
        "3": {"title": "Désirée", "year": 1954, "genres": ["Drama"]},
    }


def test_movietweetings(read):
    """The same layout in UTF-8, by one option; a movie may have no genres."""
    layout = choose_layout("movielens-1m", {"items.table.encoding": "utf-8"})
    content = "0002844::Fantômas - À l'ombre (1913)::Crime|Drama\n0021283::Mission: Impossible (1930)::\n"
    assert read("movies.dat", content, layout).records == {
        "0002844": {"title": "Fantômas - À l'ombre", "year": 1913, "genres": ["Crime", "Drama"]},
        "0021283": {"title": "Mission: Impossible", "year": 1930, "genres": []},
    }


def test_movielens_csv(read):
    """movies.csv: quoted titles, titles without a year, and no genres listed."""
    content = (
        "movieId,title,genres\r\n"
        '11,"American President, The (1995)",Comedy|Drama\r\n'
        "171749,Death Note: Desu nôto (2006–2007),(no genres listed)\r\n"
        '7789,"11\'09""01 - September 11 (2002)",Drama\r\n'
    )
    assert read("movies.csv", content, PRESETS["movielens-csv"]).records == {
        "11": {"title": "American President, The", "year": 1995, "genres": ["Comedy", "Drama"]},
        "171749": {"title": "Death Note: Desu nôto (2006–2007)", "genres": []},
        "7789": {"title": "11'09\"01 - September 11", "year": 2002, "genres": ["Drama"]},
    }


def test_recbole(read):
    """An .item file: types in the header, names split by spaces, and the two odd rows of its ml-100k."""
    content = (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Children's Comedy\n"
        "267\tunkonwn\tunkonwn\tunknown\n"
        "1412\tLand Before Time III (1995)\tV\tAnimation Children's\n"
    )
    assert read("ml-100k.item", content, PRESETS["recbole"]).records == {
        "1": {"title": "Toy Story", "year": 1995, "genres": ["Animation", "Children's", "Comedy"]},
        "267": {"title": "unkonwn", "genres": ["unknown"]},
        "1412": {"title": "Land Before Time III", "year": 1995, "genres": ["Animation", "Children's"]},
    }


def test_goodbooks(read):
    """A CSV of one's own by two options: columns of numbers are numbers, the year is an integer."""
    layout = choose_layout(None, {"item_column": "book_id", "items.year_column": "original_publication_year"})
    content = (
        "book_id,isbn,isbn13,original_publication_year,title,average_rating\n"
        '1,439023483,9.78043902348e+12,2008.0,"The Hunger Games (The Hunger Games, #1)",4.34\n'
        "2,043965548X,,-720.0,The Odyssey,4\n"
        "3,,,,,\n"
    )
    assert read("books.csv", content, layout).records == {
        "1": {
            "isbn": "439023483",
            "isbn13": 9780439023480.0,
            "year": 2008,
            "title": "The Hunger Games (The Hunger Games, #1)",
            "average_rating": 4.34,
        },
        "2": {"isbn": "043965548X", "year": -720, "title": "The Odyssey", "average_rating": 4.0},
        "3": {},
    }


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "-2", ""], [1, -2, None]),
        (["1", "2.50"], [1.0, 2.5]),
        (["1.0", "nan"], [1.0, None]),
        (["-Infinity", "3"], [None, 3]),
        (["007", "8"], ["007", "8"]),
        (["1e5", "2"], ["1e5", "2"]),
        (["1e+5", "2"], [100000.0, 2.0]),
        (["1", "x"], ["1", "x"]),
        (["nan", ""], ["nan", None]),
        ([" 1", "2"], [" 1", "2"]),
        (["1_0", "2"], ["1_0", "2"]),
        (["٣", "2"], ["٣", "2"]),
        (["9" * 19, "2"], ["9" * 19, "2"]),
        (["1.5E3", "-0.25e-1"], [1500.0, -0.025]),
        (["1e+999", "2"], ["1e+999", "2"]),
        (["true", "false"], ["true", "false"]),
    ],
)
def test_a_column_of_text_is_numbers_only_if_every_field_is(read, texts, expected):
    """Zeros in front, codes such as 1e5 and whatever else is no plain number keep the column text."""
    content = "item_id,x,y\n" + "".join(f"{row},{text},y\n" for row, text in enumerate(texts))
    records = read("t.csv", content).records
    assert [record.get("x") for record in records.values()] == expected
    assert [type(record.get("x")) for record in records.values()] == [type(each) for each in expected]


MEMBERS = {
    "title": "é",
    "year": 1995,
    "price": 1.5,
    "new": True,
    "genres": ["a", "b"],
    "size": {"w": 1, "h": [1.5]},
}


def test_ndjson_keeps_its_types(read):
    """Text, numbers, lists and objects as they are; without null, NaN and infinity at any depth."""
    content = json.dumps({"item_id": 7} | MEMBERS, ensure_ascii=False) + "\n"
    content += '{"item_id": "8", "x": NaN, "y": null, "z": [1, Infinity, null], "w": {"a": NaN, "b": ""}}\n'
    table = read("t.ndjson", content)
    assert table.records == {"7": MEMBERS, "8": {"z": [1], "w": {"b": ""}}}


def test_parquet_keeps_its_types(read):
    """Lists and structs too; dates become ISO 8601, decimals numbers; bytes are left out."""
    frame = pl.DataFrame(
        {
            "item_id": [7],
            **{name: [value] for name, value in MEMBERS.items()},
            "nothing": [float("nan")],
            "day": [date(1995, 11, 22)],
            "moment": [datetime(1995, 11, 22, 10, 30, tzinfo=UTC)],
            "opens": [time(9, 30)],
            "cost": [Decimal("1.25")],
            "blob": [b"\xff"],
        }
    )
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    assert read("t.parquet", buffer.getvalue()).records == {
        "7": MEMBERS
        | {"day": "1995-11-22", "moment": "1995-11-22T10:30:00+00:00", "opens": "09:30:00", "cost": 1.25}
    }


def test_lists_flags_and_names_of_a_layout(read):
    """Any text column can be a list, any 0/1 columns a list of their names, any member have another name."""
    layout = Layout(
        items=ItemLayout(
            id_column="sku",
            lists={"tags": ";"},
            empty_list="-",
            flags={"labels": ("new", "sale")},
            rename={"tags": "categories", "prix": "price"},
        )
    )
    content = "sku,tags,new,sale,prix\na,x;y;,1,0,2\nb,-,1,1,3\nc,,,0,\n"
    assert read("t.csv", content, layout).records == {
        "a": {"categories": ["x", "y"], "price": 2, "labels": ["new"]},
        "b": {"categories": [], "price": 3, "labels": ["new", "sale"]},
        "c": {"categories": [], "labels": []},
    }
    typed = '{"sku": "a", "tags": ["x", "y"], "new": true, "sale": 0}\n'
    assert read("t.ndjson", typed, layout).records == {"a": {"categories": ["x", "y"], "labels": ["new"]}}


def test_a_column_without_a_name_is_left_out(read):
    """Such as the row numbers that pandas writes."""
    assert read("t.csv", ",item_id,x\n0,a,1\n").records == {"a": {"x": 1}}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Toy Story (1995)", ("Toy Story", 1995)),
        ("Toy Story (1995) ", ("Toy Story", 1995)),
        ("M (1931)", ("M", 1931)),
        ("1984", ("1984", None)),
        ("(1995)", ("(1995)", None)),
        ("Blade Runner 2049 (2017) (II)", ("Blade Runner 2049 (2017) (II)", None)),
        ("Shadow (Cienie) (1988)", ("Shadow (Cienie)", 1988)),
        ("X (19950)", ("X (19950)", None)),
        ("X (١٩٩٥)", ("X (١٩٩٥)", None)),
        ("two\nlines (1995)", ("two\nlines", 1995)),
        ("", (None, None)),
        (None, (None, None)),
        (7, (7, None)),
    ],
)
def test_titles_with_a_year(title, expected):
    """Four digits in parentheses at the end are the year; everything else is the title."""
    assert split_title(title) == expected


@given(st.text(), st.integers(1000, 9999))
def test_the_year_comes_off_any_title(name, year):
    """Whatever the title holds, spaces at its end aside."""
    title, found = split_title(f"{name}x ({year})")
    assert (title, found) == (f"{name}x", year)


def test_rows_that_cannot_be_used(read, error_of):
    """Missing and repeated ids, flags that are none and ragged lines, with their lines."""
    layout = Layout(items=ItemLayout(flags={"genres": ("Drama",)}))
    content = 'item_id,title,Drama\na,"x\ny",1\n,z,0\na,again,0\nb,c,2\nc,d\nd,e,0\n'
    assert error_of("t.csv", content, layout) == (
        "t.csv: 4 of 6 rows are bad (missing item id: 1, repeated item id: 1, unparsable flag: 1, "
        "too few fields: 1):\n"
        "  line 4, column 'item_id': the id is missing\n"
        "  line 5, column 'item_id': 'a' is also the id of line 2\n"
        "  line 6, column 'Drama': '2' is neither 0 nor 1\n"
        "  line 7: 2 fields instead of 3: 'c,d'\n"
        "correct them, or leave them out with --on-bad-row=skip"
    )
    table = read("t.csv", content, layout, on_bad_row="skip")
    assert table.records == {
        "a": {"title": "x\ny", "genres": ["Drama"]},
        "d": {"title": "e", "genres": []},
    }
    assert (table.report.rows, table.report.bad_rows) == (6, 4)


def test_ids_of_the_wrong_type(error_of):
    """A float is no id, here as in the interactions."""
    message = error_of("t.ndjson", '{"item_id": 1.5}\n{"item_id": [1]}\n')
    assert "line 1, column 'item_id': an id must be text or a whole number, not 1.5" in message
    assert "line 2, column 'item_id': an id must be text or a whole number, not [1]" in message


def test_columns_that_the_layout_names_must_be_there(error_of):
    """A misspelled title or genre is not passed over in silence."""
    assert error_of("t.csv", "id,name\n1,x\n").startswith("t.csv: there is no column 'item_id'")
    assert "Name the right one with --item-id-column" in error_of("t.csv", "id,name\n1,x\n")
    title = Layout(items=ItemLayout(title_column="titel"))
    assert "no column 'titel' (did you mean 'title'?)" in error_of("t.csv", "item_id,title\n1,x\n", title)
    assert "no column 'genres'" in error_of("t.csv", "movieId,title\n1,x\n", PRESETS["movielens-csv"])
    assert error_of("t.csv", "item_id,x,x\n1,2,3\n") == (
        "t.csv: several columns are called 'x'; rename all but one"
    )


def test_files_without_items(error_of):
    """An empty file, and a header alone."""
    assert error_of("t.csv", "") == "t.csv: the file is empty"
    assert error_of("t.csv", "item_id,x\n").endswith(
        "there is not one row in it, only the names of its columns"
    )


def test_a_table_of_ids_alone(read):
    """One column is a table too: the items exist, and nothing is known of them."""
    assert read("t.csv", 'item_id\na\n\n"b,c"\n').records == {"a": {}, "b,c": {}}
    layout = Layout(items=ItemLayout(table=TableFormat(columns=("item_id",))))
    assert read("t.csv", "a\nb\n", layout).records == {"a": {}, "b": {}}


def is_json(value):
    """Whether JSON has this value: anything but NaN and infinity."""
    return not isinstance(value, float) or math.isfinite(value)


MEMBER_VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.integers(-(2**53), 2**53)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.fixed_dictionaries({"a": MEMBER_VALUES, "b": st.lists(MEMBER_VALUES), "c": st.floats(width=64)}),
        min_size=1,
        max_size=10,
    )
)
def test_ndjson_is_read_back(tmp_path_factory, items):
    """Any members, written by the json module; floats that are not finite are left out."""
    path = tmp_path_factory.mktemp("items") / "t.ndjson"
    lines = [json.dumps({"item_id": item_id} | members) for item_id, members in items.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    expected = {
        item_id: {name: value for name, value in members.items() if is_json(value)}
        for item_id, members in items.items()
    }
    assert read_items(path, Layout()).records == expected


@pytest.mark.parametrize(
    ("preset", "name", "text"),
    [
        ("movielens-100k", "u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n"),
        ("movielens-1m", "users.dat", "1::M::24::technician::85711\n2::F::53::other::94043\n"),
        (
            "recbole",
            "x.user",
            "user_id:token\tage:token\tgender:token\n1\t24\tM\n2\t53\tF\n",
        ),
        (
            None,
            "users.csv",
            "user_id,age,gender\n1,24,M\n2,53,F\n",
        ),
    ],
)
def test_a_table_of_users_is_read_as_one_of_items_is(tmp_path, preset, name, text):
    """Every column but the id is a member, in the layouts of the MovieLens sets as well."""
    path = tmp_path / name
    path.write_text(text)
    records = read_users(path, choose_layout(preset)).records
    members = {user: (record["age"], record["gender"]) for user, record in records.items()}
    assert members == {"1": (24, "M"), "2": (53, "F")}


def test_bad_rows_of_users_are_named_as_such(tmp_path):
    """The remedy names the option of the users' table."""
    path = tmp_path / "users.csv"
    path.write_text("user_id,age\n1,20\n1,30\n")
    with pytest.raises(DataError, match=r"repeated user id|'1' is also the id of line 2"):
        read_users(path, Layout())
    with pytest.raises(DataError, match="--user-id-column"):
        read_users(path, choose_layout(options={"users.id_column": "who"}))
