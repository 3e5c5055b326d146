"""``python -m scripts.fetch`` against a local server, a closed port and pip without an index."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from pathlib import Path

import pytest

from models.dataset_directory import open_dataset_directory
from models.interactions import read_interactions
from models.item_table import read_items
from models.layouts import PRESETS
from scripts.download import Checksum, Retries, UnavailableError
from scripts.fetch import Services, download_wheel, main
from scripts.movielens import CATALOGUE, RECBOLE_REQUIREMENT, Counts, Dataset
from tests.scripts.file_server import FileServer, closed_port

COUNTS = Counts(interactions=3, users=2, items=2)
README = b"terms of use"
U_DATA = b"1\t10\t5\t881250949\n1\t11\t3\t881250950\n2\t10\t4\t881250951\n"
GENRES = b"|0" * 5 + b"|1" + b"|0" * 13  # Comedy
U_ITEM = (
    b"10|Toy Story (1995)|01-Jan-1995||http://films/10" + GENRES + b"\n"
    b"11|Mis\xe9rables, Les (1995)|01-Jan-1995||http://films/11" + GENRES + b"\n"
)
RATINGS_CSV = b"userId,movieId,rating,timestamp\n1,10,5.0,881250949\n1,11,3.0,881250950\n2,10,4.0,881250951\n"
MOVIES_CSV = b'movieId,title,genres\n10,Toy Story (1995),Comedy\n11,"Net, The (1995)",Thriller\n'
INTER = b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + U_DATA
ITEM = (
    b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    b"10\tToy Story\t1995\tComedy\n11\tNet, The\t1995\tThriller\n"
)

ML_100K = {"ml-100k/u.data": U_DATA, "ml-100k/u.item": U_ITEM, "ml-100k/README": README}
ML_SMALL = {
    "ml-latest-small/ratings.csv": RATINGS_CSV,
    "ml-latest-small/movies.csv": MOVIES_CSV,
    "ml-latest-small/README.txt": README,
}
ML_1M = {
    "ml-1m/ratings.dat": U_DATA.replace(b"\t", b"::"),
    "ml-1m/movies.dat": b"10::Toy Story (1995)::Comedy\n11::Net, The (1995)::Thriller\n",
    "ml-1m/README": README,
}
ML_25M = {name.replace("ml-latest-small", "ml-25m"): body for name, body in ML_SMALL.items()}
WHEEL = {
    "recbole/dataset_example/ml-100k/ml-100k.inter": INTER,
    "recbole/dataset_example/ml-100k/ml-100k.item": ITEM,
    "recbole-1.2.1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n",
    "recbole-1.2.1.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "recbole-1.2.1.dist-info/RECORD": b"",
}


def zipped(members: Mapping[str, bytes]) -> bytes:
    """An archive of these members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return packed.getvalue()


def sha256(body: bytes) -> Checksum:
    """The sum that belongs to `body`."""
    return Checksum("sha256", hashlib.sha256(body).hexdigest())


ARCHIVES = {
    "/ml-100k.zip": zipped(ML_100K),
    "/ml-latest-small.zip": zipped(ML_SMALL),
    "/ml-1m.zip": zipped(ML_1M),
    "/ml-25m.zip": zipped(ML_25M),
}
THE_WHEEL = zipped(WHEEL)


def with_sums_of(archives: Mapping[str, bytes], wheel: bytes = THE_WHEEL) -> dict[str, Dataset]:
    """The real catalogue, expecting these archives and the size of the data above."""
    return {
        name: replace(
            dataset,
            grouplens=replace(
                dataset.grouplens,
                checksum=dataset.grouplens.checksum and sha256(archives[f"/{dataset.grouplens.file_name}"]),
            ),
            recbole=dataset.recbole and replace(dataset.recbole, checksum=sha256(wheel)),
            counts=dataset.counts and COUNTS,
        )
        for name, dataset in CATALOGUE.items()
    }


@dataclass
class FakePip:
    """Stands in for pip: puts a wheel where it is told, or fails."""

    wheel: bytes = THE_WHEEL
    failure: str | None = None
    asked: list[str] = field(default_factory=list)

    def __call__(self, requirement: str, into: Path) -> None:
        """Downloads, so to speak."""
        self.asked.append(requirement)
        if self.failure is not None:
            raise UnavailableError(self.failure)
        (into / "recbole-1.2.1-py3-none-any.whl").write_bytes(self.wheel)


