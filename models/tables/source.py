"""The bytes of a file, decompressed, a block at a time."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import zstandard

from models.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with how much is read and how much there is (None: unknown): bytes of the file, rows of Parquet."""

_READ_BYTES: Final = 1 << 16  # compressed, it may become a thousand times as much

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_MAGIC_BYTES: Final = 16  # longer than any of the magic numbers

_UNREADABLE_MAGIC: Final = {
    b"PK\x03\x04": "a ZIP archive; unzip it and give the file inside",
    b"BZh91AY&SY": "compressed with bzip2; decompress it, or compress it with gzip or zstd",
    b"\xfd7zXZ\x00": "compressed with xz; decompress it, or compress it with gzip or zstd",
    b"SQLite format 3\x00": "an SQLite database; export its table to CSV",
    b"PAR1\x15": "a Parquet file; give parquet as its format",
    b"\xff\xfe": "UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it to UTF-8: iconv -f UTF-16 -t UTF-8",
}


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def check_file(path: Path) -> None:
    """Raise a `DataError` unless this path names something that can be read."""
    try:
        if path.is_dir():
            raise DataError(f"{path}: a directory; give the file of the table in it")
        with path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{path}: cannot be read: {error}") from error


def read_blocks(path: Path, block_bytes: int, progress: Progress | None = None) -> Iterator[bytes]:
    """The content of a text file, decompressed, in blocks of `block_bytes` but for the last.

    What compresses the file is told by its first bytes; a name that says otherwise is an error.

    Raises:
        DataError: the file cannot be read, is damaged, or is of a kind that is not text.
    """
    try:
        parts: list[bytes] = []
        size = 0
        for part in _content(path, progress):
            parts.append(part)
            size += len(part)
            if size >= block_bytes:
                content = b"".join(parts)
                whole = size - size % block_bytes
                for start in range(0, whole, block_bytes):
                    yield content[start : start + block_bytes]
                parts, size = [content[whole:]], size - whole
        if size:
            yield b"".join(parts)
    except (zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{path}: the compressed data are damaged ({error}); copy the file again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _content(path: Path, progress: Progress | None) -> Iterator[bytes]:
    raw = _raw(path, progress)
    first = next(raw, b"")
    new_decompressor = _decompressor_for(path, first[:_MAGIC_BYTES])
    if new_decompressor is None:
        _refuse_other_kinds(path, first)
        yield first
        yield from raw
        return
    decompressor = new_decompressor()
    is_first = True
    within = False
    compressed = first
    while compressed:
        content = decompressor.decompress(compressed)
        if content:
            if is_first:
                _refuse_other_kinds(path, content)
                is_first = False
            yield content
        within = not decompressor.eof
        if within:
            compressed = next(raw, b"")
        else:  # gzip and zstd files may be concatenated, and gzip padded with zeros
            compressed = decompressor.unused_data.lstrip(b"\x00") or next(raw, b"").lstrip(b"\x00")
            decompressor = new_decompressor()
    if within:
        raise DataError(f"{path}: the compressed data end too early; the file was cut off, copy it again")


def _raw(path: Path, progress: Progress | None) -> Iterator[bytes]:
    with path.open("rb") as file:
        total = path.stat().st_size if path.is_file() else None
        done = 0
        while part := file.read(_READ_BYTES):
            done += len(part)
            yield part
            if progress is not None:
                progress(done, total)


def _decompressor_for(path: Path, magic: bytes) -> Callable[[], _Decompressor] | None:
    for name, suffix, expected in (("gzip", ".gz", _GZIP_MAGIC), ("zstd", ".zst", _ZSTD_MAGIC)):
        if magic.startswith(expected):
            return _new_gzip if name == "gzip" else _new_zstd
        if path.suffix.lower() == suffix and magic:
            raise DataError(
                f"{path}: not {name}, although its name ends in {suffix}; it begins with {magic[:8]!r}. "
                f"Rename it, or copy it again"
            )
    return None


def _new_gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _new_zstd() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


def _refuse_other_kinds(path: Path, content: bytes) -> None:
    for magic, kind in _UNREADABLE_MAGIC.items():
        if content.startswith(magic):
            raise DataError(f"{path}: not text but {kind}")
