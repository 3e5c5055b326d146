"""How much more memory something needs at its peak than was in use before."""

from __future__ import annotations

import ctypes
import gc
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class PeakMemory:
    """What `measured` found out: bytes, or None where the system does not tell (anywhere but on Linux)."""

    extra_bytes: int | None = None


@contextmanager
def measured() -> Iterator[PeakMemory]:
    """Measure the peak of resident memory within the block, above what is resident at its beginning."""
    peak = PeakMemory()
    _give_back()
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
        before = _kibibytes("VmRSS")
    except OSError:
        yield peak
        return
    yield peak
    peak.extra_bytes = max(0, _kibibytes("VmHWM") - before) * 1024


def _give_back() -> None:
    """Return what was freed to the system, so that it does not hide what the block takes (glibc only)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _kibibytes(field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{_STATUS} has no {field}")
    return int(found[1])
