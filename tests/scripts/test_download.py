"""The downloader against a real server on the loopback that cuts, changes, refuses and stalls."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.download import (
    Checksum,
    ChecksumError,
    Retries,
    UnavailableError,
    download,
    open_client,
    read_text,
)
from tests.scripts.file_server import FileServer, closed_port

BODY = np.random.default_rng(7).bytes(300_000)
OTHER = np.random.default_rng(8).bytes(300_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A well-behaved server of one file."""
    with FileServer(files={"/a.zip": BODY}).running() as running:
        yield running


@pytest.fixture(autouse=True, scope="module")
def _no_proxy() -> Iterator[None]:
    """The loopback is reached directly, whatever proxy this machine is set to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """The downloader's own client."""
    with open_client() as opened:
        yield opened


def sha256(body: bytes) -> Checksum:
    """The sum that belongs to `body`."""
    return Checksum("sha256", hashlib.sha256(body).hexdigest())


def fetch(
    client: httpx.Client, server: FileServer, folder: Path, *, body: bytes = BODY, attempts: int = 4
) -> Path:
    """Downloads the server's file, expecting `body`, without waiting between attempts."""
    target = folder / "a.zip"
    download(
        client,
        f"{server.url}/a.zip",
        target,
        checksum=sha256(body),
        progress=lambda _done, _total: None,
        retries=Retries(attempts, sleep=lambda _seconds: None),
    )
    return target


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def stop_half_way(client: httpx.Client, server: FileServer, folder: Path, *, after: int = 100_000) -> None:
    """One attempt that the server cuts."""
    server.cuts = [after]
    with pytest.raises(UnavailableError):
        fetch(client, server, folder, attempts=1)
    assert (folder / "a.zip.part").stat().st_size == after
    server.asked.clear()