@dataclass
class Bench:
    """One data directory, one server, one pip, and the command line between them."""

    data: Path
    server: FileServer
    pip: FakePip = field(default_factory=FakePip)
    catalogue: Mapping[str, Dataset] = field(default_factory=lambda: with_sums_of(ARCHIVES))

    def fetch(self, *words: str, base_url: str | None = None) -> int:
        """Runs the command line without waiting between attempts."""
        services = Services(self.catalogue, self.pip, Retries(2, sleep=lambda _seconds: None))
        where = ["--data-dir", str(self.data), "--base-url", base_url or self.server.url]
        return main([*words, *where], services=services)

    def left(self) -> set[str]:
        """What lies in the data directory."""
        return {path.name for path in self.data.iterdir()} if self.data.exists() else set()

    def descriptor(self, name: str) -> dict[str, str]:
        """The dataset.json of a fetched dataset."""
        loaded: dict[str, str] = json.loads((self.data / name / "dataset.json").read_text())
        return loaded


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A fresh data directory and a server that has every archive."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("COLUMNS", "200")
    files = dict(ARCHIVES)
    digest = hashlib.md5(files["/ml-latest-small.zip"]).hexdigest()
    files["/ml-latest-small.zip.md5"] = f"MD5 (ml-latest-small.zip) = {digest}\n".encode()
    with FileServer(files=files).running() as server:
        yield Bench(tmp_path / "data", server)


@pytest.mark.parametrize(
    ("name", "preset", "members"),
    [
        ("movielens-100k", "movielens-100k", ML_100K),
        ("movielens-small", "movielens-csv", ML_SMALL),
        ("movielens-1m", "movielens-1m", ML_1M),
        ("movielens-25m", "movielens-csv", ML_25M),
    ],
)
def test_every_dataset_from_grouplens(
    bench: Bench, capsys: pytest.CaptureFixture[str], name: str, preset: str, members: Mapping[str, bytes]
) -> None:
    """The tables lie unchanged beside a descriptor that says how to read them and where they came from."""
    assert bench.fetch(name) == 0
    interactions, items, readme = (member.split("/")[1] for member in members)
    descriptor = bench.descriptor(name)
    archive = CATALOGUE[name].grouplens.file_name
    assert descriptor == {
        "name": name,
        "preset": preset,
        "interactions": interactions,
        "items": items,
        "source": f"{bench.server.url}/{archive}",
        "license_note": CATALOGUE[name].license_note,
    }
    folder = bench.data / name
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"} == {
        file: members[member] for file, member in zip((interactions, items, readme), members, strict=True)
    }
    assert bench.left() == {name}
    said = capsys.readouterr().out
    assert f"{COUNTS} in {folder} (source: {bench.server.url}/{archive})" in said
    assert "MovieLens is for research use" in said
    assert bench.pip.asked == []


@pytest.mark.parametrize(
    "words", [(name,) for name in CATALOGUE] + [("movielens-100k", "--source", "recbole")]
)
def test_what_is_fetched_can_be_trained_on(bench: Bench, words: tuple[str, ...]) -> None:
    """The project's own readers find the same interactions and titles under the preset that was written."""
    assert bench.fetch(*words) == 0
    interactions, items, preset = open_dataset_directory(bench.data / words[0])
    assert items is not None
    table = read_interactions(interactions, PRESETS[preset])
    assert sorted(zip(table.user_ids, table.item_ids, strict=True)) == [("1", "10"), ("2", "11")]
    assert table.values.tolist() == [5, 3, 4]
    assert table.timestamps is not None
    assert table.timestamps.tolist() == [881250949, 881250950, 881250951]
    records = read_items(items, PRESETS[preset]).records
    assert records.keys() == {"10", "11"}
    assert records["10"] == {**records["10"], "title": "Toy Story", "year": 1995, "genres": ["Comedy"]}


def test_the_directory_can_be_read_by_another_user(bench: Bench) -> None:
    """A temporary directory is private to its maker; what it becomes is not."""
    before = os.umask(0o022)
    try:
        bench.fetch("movielens-100k")
    finally:
        os.umask(before)
    assert (bench.data / "movielens-100k").stat().st_mode & 0o777 == 0o755


