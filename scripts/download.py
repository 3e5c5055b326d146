"""One file over HTTP: resumed where it stopped, and visible under its name only when whole and checked.

Bytes go to ``<name>.part``; beside it ``<name>.part.validator`` keeps the strong ETag or the Last-Modified of
the file that they belong to, so that a later run asks for the rest with ``Range`` and ``If-Range``
(RFC 9110, sections 13.1.5 and 14.2) and a file that changed meanwhile is started over.
"""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeVar

import httpx

from models.errors import FoldrecError

Progress = Callable[[int, int | None], None]
"""Told the bytes on disk so far and, where the server says it, the bytes of the whole file."""

_ANSWER = TypeVar("_ANSWER")
_TRANSIENT_STATUSES = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class DownloadError(FoldrecError):
    """A file that did not arrive."""


class UnavailableError(DownloadError):
    """The host cannot be reached, or does not give the file; another source may have it."""


class ChecksumError(DownloadError):
    """The file that arrived is not the one that was published; it has been deleted."""


class _TransientError(Exception):
    """Worth another attempt."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of a file must hash to."""

    algorithm: Literal["sha256", "md5"]
    hexdigest: str

    @classmethod
    def parse_md5_file(cls, text: str, *, url: str) -> "Checksum":
        """Reads ``MD5 (name) = hex`` (BSD) or ``hex  name`` (GNU).

        Raises:
            UnavailableError: there is no MD5 sum in the text.
        """
        found = re.search(r"\b[0-9a-fA-F]{32}\b", text)
        if found is None:
            raise UnavailableError(f"{url} holds no MD5 sum: {text[:80]!r}")
        return cls("md5", found.group().lower())

    def of(self, path: Path) -> str:
        """The file's digest under this algorithm, in lower-case hexadecimal."""
        with path.open("rb") as file:
            return hashlib.file_digest(
                file, lambda: hashlib.new(self.algorithm, usedforsecurity=False)
            ).hexdigest()

    def check(self, path: Path) -> None:
        """Compares the file with the published sum.

        Raises:
            ChecksumError: the file hashes to something else.
        """
        got = self.of(path)
        if got != self.hexdigest:
            raise ChecksumError(f"{path.name}: {self.algorithm} is {got}, expected {self.hexdigest}")


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a transient failure (no connection, a cut one, 408, 425, 429, 5xx) is tried again."""

    attempts: int = 4
    first_wait: float = 0.5
    """Seconds before the second attempt; doubled each time."""
    sleep: Callable[[float], None] = time.sleep

    def run(self, action: Callable[[], _ANSWER], *, url: str) -> _ANSWER:
        """Calls `action` until it returns.

        Raises:
            UnavailableError: every attempt failed; it names the last reason.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                return action()
            except (_TransientError, httpx.TransportError) as error:
                reason = str(error) or type(error).__name__
            if attempt < self.attempts:
                self.sleep(self.first_wait * 2 ** (attempt - 1))
        raise UnavailableError(f"{url}: {reason} ({self.attempts} attempts)")


def open_client() -> httpx.Client:
    """A client with time limits on every phase, which follows redirects and the usual proxy variables."""
    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(30, connect=5),
        # A compressed answer has no byte ranges of the file itself.
        headers={"Accept-Encoding": "identity"},
    )


def read_text(client: httpx.Client, url: str, *, retries: Retries) -> str:
    """A small text file.

    Raises:
        UnavailableError: it cannot be had.
    """

    def get() -> str:
        response = client.get(url)
        _refuse(response, url)
        return response.text

    return retries.run(get, url=url)


def download(
    client: httpx.Client, url: str, target: Path, *, checksum: Checksum, progress: Progress, retries: Retries
) -> None:
    """Brings `url` to `target`, going on from an earlier attempt's ``.part`` where there is one.

    Whatever stops it, what is new under the name `target` is the whole, checked file.

    Raises:
        UnavailableError: the file cannot be had; the bytes so far stay for the next run.
        ChecksumError: the bytes are wrong; they are deleted.
    """
    if target.exists() and checksum.of(target) == checksum.hexdigest:
        return
    partial = _Partial(target)
    retries.run(lambda: _transfer(client, url, partial, progress), url=url)
    try:
        checksum.check(partial.path)
    except ChecksumError as error:
        partial.discard()
        raise ChecksumError(
            f"{url}: {error}; the download was deleted. Fetch again: if the same sum comes back, the file "
            "was changed by its publisher or by something on the way"
        ) from None
    partial.promote()


class _Partial:
    """The bytes of one download so far, and the validator of the file that they are a prefix of."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self._validator = target.with_name(f"{target.name}.part.validator")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str | None:
        return self._validator.read_text(encoding="utf-8") if self._validator.exists() else None

    def begin(self, validator: str | None) -> None:
        self.discard()
        if validator is not None:
            self._validator.write_text(validator, encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def promote(self) -> None:
        self.path.replace(self._target)
        self._validator.unlink(missing_ok=True)


def _transfer(client: httpx.Client, url: str, partial: _Partial, progress: Progress) -> None:
    validator = partial.validator
    resuming = validator is not None and partial.size > 0
    ask = {"Range": f"bytes={partial.size}-", "If-Range": validator} if resuming and validator else {}
    with client.stream("GET", url, headers=ask) as response:
        if resuming and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{partial.size}":
                return  # all of it was here already
            partial.discard()
            raise _TransientError("the file is now shorter than what was downloaded of it")
        _refuse(response, url)
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            if not _continues(response, partial):
                partial.discard()
                raise _TransientError("the server sent another range, or a range of a changed file")
        else:
            partial.begin(_validator_of(response))
        _append(response, partial, progress)


def _append(response: httpx.Response, partial: _Partial, progress: Progress) -> None:
    done = partial.size
    length = response.headers.get("Content-Length")
    total = done + int(length) if length is not None else None
    progress(done, total)
    with partial.path.open("ab") as file:
        for chunk in response.iter_raw():
            file.write(chunk)
            done += len(chunk)
            progress(done, total)


def _continues(response: httpx.Response, partial: _Partial) -> bool:
    """Whether a 206 answer starts where we stopped, in the same file: some servers ignore If-Range."""
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return (
        start is not None
        and int(start.group(1)) == partial.size
        and _validator_of(response) in (None, partial.validator)
    )


def _validator_of(response: httpx.Response) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    etag: str | None = response.headers.get("ETag")
    if etag is not None and not etag.startswith("W/"):
        return etag
    changed: str | None = response.headers.get("Last-Modified")
    return changed


def _refuse(response: httpx.Response, url: str) -> None:
    if response.is_success:
        return
    answer = f"the server answered {response.status_code} {response.reason_phrase}"
    if response.is_server_error or response.status_code in _TRANSIENT_STATUSES:
        raise _TransientError(answer)
    raise UnavailableError(f"{url}: {answer}")
