"""A version that is not exactly what was published is refused, by the name of the file and with a remedy."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact import open_artifact, publish
from models.errors import ArtifactError
from tests.models.artifact.sample import FILES, N_FACTORS, reseal, sample_card, sample_contents, seal

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_FILE = pytest.mark.parametrize("name", sorted(FILES))


def refusal(directory: Path) -> str:
    """The message with which the directory is refused; anything but an ArtifactError fails the test."""
    with pytest.raises(ArtifactError) as refused:
        open_artifact(directory)
    message = str(refused.value)
    assert ";" in message, "a message says what is wrong; and then what to do"
    return message


@EVERY_FILE
def test_one_changed_byte_is_seen(version: Path, name: str) -> None:
    """Any byte of any file, changed in any way, is found: first, middle, last and a few dozen others."""
    path = version / name
    content = path.read_bytes()
    rng = random.Random(name)
    positions = {0, 1, len(content) // 2, len(content) - 2, len(content) - 1}
    positions |= {rng.randrange(len(content)) for _ in range(25)}
    for position in sorted(positions):
        damaged = bytearray(content)
        damaged[position] ^= rng.choice([1, 0x20, 0x80, rng.randrange(1, 256)])
        path.write_bytes(damaged)
        assert name in refusal(version), position
    path.write_bytes(content)
    open_artifact(version)


@EVERY_FILE
def test_truncated_and_grown_files_are_seen(version: Path, name: str) -> None:
    """A copy that broke off, at any length down to nothing, or that has something behind its end."""
    path = version / name
    content = path.read_bytes()
    for damaged in (
        content[:-1],
        content[: len(content) // 2],
        content[:1],
        b"",
        content + b"\0",
        content * 2,
    ):
        path.write_bytes(damaged)
        message = refusal(version)
        assert name in message, len(damaged)
        if not name.startswith("manifest"):
            assert f"{len(damaged):,} bytes where the manifest says {len(content):,}" in message


@EVERY_FILE
def test_a_missing_file_is_named(version: Path, name: str) -> None:
    """Nothing is optional once the manifest lists it, and the manifest itself is not."""
    (version / name).unlink()
    assert name in refusal(version)


def test_swapped_files_are_seen(version: Path) -> None:
    """Two files that were exchanged are refused, whichever two."""
    for one, other in itertools.combinations(sorted(FILES), 2):
        exchange(version / one, version / other)
        message = refusal(version)
        assert one in message or other in message
        exchange(version / one, version / other)
    open_artifact(version)


def exchange(one: Path, other: Path) -> None:
    """Swap the names of two files."""
    aside = one.with_name(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


@EVERY_FILE
def test_a_file_of_another_version_is_seen(version: Path, tmp_path: Path, name: str) -> None:
    """Two versions mixed by a copy that broke off halfway are not taken for one."""
    contents = sample_contents(
        [f"member-{n}" for n in range(30)],
        [f"product-{n}" for n in range(20)],
        seed=1,
        metadata={
            "product-1": {"title": "Eins", "year": 1, "genres": ["X"], "released": "1970-01-01"},
            "product-2": {"title": "Zwei", "year": 2, "genres": ["Y", "Z"], "released": "1970-01-02"},
            "product-3": {"title": "Drei"},
        },
    )
    other = tmp_path / publish(tmp_path, contents, sample_card(contents))
    shutil.copyfile(other / name, version / name)
    assert name in refusal(version)


@EVERY_FILE
def test_only_regular_files_are_opened(version: Path, tmp_path: Path, name: str) -> None:
    """A link to the same content, a directory and a pipe are refused; a pipe must not block the service."""
    path = version / name
    elsewhere = tmp_path / name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert name in refusal(version)
    path.unlink()
    path.mkdir()
    assert name in refusal(version)
    path.rmdir()
    os.mkfifo(path)
    assert name in refusal(version)


@pytest.mark.parametrize("name", ["notes.txt", "item_more.npy", "other.hnsw", "subdirectory"])
def test_a_file_that_is_not_listed_is_refused(version: Path, name: str) -> None:
    """A version is immutable: something extra means that somebody changed it."""
    if name == "subdirectory":
        (version / name).mkdir()
    else:
        (version / name).write_bytes(b"x")
    assert f"{name}: is not in the manifest" in refusal(version)


@pytest.mark.parametrize("name", [".DS_Store", ".nfs000000000512"])
def test_hidden_files_of_operating_systems_are_not_the_artifacts(version: Path, name: str) -> None:
    """What a file browser or a network file system drops into every directory does not stop a service."""
    (version / name).write_bytes(b"x")
    open_artifact(version)


def test_a_renamed_version_is_refused(version: Path) -> None:
    """The directory's name and the version that the service reports are one."""
    renamed = version.with_name("20200101T000000Z-0000")
    version.rename(renamed)
    assert f"holds version {version.name}; rename the directory" in refusal(renamed)


