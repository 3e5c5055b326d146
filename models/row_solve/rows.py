"""The observed entries of many rows, in compressed sparse row form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.types import BoolArray, Float32Array, PointerArray, RowArray


@dataclass(frozen=True, slots=True)
class Rows:
    """Observed entries by row: what each user did, or who did something with each item.

    Attributes:
        indptr: int64, shape ``(n_rows + 1,)``; row ``u`` owns the entries ``indptr[u]:indptr[u + 1]``.
        indices: int32, shape ``(n_entries,)``; row numbers on the other side, ascending within a row.
        values: float32, shape ``(n_entries,)``; the interactions' values ``r``.
        times: int64 seconds since the epoch, shape ``(n_entries,)``; None where they are not known.
    """

    indptr: PointerArray
    indices: RowArray
    values: Float32Array
    times: PointerArray | None = None

    @classmethod
    def one(cls, indices: RowArray, values: Float32Array, times: PointerArray | None = None) -> Rows:
        """A single row: the history of somebody who is not in the table."""
        return cls(np.array([0, len(indices)], dtype=np.int64), indices, values, times)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def row(self, number: int) -> tuple[RowArray, Float32Array]:
        """Indices and values of one row, as views."""
        entries = slice(self.indptr[number], self.indptr[number + 1])
        return self.indices[entries], self.values[entries]

    def only(self, number: int) -> Rows:
        """One row by itself; its entries are views."""
        entries = slice(self.indptr[number], self.indptr[number + 1])
        times = None if self.times is None else self.times[entries]
        return Rows.one(self.indices[entries], self.values[entries], times)

    def span(self, first: int, last: int) -> Rows:
        """The rows ``first … last − 1``; their entries are views."""
        entries = slice(self.indptr[first], self.indptr[last])
        times = None if self.times is None else self.times[entries]
        pointers = self.indptr[first : last + 1] - self.indptr[first]
        return Rows(pointers, self.indices[entries], self.values[entries], times)

    def select(self, numbers: RowArray) -> Rows:
        """The given rows, in the given order, as a copy."""
        starts = self.indptr[numbers]
        lengths = self.indptr[numbers + 1] - starts
        indptr = pointers(lengths)
        return self._with(indptr, np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths))

    def kept(self, kept: BoolArray) -> Rows:
        """The same rows with only the kept entries, bool, shape ``(n_entries,)``, as a copy."""
        return self._with(pointers(np.bincount(self.row_numbers[kept], minlength=len(self))), kept)

    def _with(self, indptr: PointerArray, entries: PointerArray | BoolArray) -> Rows:
        times = None if self.times is None else self.times[entries]
        return Rows(indptr, self.indices[entries], self.values[entries], times)

    @property
    def lengths(self) -> PointerArray:
        """Entries per row: int64, shape ``(n_rows,)``."""
        lengths: PointerArray = self.indptr[1:] - self.indptr[:-1]  # three times as quick as numpy.diff
        return lengths

    @property
    def row_numbers(self) -> RowArray:
        """The row each entry belongs to: int32, shape ``(n_entries,)``."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def transposed(self, n_columns: int) -> Rows:
        """The same entries by column: the other side's view of the table."""
        order = np.argsort(self.indices, kind="stable")
        return Rows(
            pointers(np.bincount(self.indices, minlength=n_columns)),
            self.row_numbers[order],
            self.values[order],
            None if self.times is None else self.times[order],
        )


def pointers(lengths: PointerArray) -> PointerArray:
    """CSR row pointers, int64, shape ``(n_rows + 1,)``, from the number of entries per row."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
