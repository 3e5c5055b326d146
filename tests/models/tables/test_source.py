"""The bytes of a file in blocks of a size."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import zstandard

from models.tables.source import read_blocks


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"]
)
@pytest.mark.parametrize("size", [0, 1, 999_999, 1_000_000, 1_000_001, 20_000_000])
@pytest.mark.parametrize("repetitive", [True, False])
def test_blocks_are_of_one_size(tmp_path, compress, size, repetitive):
    """However well the file is compressed: a block sets how much memory its rows take."""
    alphabet = 1 if repetitive else 256
    content = np.random.default_rng(0).integers(alphabet, size=size, dtype=np.uint8).tobytes()
    path = tmp_path / "t.csv"
    path.write_bytes(compress(content))
    blocks = list(read_blocks(path, 1_000_000))
    assert b"".join(blocks) == content
    assert {len(block) for block in blocks[:-1]} <= {1_000_000}
    assert 0 < len(blocks[-1]) <= 1_000_000 if blocks else size == 0