@pytest.mark.parametrize("kind", ["nothing", "file", "empty directory"])
def test_what_is_no_version_is_refused(tmp_path: Path, kind: str) -> None:
    """A path that is not there, is a file, or is empty."""
    directory = tmp_path / "20200101T000000Z-0000"
    if kind == "file":
        directory.write_bytes(b"x")
    elif kind == "empty directory":
        directory.mkdir()
    assert "manifest.json" in refusal(directory)


# From here on the hashes are right: files as a foreign or faulty writer could have made them.


@pytest.mark.parametrize("schema_version", [0, 2, -1, "1", 1.5, None, [1], {}], ids=repr)
def test_an_unknown_schema_is_refused_before_anything_else(version: Path, schema_version: Any) -> None:
    """The number is named, and the remedy, even where the rest of the manifest is nothing that we know."""
    reseal(version, schema_version=schema_version, surprise="of the future")
    message = refusal(version)
    assert f"schema version {schema_version!r}, but this Foldrec reads 1" in message
    assert "train again" in message


def test_a_manifest_without_a_schema_is_refused(version: Path) -> None:
    """No schema version is no schema that we know."""
    seal(version, b"{}")
    assert "schema version None" in refusal(version)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"null",
        b"[]",
        b"3",
        b"{",
        b'{"schema_version": 1}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"NaN",
    ],
    ids=["empty", "zeros", "null", "list", "number", "cut", "bare", "deep", "not utf-8", "nan"],
)
def test_a_manifest_that_is_none_is_refused(version: Path, content: bytes) -> None:
    """Whatever is sealed as the manifest, the answer is an error that names it."""
    seal(version, content)
    assert "manifest.json" in refusal(version)


def test_a_manifest_of_absurd_size_is_not_read(version: Path) -> None:
    """A manifest is kilobytes; gigabytes of it must not be taken into memory."""
    os.truncate(version / "manifest.json", 2**32)
    assert "manifest.json: larger than" in refusal(version)


@pytest.mark.parametrize(
    "name",
    ["../secret.npy", "/etc/passwd", "a/../b.npy", "..", ".", "", "sub/x.npy", "x\0.npy", "é.npy", "x.npy\n"],
    ids=repr,
)
def test_paths_in_the_manifest_are_refused(version: Path, name: str) -> None:
    """A file's name stays inside the version's directory."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    manifest["files"][name] = manifest["files"]["popularity.npy"]
    seal(version, json.dumps(manifest).encode())
    assert "manifest.json: files" in refusal(version)


def test_a_file_of_unknown_kind_is_refused(version: Path) -> None:
    """A schema says all that a version can hold."""
    (version / "surprise.bin").write_bytes(b"x")
    reseal(version, "surprise.bin")
    assert "surprise.bin: schema version 1 knows no such file" in refusal(version)


@pytest.mark.parametrize(
    "name",
    sorted(FILES - {"manifest.json", "manifest.sha256", "item_length_norms.npy", "history_times.npy"}),
)
def test_a_file_that_the_manifest_forgets_is_missed(version: Path, name: str) -> None:
    """What every version has must be listed; metadata come in twos; a measured graph must be there."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    del manifest["files"][name]
    (version / name).unlink()
    seal(version, json.dumps(manifest).encode())
    assert name in refusal(version)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ([], "field_0_items.npy"),
        ([("genres", "string"), ("released", "date"), ("title", "string")], "field_3_items.npy"),
        ([("genres", "string"), ("released", "date"), ("title", "date"), ("year", "number")], "field_2_"),
        ([("genres", "string"), ("released", "string"), ("title", "string"), ("year", "number")], "field_1_"),
        ([("a", "string"), ("b", "date"), ("a", "string"), ("year", "number")], "two fields are called 'a'"),
        ([("a", "string"), ("b", "date"), ("c", "string"), ("d", "number"), ("e", "number")], "field_4_"),
    ],
)
def test_fields_that_the_files_do_not_have_are_refused(
    version: Path, fields: list[tuple[str, str]], named: str
) -> None:
    """Kinds and number of the fields in the manifest are those of the files."""
    cards = [{"name": name, "kind": kind, "is_list": True} for name, kind in fields]
    reseal(version, item_fields={"fields": cards, "unfilterable": {}})
    assert named in refusal(version)


