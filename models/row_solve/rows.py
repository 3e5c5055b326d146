"""The observed entries of many rows, in compressed sparse row form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.types import Float32Array, PointerArray, RowArray


@dataclass(frozen=True, slots=True)
class Rows:
    """Observed entries by row: what each user did, or who did something with each item.

    Attributes:
        indptr: int64, shape ``(n_rows + 1,)``; row ``u`` owns the entries ``indptr[u]:indptr[u + 1]``.
        indices: int32, shape ``(n_entries,)``; row numbers on the other side, ascending within a row.
        values: float32, shape ``(n_entries,)``; the interactions' values ``r``.
    """

    indptr: PointerArray
    indices: RowArray
    values: Float32Array

    @classmethod
    def one(cls, indices: RowArray, values: Float32Array) -> Rows:
        """A single row: the history of somebody who is not in the table."""
        return cls(np.array([0, len(indices)], dtype=np.int64), indices, values)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def row(self, number: int) -> tuple[RowArray, Float32Array]:
        """Indices and values of one row, as views."""
        entries = slice(self.indptr[number], self.indptr[number + 1])
        return self.indices[entries], self.values[entries]

    def select(self, numbers: RowArray) -> Rows:
        """The given rows, in the given order, as a copy."""
        starts = self.indptr[numbers]
        lengths = self.indptr[numbers + 1] - starts
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
        return Rows(indptr, self.indices[entries], self.values[entries])

    @property
    def lengths(self) -> PointerArray:
        """Entries per row: int64, shape ``(n_rows,)``."""
        return np.diff(self.indptr)

    @property
    def row_numbers(self) -> RowArray:
        """The row each entry belongs to: int32, shape ``(n_entries,)``."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def transposed(self, n_columns: int) -> Rows:
        """The same entries by column: the other side's view of the table."""
        order = np.argsort(self.indices, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(self.indices, minlength=n_columns))])
        return Rows(indptr.astype(np.int64), self.row_numbers[order], self.values[order])
