"""Ids and rows: a bijection whatever the characters, in memory and memory-mapped."""

import random
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ArtifactError, DataError, RequestError
from models.ids import IdMap

IDS = st.lists(st.text(), unique=True, max_size=40)
LONE_SURROGATES = ["\ud800", "a\udfffb", "\udc80"]


def reopened(ids: IdMap) -> IdMap:
    """The map after a round trip over disk; a mapped file outlives its name."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ids.marisa"
        ids.save(path)
        return IdMap.open(path)


@given(IDS)
def test_ids_and_rows_are_a_bijection(ids: list[str]) -> None:
    """Every id has one row of 0 … n-1 and every row gives its id back, before and after a trip over disk."""
    for id_map in (built := IdMap.build(ids), reopened(built)):
        assert len(id_map) == len(ids)
        rows = [row for identifier in ids if (row := id_map.get(identifier)) is not None]
        assert sorted(rows) == list(range(len(ids)))
        assert [id_map.external(row) for row in rows] == ids
        assert sorted(id_map) == sorted(ids)


@given(IDS, IDS)
def test_other_strings_are_not_in_the_map(ids: list[str], others: list[str]) -> None:
    """A string that was not given is unknown, be it a prefix, an extension or cut at a NUL."""
    id_map = IdMap.build(ids)
    near = [variant for i in ids for variant in (i[:-1], i + "\0", i + "x", i.partition("\0")[0], "\0" + i)]
    for other in {*others, *near} - {*ids}:
        assert id_map.get(other) is None
        assert other not in id_map
    assert all(identifier in id_map for identifier in ids)


@given(IDS.filter(len), st.data())
def test_many_at_once_is_one_at_a_time(ids: list[str], data: st.DataObject) -> None:
    """Bulk conversion keeps order and repeats, and inverts itself."""
    id_map = IdMap.build(ids)
    asked = data.draw(st.lists(st.sampled_from(ids)))
    rows = id_map.to_internal(asked, missing="raise")
    assert rows.dtype == np.int32
    assert rows.tolist() == [id_map.get(identifier) for identifier in asked]
    assert id_map.to_external(rows) == asked
    mixed = data.draw(st.lists(st.sampled_from(ids) | st.text()))
    assert id_map.find(mixed) == [id_map.get(identifier) for identifier in mixed]


def test_the_rows_do_not_depend_on_the_order_of_the_ids() -> None:
    """Two tables of the same ids in different orders give the same rows: artifacts can be compared."""
    ids = [f"user-{number}" for number in range(500)]
    shuffled = random.Random(7).sample(ids, len(ids))
    assert list(IdMap.build(ids)) == list(IdMap.build(shuffled))


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [""],
        ["", "\0", "\0\0", "a", "a\0", "a\0b"],
        ["é", "e\u0301", "😀", "👩‍👩‍👧", "日本", "\ufeffbom", "\x7f", "\U0010ffff"],
        ["../../etc/passwd", "a/b", "a\nb", '"quoted"', " ", "\t"],
        ["x" * 100_000, "x" * 99_999],
    ],
    ids=["none", "empty", "nul", "scripts", "separators", "long"],
)
def test_unusual_ids(ids: list[str]) -> None:
    """No id at all, the empty id, NUL, emoji, combining marks and very long ids survive the disk apart."""
    id_map = reopened(IdMap.build(ids))
    assert len(id_map) == len(ids)
    assert id_map.to_external(id_map.to_internal(ids, missing="raise")) == ids


@pytest.mark.parametrize("identifier", LONE_SURROGATES)
def test_a_lone_surrogate_is_refused_and_never_found(identifier: str) -> None:
    """Half a UTF-16 pair cannot be stored: building names it, looking it up finds nothing."""
    with pytest.raises(DataError, match=r"lone surrogate.*repair the id"):
        IdMap.build(["fine", identifier])
    id_map = IdMap.build(["fine", "a", "b"])
    assert id_map.get(identifier) is None
    assert identifier not in id_map
    assert id_map.to_internal([identifier, "a"], missing="drop").tolist() == [id_map.get("a")]
    assert id_map.find(["b", identifier, "a"]) == [id_map.get("b"), None, id_map.get("a")]


def test_a_repeated_id_is_named() -> None:
    """Ids that come twice would leave a row unused, so they are refused by name."""
    with pytest.raises(DataError, match="'b\\\\x00' comes twice"):
        IdMap.build(["a", "b\0", "c", "b\0", "b"])


def test_an_id_that_is_no_string_is_refused() -> None:
    """A number is not silently taken for its digits."""
    with pytest.raises(DataError, match="17 is of type int"):
        IdMap.build([17])  # type: ignore[list-item]


def test_missing_ids_raise_or_drop_as_asked() -> None:
    """What happens to an unknown id is the caller's word."""
    id_map = IdMap.build(["a", "b"])
    with pytest.raises(RequestError, match="'x9' is not among the 2 known"):
        id_map.to_internal(["a", "x9"], missing="raise")
    assert id_map.to_internal(["x9", "b", "x8"], missing="drop").tolist() == [id_map.get("b")]
    assert id_map.to_internal(["x9"], missing="drop").dtype == np.int32


@pytest.mark.parametrize("row", [-1, 2, 2**31])
def test_a_row_out_of_range_is_an_error(row: int) -> None:
    """A row that does not exist never comes back as some other row's id, as list[-1] would."""
    with pytest.raises((KeyError, OverflowError)):
        IdMap.build(["a", "b"]).external(row)


def test_a_missing_or_foreign_file_is_an_artifact_error(tmp_path: Path) -> None:
    """A path that holds no id map, or whose directory has an unusual name, is dealt with."""
    path = tmp_path / "né😀" / "ids.marisa"
    with pytest.raises(ArtifactError, match=r"ids\.marisa"):
        IdMap.open(path)
    path.parent.mkdir()
    path.write_bytes(b"not a trie at all")
    with pytest.raises(ArtifactError, match=r"ids\.marisa"):
        IdMap.open(path)
    IdMap.build(["a"]).save(path)
    assert list(IdMap.open(path)) == ["a"]


def test_saving_where_nothing_can_be_written_is_an_os_error(tmp_path: Path) -> None:
    """The cause (no such directory, disk full) reaches the caller as the system's own error."""
    with pytest.raises(FileNotFoundError):
        IdMap.build(["a"]).save(tmp_path / "nowhere" / "ids.marisa")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's account of memory mappings")
def test_a_map_in_use_is_the_page_cache_and_no_copy(tmp_path: Path) -> None:
    """After every id was looked up both ways, the process holds no page of the file that is its own."""
    path = tmp_path / "ids.marisa"
    IdMap.build(f"user-{random.Random(n).getrandbits(64)}" for n in range(20_000)).save(path)
    id_map = IdMap.open(path)
    assert all(id_map.get(identifier) == row for row, identifier in enumerate(id_map))
    _, _, account = Path("/proc/self/smaps").read_text().partition(f"{path}\n")
    kilobytes = {
        name: int(size) for name, size in re.findall(r"^(\w+): +(\d+) kB$", account, re.MULTILINE)[:18]
    }
    assert kilobytes["Rss"] * 1024 > path.stat().st_size / 2
    assert kilobytes["Anonymous"] == 0