def test_full_download(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A whole file arrives in one request, with progress to the last byte and nothing left beside it."""
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "a.zip"
    download(
        client,
        f"{server.url}/a.zip",
        target,
        checksum=sha256(BODY),
        progress=lambda done, total: seen.append((done, total)),
        retries=Retries(1),
    )
    assert target.read_bytes() == BODY
    assert names(tmp_path) == {"a.zip"}
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert seen == sorted(seen)
    assert len(server.asked) == 1


def test_cut_connection_resumes_in_the_same_run(
    client: httpx.Client, server: FileServer, tmp_path: Path
) -> None:
    """After a cut the next attempt asks for the rest only, on condition that the file is the same."""
    server.cuts = [100_000]
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert [asked.range for asked in server.asked] == [None, "bytes=100000-"]
    assert server.asked[1].if_range == server.etag(BODY)


def test_cut_connection_resumes_in_a_later_run(
    client: httpx.Client, server: FileServer, tmp_path: Path
) -> None:
    """What an earlier run left is not downloaded again."""
    stop_half_way(client, server, tmp_path)
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert [asked.range for asked in server.asked] == ["bytes=100000-"]
    assert names(tmp_path) == {"a.zip"}


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, len(BODY) - 1), max_size=6))
def test_any_series_of_cuts_gives_the_file(cuts: list[int]) -> None:
    """Wherever the connection breaks, the bytes that arrive in the end are the published ones."""
    with (
        FileServer(files={"/a.zip": BODY}, cuts=list(cuts)).running() as server,
        open_client() as client,
        TemporaryDirectory() as folder,
    ):
        assert fetch(client, server, Path(folder), attempts=len(cuts) + 1).read_bytes() == BODY


def test_server_without_ranges_starts_over(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A server that answers 200 to a range request sends the whole file, which replaces the part."""
    server.ranges = False
    stop_half_way(client, server, tmp_path)
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert len(server.asked) == 1


def test_file_changed_between_attempts(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """If the ETag is another one, not a byte of the old file ends up in the new one."""
    stop_half_way(client, server, tmp_path)
    server.files["/a.zip"] = OTHER
    assert fetch(client, server, tmp_path, body=OTHER).read_bytes() == OTHER
    assert len(server.asked) == 1


def test_file_changed_on_a_server_that_ignores_if_range(
    client: httpx.Client, server: FileServer, tmp_path: Path
) -> None:
    """A partial answer that carries another ETag is refused and the file is started over."""
    stop_half_way(client, server, tmp_path)
    server.files["/a.zip"] = OTHER
    server.checks_if_range = False
    assert fetch(client, server, tmp_path, body=OTHER).read_bytes() == OTHER
    assert [asked.range for asked in server.asked] == ["bytes=100000-", None]


def test_wrong_range_starts_over(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A partial answer that starts elsewhere than asked is not appended."""
    stop_half_way(client, server, tmp_path)
    server.range_shift = 10
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert [asked.range for asked in server.asked] == ["bytes=100000-", None]


def test_everything_was_here_already(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A run that died after the last byte, before the rename: 416 says that nothing is missing."""
    stop_half_way(client, server, tmp_path)
    (tmp_path / "a.zip.part").write_bytes(BODY)
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert [asked.range for asked in server.asked] == [f"bytes={len(BODY)}-"]


def test_file_became_shorter(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A 416 with another length means that the part belongs to another file."""
    stop_half_way(client, server, tmp_path)
    server.files["/a.zip"] = BODY[:5000]
    server.checks_if_range = False
    assert fetch(client, server, tmp_path, body=BODY[:5000]).read_bytes() == BODY[:5000]
    assert [asked.range for asked in server.asked] == ["bytes=100000-", None]


@pytest.mark.parametrize("weak", [False, True])
def test_without_a_strong_etag_the_date_is_the_condition(
    client: httpx.Client, server: FileServer, tmp_path: Path, *, weak: bool
) -> None:
    """If-Range carries Last-Modified where there is no ETag or only a weak one (RFC 9110, 13.1.5)."""
    server.strong_etag, server.weak_etag = False, weak
    server.last_modified = "Fri, 26 Sep 2018 10:00:00 GMT"
    stop_half_way(client, server, tmp_path)
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert [asked.if_range for asked in server.asked] == [server.last_modified]


@pytest.mark.parametrize("weak", [False, True])
def test_without_any_validator_nothing_is_resumed(
    client: httpx.Client, server: FileServer, tmp_path: Path, *, weak: bool
) -> None:
    """Bytes that cannot be tied to one version of the file are not built upon."""
    server.strong_etag, server.weak_etag = False, weak
    stop_half_way(client, server, tmp_path)
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert [asked.range for asked in server.asked] == [None]


def test_bad_checksum_leaves_nothing(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """Wrong bytes are deleted, and the error names what came and what was expected."""
    with pytest.raises(ChecksumError) as raised:
        fetch(client, server, tmp_path, body=OTHER)
    assert sha256(BODY).hexdigest in str(raised.value)
    assert sha256(OTHER).hexdigest in str(raised.value)
    assert names(tmp_path) == set()


def test_resumed_download_with_a_damaged_part_is_refused(
    client: httpx.Client, server: FileServer, tmp_path: Path
) -> None:
    """The sum is taken over the whole file, what an earlier run left included."""
    stop_half_way(client, server, tmp_path)
    part = tmp_path / "a.zip.part"
    part.write_bytes(b"\0" + part.read_bytes()[1:])
    with pytest.raises(ChecksumError):
        fetch(client, server, tmp_path)
    assert names(tmp_path) == set()
    assert fetch(client, server, tmp_path).read_bytes() == BODY


def test_whole_file_is_not_asked_for_again(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A file that is there and right costs no request; a wrong one is replaced."""
    fetch(client, server, tmp_path)
    fetch(client, server, tmp_path)
    assert len(server.asked) == 1
    (tmp_path / "a.zip").write_bytes(OTHER)
    assert fetch(client, server, tmp_path).read_bytes() == BODY


def test_missing_file_is_asked_for_once(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A 404 will still be one a second later."""
    del server.files["/a.zip"]
    with pytest.raises(UnavailableError, match=r"/a\.zip: the server answered 404"):
        fetch(client, server, tmp_path)
    assert len(server.asked) == 1
    assert names(tmp_path) == set()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_answers_are_tried_again(
    client: httpx.Client, server: FileServer, tmp_path: Path, status: int
) -> None:
    """Answers that a server gives when it is busy do not end the download."""
    server.statuses = [status, status]
    assert fetch(client, server, tmp_path).read_bytes() == BODY
    assert len(server.asked) == 3


def test_attempts_are_bounded_and_waits_double(
    client: httpx.Client, server: FileServer, tmp_path: Path
) -> None:
    """A server that never recovers is left alone after the last attempt, with no wait behind it."""
    server.statuses = [503] * 9
    waits: list[float] = []
    with pytest.raises(UnavailableError, match=r"503 .*\(4 attempts\)"):
        download(
            client,
            f"{server.url}/a.zip",
            tmp_path / "a.zip",
            checksum=sha256(BODY),
            progress=lambda _done, _total: None,
            retries=Retries(4, first_wait=0.5, sleep=waits.append),
        )
    assert len(server.asked) == 4
    assert waits == [0.5, 1.0, 2.0]


def test_closed_port(client: httpx.Client, tmp_path: Path) -> None:
    """A host that is down is an error of its own kind, for which another source may stand in."""
    with pytest.raises(UnavailableError, match="attempts"):
        fetch(client, FileServer(url=closed_port()), tmp_path)
    assert names(tmp_path) == set()


def test_stalled_server_times_out(server: FileServer, tmp_path: Path) -> None:
    """A server that stops sending is given up, and what it sent is kept."""
    server.stall = 100_000
    with httpx.Client(timeout=1.0, trust_env=False) as impatient, pytest.raises(UnavailableError):
        fetch(impatient, server, tmp_path, attempts=1)
    assert (tmp_path / "a.zip.part").stat().st_size == 100_000


def test_redirects_are_followed(client: httpx.Client, server: FileServer, tmp_path: Path) -> None:
    """A publisher may move a file."""
    server.files["/moved.zip"] = server.files.pop("/a.zip")
    server.redirects["/a.zip"] = "/moved.zip"
    assert fetch(client, server, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("form", ["MD5 (ml-latest-small.zip) = {}\n", "{}  ml-latest-small.zip\n", "{}"])
def test_published_md5_in_both_notations(client: httpx.Client, server: FileServer, form: str) -> None:
    """BSD's and GNU's notation, in either case, give the same sum."""
    digest = hashlib.md5(BODY).hexdigest()
    server.files["/a.zip.md5"] = form.format(digest.upper()).encode()
    url = f"{server.url}/a.zip.md5"
    assert Checksum.parse_md5_file(read_text(client, url, retries=Retries(1)), url=url) == Checksum(
        "md5", digest
    )


def test_page_instead_of_a_sum() -> None:
    """A login page in place of the sum is refused with its beginning."""
    with pytest.raises(UnavailableError, match="holds no MD5 sum: '<html>"):
        Checksum.parse_md5_file("<html>please log in</html>", url="https://host/a.zip.md5")
