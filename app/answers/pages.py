"""One page of a long list: always of the exact ranking, so that pages neither repeat nor skip an item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from models.types import RowArray

GOES_ON: Final = "goes_on"
"""The member of a page after which the list goes on; a cursor takes its place before it is answered."""

Score = TypeVar("Score", np.float32, np.float64)


def page_of(
    best: Callable[[int], tuple[RowArray, NDArray[Score]]], page: int, k: int
) -> tuple[RowArray, NDArray[Score], bool]:
    """A page, and whether the list goes on after it.

    Args:
        best: gives the best so many rows and their scores; more of them begin with the same.
        page: its number, from 0.
        k: items of a page.
    """
    start, stop = page * k, (page + 1) * k
    rows, scores = best(stop + 1)
    return rows[start:stop], scores[start:stop], len(rows) > stop
