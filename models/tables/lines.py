"""Which line of a file each row came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.tables.report import Position
    from models.types import PointerArray


class LineIndex:
    """The lines of the rows kept so far, as runs of consecutive lines: a few numbers for most files."""

    def __init__(self, position: Position) -> None:
        self.position = position
        """What is counted."""
        self._rows = 0
        self._first_rows: list[PointerArray] = []
        self._first_lines: list[PointerArray] = []

    def append(self, lines: PointerArray) -> None:
        """Add rows that stand in these lines, ascending int64, shape ``(n,)``."""
        if len(lines):
            starts = np.concatenate([[0], np.flatnonzero(np.diff(lines) != 1) + 1])
            self._first_rows.append(self._rows + starts)
            self._first_lines.append(lines[starts])
            self._rows += len(lines)

    def line_of(self, row: int) -> int:
        """The line of a row, counted from 0 over all that were added."""
        first_rows = np.concatenate(self._first_rows)
        run = np.searchsorted(first_rows, row, side="right") - 1
        return int(np.concatenate(self._first_lines)[run] + row - first_rows[run])