def test_fetched_twice_does_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run asks no server, changes no file and says so."""
    assert bench.fetch("movielens-100k") == 0
    descriptor = bench.data / "movielens-100k" / "dataset.json"
    before = descriptor.stat()
    bench.server.asked.clear()
    capsys.readouterr()
    assert bench.fetch("movielens-100k") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert bench.server.asked == []
    assert descriptor.stat().st_mtime_ns == before.st_mtime_ns


def test_small_is_checked_against_the_published_sum(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive that may change is refused when it is not the one that its publisher describes."""
    wrong = "0" * 32
    bench.server.files["/ml-latest-small.zip.md5"] = f"MD5 (ml-latest-small.zip) = {wrong}\n".encode()
    assert bench.fetch("movielens-small") == 1
    error = capsys.readouterr().err
    assert wrong in error
    assert hashlib.md5(ARCHIVES["/ml-latest-small.zip"]).hexdigest() in error
    assert bench.left() == set()


def test_small_without_a_published_sum_is_not_taken(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a sum there is nothing to check against, so nothing is downloaded."""
    del bench.server.files["/ml-latest-small.zip.md5"]
    assert bench.fetch("movielens-small") == 1
    assert "ml-latest-small.zip.md5: the server answered 404" in capsys.readouterr().err
    assert [asked.path for asked in bench.server.asked] == ["/ml-latest-small.zip.md5"]


def test_bad_checksum_of_the_pinned_archive(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Another file under the published name is deleted, both sums are named, and no other source is asked."""
    bench.catalogue = CATALOGUE
    assert bench.fetch("movielens-100k") == 1
    error = capsys.readouterr().err
    pinned = CATALOGUE["movielens-100k"].grouplens.checksum
    assert pinned is not None
    assert pinned.hexdigest in error
    assert sha256(ARCHIVES["/ml-100k.zip"]).hexdigest in error
    assert bench.left() == set()
    assert bench.pip.asked == []


def test_host_down_falls_back_and_says_so(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The wheel's own tables are unpacked, and both the terminal and the descriptor name the source."""
    assert bench.fetch("movielens-100k", base_url=closed_port()) == 0
    folder = bench.data / "movielens-100k"
    assert (folder / "ml-100k.inter").read_bytes() == INTER
    assert (folder / "ml-100k.item").read_bytes() == ITEM
    descriptor = bench.descriptor("movielens-100k")
    assert (descriptor["preset"], descriptor["interactions"], descriptor["items"]) == (
        "recbole",
        "ml-100k.inter",
        "ml-100k.item",
    )
    assert bench.pip.asked == [RECBOLE_REQUIREMENT]
    said = capsys.readouterr().out
    assert "GroupLens does not deliver" in said
    assert f"(source: {descriptor['source']})" in said
    assert RECBOLE_REQUIREMENT in descriptor["source"]
    assert bench.left() == {"movielens-100k"}


def test_missing_archive_falls_back(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A host that answers 404 delivers as little as one that is down."""
    del bench.server.files["/ml-100k.zip"]
    assert bench.fetch("movielens-100k") == 0
    assert "404" in capsys.readouterr().out
    assert bench.descriptor("movielens-100k")["preset"] == "recbole"


@pytest.mark.parametrize(
    "words",
    [
        ("movielens-1m",),
        ("movielens-25m",),
        ("movielens-small",),
        ("movielens-100k", "--source", "grouplens"),
    ],
)
def test_host_down_without_another_source(
    bench: Bench, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """One error with the command that helps, and no other source where there is none or none was allowed."""
    assert bench.fetch(*words, base_url=closed_port()) == 1
    error = capsys.readouterr().err
    archive = CATALOGUE[words[0]].grouplens.file_name
    assert error.startswith("error: ")
    assert f"python -m scripts.fetch {words[0]} --from-file {archive}" in error
    assert "Traceback" not in error
    assert bench.pip.asked == []
    assert bench.left() == set()


def test_no_source_works(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """When the host is down and pip fails too, one error carries both reasons and the remedy."""
    bench.pip.failure = "pip download recbole==1.2.1: No matching distribution found"
    assert bench.fetch("movielens-100k", base_url=closed_port()) == 1
    error = capsys.readouterr().err
    assert "No matching distribution found" in error
    assert "127.0.0.1" in error
    assert "--from-file ml-100k.zip" in error
    assert "Traceback" not in error
    assert bench.left() == set()


def test_wheel_with_another_checksum_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """What pip brings is checked before it is opened."""
    bench.pip.wheel = THE_WHEEL + b"\0"
    assert bench.fetch("movielens-100k", "--source", "recbole") == 1
    error = capsys.readouterr().err
    assert sha256(bench.pip.wheel).hexdigest in error
    assert sha256(THE_WHEEL).hexdigest in error
    assert bench.left() == set()


def test_source_recbole_does_not_ask_grouplens(bench: Bench) -> None:
    """A source that was named is the only one asked."""
    assert bench.fetch("movielens-100k", "--source", "recbole") == 0
    assert bench.server.asked == []


@pytest.mark.parametrize(
    "words",
    [
        ("movielens-1m", "--source", "recbole"),
        ("movielens-100k", "--source", "recbole", "--from-file", __file__),
    ],
)
def test_contradictions_are_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """Options that cannot be obeyed are an error, not silently dropped."""
    assert bench.fetch(*words) == 1
    assert "error: --source recbole" in capsys.readouterr().err
    assert bench.pip.asked == []


def test_another_source_than_the_one_on_disk(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Data from another source than the one asked for is not passed off as it."""
    assert bench.fetch("movielens-100k", "--source", "recbole") == 0
    assert bench.fetch("movielens-100k", "--source", "grouplens") == 1
    assert "already fetched from wheel of recbole" in capsys.readouterr().err
    assert bench.fetch("movielens-100k") == 0


def test_no_path_in_an_archive_reaches_the_disk(bench: Bench, tmp_path: Path) -> None:
    """Members that point outside the directory are never written, wherever they point."""
    evil = zipped({"../../evil": b"!", "/etc/evil": b"!", "ml-100k/../../../evil": b"!", **ML_100K})
    bench.server.files["/ml-100k.zip"] = evil
    bench.catalogue = with_sums_of({**ARCHIVES, "/ml-100k.zip": evil})
    assert bench.fetch("movielens-100k") == 0
    assert {path.name for path in bench.data.rglob("*") if path.is_file()} == {
        "u.data",
        "u.item",
        "README",
        "dataset.json",
    }
    assert not list(tmp_path.rglob("*evil*"))
    assert not Path("/etc/evil").exists()


def test_archive_without_its_tables(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive whose table sits elsewhere, say outside the directory, is refused by name."""
    other = zipped({"../u.data": U_DATA, "ml-100k/u.item": U_ITEM, "ml-100k/README": README})
    bench.server.files["/ml-100k.zip"] = other
    bench.catalogue = with_sums_of({**ARCHIVES, "/ml-100k.zip": other})
    assert bench.fetch("movielens-100k") == 1
    assert "ml-100k/u.data" in capsys.readouterr().err
    assert "movielens-100k" not in bench.left()


def test_other_counts_than_published(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A dataset that lacks a row is not the dataset."""
    short = zipped({**ML_100K, "ml-100k/u.data": U_DATA[: U_DATA.rindex(b"2\t10")]})
    bench.server.files["/ml-100k.zip"] = short
    bench.catalogue = with_sums_of({**ARCHIVES, "/ml-100k.zip": short})
    assert bench.fetch("movielens-100k") == 1
    assert f"2 interactions of 1 users, 2 items; movielens-100k has {COUNTS}" in capsys.readouterr().err
    assert "movielens-100k" not in bench.left()


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_zip_by_hand(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """Where no sum is known, the archive's own structure and CRCs still are checked."""
    whole = ARCHIVES["/ml-latest-small.zip"]
    at = whole.index(b"ratings.csv") + len("ratings.csv") + 5
    damaged = tmp_path / "ml-latest-small.zip"
    flipped = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    damaged.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else flipped)
    assert bench.fetch("movielens-small", "--from-file", str(damaged)) == 1
    captured = capsys.readouterr()
    assert "ml-latest-small.zip is damaged" in captured.err
    assert "is not checked" in captured.out
    assert bench.left() == set()


@pytest.mark.parametrize(
    ("file", "body", "preset"),
    [
        ("ml-100k.zip", ARCHIVES["/ml-100k.zip"], "movielens-100k"),
        ("recbole-1.2.1-py3-none-any.whl", THE_WHEEL, "recbole"),
    ],
)
def test_archive_downloaded_by_hand(
    bench: Bench, tmp_path: Path, file: str, body: bytes, preset: str
) -> None:
    """GroupLens's zip or RecBole's wheel is taken without a network, and left where it is."""
    by_hand = tmp_path / file
    by_hand.write_bytes(body)
    assert bench.fetch("movielens-100k", "--from-file", str(by_hand), base_url=closed_port()) == 0
    assert bench.descriptor("movielens-100k")["preset"] == preset
    assert bench.descriptor("movielens-100k")["source"] == f"file {file}"
    assert by_hand.read_bytes() == body


def test_wrong_archive_by_hand(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file given by hand must have the published sum too; it is not deleted."""
    by_hand = tmp_path / "ml-100k.zip"
    by_hand.write_bytes(ARCHIVES["/ml-1m.zip"])
    assert bench.fetch("movielens-100k", "--from-file", str(by_hand)) == 1
    assert sha256(ARCHIVES["/ml-1m.zip"]).hexdigest in capsys.readouterr().err
    assert by_hand.exists()


@pytest.mark.parametrize("missing", ["u.data", "u.item", "dataset.json"])
def test_incomplete_directory(bench: Bench, capsys: pytest.CaptureFixture[str], missing: str) -> None:
    """A directory that lacks a file is neither used nor overwritten."""
    assert bench.fetch("movielens-100k") == 0
    (bench.data / "movielens-100k" / missing).unlink()
    assert bench.fetch("movielens-100k") == 1
    error = capsys.readouterr().err
    assert missing in error
    assert f"{bench.data / 'movielens-100k'} moved out of the way" in error


def test_data_directory_that_is_a_file(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The operating system's own errors are printed like ours."""
    bench.data.write_text("")
    assert bench.fetch("movielens-100k") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(bench.data) in error


def test_unknown_name(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not in the catalogue is wrong usage, and the names that are in it are listed."""
    assert bench.fetch("movielens-10g") == 2
    assert "movielens-10g" in (error := capsys.readouterr().err)
    assert "movielens-small" in error


def test_interrupt_leaves_a_part_that_the_next_run_finishes(bench: Bench) -> None:
    """Ctrl-C ends with 130 and without a traceback; the next run asks for the rest only."""
    padded = zipped({**ML_100K, "padding": os.urandom(400_000)})
    bench.server.files["/ml-100k.zip"] = padded
    bench.server.stall = 200_000
    # Started in the background, a shell may have made us ignore SIGINT; a terminal never does.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from scripts.fetch import main; sys.exit(main())"
    )
    words = ["movielens-100k", "--data-dir", str(bench.data), "--base-url", bench.server.url]
    part = bench.data / "ml-100k.zip.part"
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 100_000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert not (bench.data / "movielens-100k").exists()
    kept = part.stat().st_size
    bench.server.release()
    bench.server.asked.clear()
    bench.catalogue = with_sums_of({**ARCHIVES, "/ml-100k.zip": padded})
    assert bench.fetch("movielens-100k") == 0
    assert [asked.range for asked in bench.server.asked] == [f"bytes={kept}-"]
    assert bench.left() == {"movielens-100k"}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all that pip may look into."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_fallback_with_the_real_pip(bench: Bench, index: Path) -> None:
    """This interpreter's own pip brings the wheel and installs nothing."""
    (index / "recbole-1.2.1-py3-none-any.whl").write_bytes(THE_WHEEL)
    installed = {distribution.name for distribution in distributions()}
    services = Services(bench.catalogue, download_wheel, Retries(1))
    words = ["movielens-100k", "--data-dir", str(bench.data), "--base-url", closed_port()]
    assert main(words, services=services) == 0
    assert bench.descriptor("movielens-100k")["preset"] == "recbole"
    assert {distribution.name for distribution in distributions()} == installed


def test_real_pip_without_the_wheel(index: Path, tmp_path: Path) -> None:
    """Pip's own last word is the reason."""
    assert not list(index.iterdir())
    with pytest.raises(UnavailableError, match=r"pip download recbole==1\.2\.1: .*No matching distribution"):
        download_wheel(RECBOLE_REQUIREMENT, tmp_path)