@pytest.mark.parametrize("described", [None, {"k": 4, "short": 1, "without": 1, "bytes": 720}])
def test_lists_that_the_manifest_does_not_describe_are_refused(version: Path, described: Any) -> None:
    """`GET /model` speaks of lists where there are some, and of their true length."""
    reseal(version, top_lists=described)
    assert "top_lists" in refusal(version)


def test_lists_that_are_not_there_are_not_described(version: Path) -> None:
    """A version without both files is one without lists only if its manifest says so."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    for name in ("top_items.npy", "top_scores.npy"):
        del manifest["files"][name]
        (version / name).unlink()
    seal(version, json.dumps(manifest).encode())
    assert "top_lists: 3 items a user" in refusal(version)
    seal(version, json.dumps(manifest | {"top_lists": None}).encode())
    assert open_artifact(version).top_lists is None


def of_column_order(array: np.ndarray) -> np.ndarray:
    """The same numbers, stored by column."""
    return np.asfortranarray(array)


def swapped_bytes(array: np.ndarray) -> np.ndarray:
    """The same numbers, most significant byte first."""
    return array.astype(array.dtype.newbyteorder(">"))


def put(position: Any, value: float) -> Callable[[np.ndarray], np.ndarray]:
    """A change of one element."""

    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[position] = value
        return array

    return change


FOREIGN: list[tuple[str, Callable[[np.ndarray], Any]]] = [
    ("user_factors.npy", put((4, 2), np.nan)),
    ("user_factors.npy", put((29, N_FACTORS - 1), np.inf)),
    ("item_factors.npy", put((0, 0), -np.inf)),
    ("item_factors.npy", of_column_order),
    ("item_factors.npy", swapped_bytes),
    ("item_factors.npy", lambda array: array.astype(np.float64)),
    ("item_factors.npy", lambda array: array.astype(np.float16)),
    ("item_factors.npy", lambda array: array[1:]),
    ("user_factors.npy", lambda array: array[:, 1:]),
    ("user_factors.npy", lambda array: array[:, :, None]),
    ("user_factors.npy", lambda array: array[0, 0]),
    ("history_indptr.npy", put(0, 1)),
    ("history_indptr.npy", put(-1, 2**62)),
    ("history_indptr.npy", put(3, -5)),
    ("history_indptr.npy", put(3, 2**62)),
    ("history_indptr.npy", lambda array: array[:0]),
    ("history_indptr.npy", lambda array: array.astype(np.uint64)),
    ("history_items.npy", put(2, 20)),
    ("history_items.npy", put(2, -1)),
    ("history_items.npy", lambda array: array[::-1].copy()),
    ("history_items.npy", lambda array: array[0]),
    ("history_values.npy", put(0, np.nan)),
    ("history_values.npy", lambda array: array[1:]),
    ("history_times.npy", lambda array: array[1:]),
    ("history_times.npy", lambda array: array.astype(np.float64)),
    ("popularity.npy", put(7, -1)),
    ("popularity.npy", lambda array: array[1:]),
    ("item_length_norms.npy", put(19, np.nan)),
    ("item_length_norms.npy", lambda array: array[1:]),
    ("item_length_norms.npy", lambda array: array.astype(str)),
    ("item_length_norms.npy", lambda array: np.zeros(len(array), dtype=[("x", "f4")])),
    ("top_items.npy", put((0, 0), 20)),
    ("top_items.npy", put((29, 2), -2)),
    ("top_items.npy", put((4, 1), -1)),
    ("top_items.npy", lambda array: array[1:]),
    ("top_items.npy", lambda array: array[:, 1:]),
    ("top_items.npy", lambda array: array[:, :0]),
    ("top_items.npy", lambda array: array[0]),
    ("top_items.npy", lambda array: array[0, 0]),
    ("top_items.npy", lambda array: array.astype(np.int64)),
    ("top_scores.npy", put((7, 1), np.nan)),
    ("top_scores.npy", put((2, 0), -np.inf)),
    ("top_scores.npy", lambda array: array[:, 1:]),
    ("top_scores.npy", lambda array: array.astype(np.float64)),
    ("metadata_offsets.npy", put(0, 1)),
    ("metadata_offsets.npy", put(-1, 5)),
    ("metadata_offsets.npy", put(5, 2**62)),
    ("metadata_offsets.npy", put(5, -(2**62))),
    ("metadata_offsets.npy", lambda array: array[:-1]),
    ("metadata_offsets.npy", lambda array: array[[*range(19), 20]]),
    ("metadata_offsets.npy", lambda array: array[:0]),
    ("metadata_offsets.npy", lambda array: array.astype(np.int32)),
    ("metadata_offsets.npy", lambda array: array[None]),
    ("field_0_values.npy", put(0, -1)),
    ("field_0_values.npy", put(-1, 2)),
    ("field_0_values.npy", lambda array: array[::-1].copy()),
    ("field_0_values.npy", lambda array: array.astype(np.float64)),
    ("field_0_items.npy", put(1, 20)),
    ("field_0_items.npy", put(1, -1)),
    ("field_0_items.npy", lambda array: array[1:]),
    ("field_0_items.npy", lambda array: array.astype(np.int64)),
    ("field_1_values.npy", put(0, np.nan)),
    ("field_1_values.npy", put(1, np.nan)),
    ("field_3_values.npy", put(1, np.inf)),
    ("field_3_values.npy", put(0, -np.inf)),
    ("field_3_values.npy", put(0, 2000)),
    ("field_3_values.npy", lambda array: array[:, None]),
    ("field_3_values.npy", lambda array: array.astype(np.int32)),
]


@pytest.mark.parametrize(("name", "change"), FOREIGN, ids=[f"{n}-{i}" for i, (n, _) in enumerate(FOREIGN)])
def test_arrays_that_a_service_could_not_use_are_refused(
    version: Path, name: str, change: Callable[[np.ndarray], Any]
) -> None:
    """Right hashes do not excuse wrong dtypes, shapes, bounds, orders or numbers."""
    np.save(version / name, change(np.load(version / name)))
    reseal(version, name)
    assert name in refusal(version)


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["user_factors.npy", "item_length_norms.npy", "metadata_offsets.npy"])
def test_no_pickle_is_ever_loaded(version: Path, tmp_path: Path, name: str) -> None:
    """An array of objects, or a bare pickle in its place, runs no code."""
    trace = tmp_path / "trace"
    np.save(version / name, np.array([Bomb(trace)], dtype=object), allow_pickle=True)
    reseal(version, name)
    assert name in refusal(version)
    (version / name).write_bytes(pickle.dumps(Bomb(trace)))
    reseal(version, name)
    assert name in refusal(version)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["user_ids.marisa", "item_ids.marisa", "field_2_vocabulary.marisa"])
@pytest.mark.parametrize("content", [b"", b"We love Marisa.\0", b"\0" * 5000], ids=["empty", "cut", "zeros"])
def test_id_maps_that_are_none_are_refused(version: Path, name: str, content: bytes) -> None:
    """Not a trie, or the first bytes of one."""
    (version / name).write_bytes(content)
    reseal(version, name)
    assert name in refusal(version)


@pytest.mark.parametrize(
    "line", [b"[1]\n", b"{}  ", b"\n\n\n\n", b"{}\r\n"], ids=["list", "unended", "empty", "crlf"]
)
def test_metadata_that_is_not_one_object_a_line_is_refused(version: Path, line: bytes) -> None:
    """Lines are handed out as they are, so a line that would break an answer is refused at the door."""
    lines = [b"{}\n"] * 19 + [line]
    (version / "metadata.jsonl").write_bytes(b"".join(lines))
    np.save(version / "metadata_offsets.npy", np.cumsum([0, *map(len, lines)]))
    reseal(version, "metadata.jsonl", "metadata_offsets.npy")
    assert "metadata.jsonl" in refusal(version)


def json_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in inside for found in json_paths(inner, (*path, key)))]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(st.data())
def test_a_manifest_with_anything_anywhere_opens_or_is_refused(
    published: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Replace or remove any one value of the manifest: no answer but a version or an ArtifactError."""
    version = tmp_path_factory.mktemp("copy") / published.name
    shutil.copytree(published, version, copy_function=os.link)
    manifest = json.loads((version / "manifest.json").read_bytes())
    *way, last = data.draw(st.sampled_from(json_paths(manifest)[1:]))
    holder = manifest
    for key in way:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(ANYTHING)
    else:
        del holder[last]
    for name in ("manifest.json", "manifest.sha256"):
        (version / name).unlink()
    seal(version, json.dumps(manifest).encode())
    with contextlib.suppress(ArtifactError):
        open_artifact(version)


@given(st.binary(max_size=200), st.sampled_from([0, 6, 8, 10]))
def test_an_array_file_of_any_bytes_opens_or_is_refused(
    published: Path, tmp_path_factory: pytest.TempPathFactory, junk: bytes, kept: int
) -> None:
    """Headers are parsed as text: whatever stands there, no answer but an ArtifactError."""
    version = tmp_path_factory.mktemp("copy") / published.name
    shutil.copytree(published, version)
    path = version / "popularity.npy"
    path.write_bytes(path.read_bytes()[:kept] + junk)
    reseal(version, "popularity.npy")
    assert "popularity.npy" in refusal(version)
