"""What retrieval is made of: an index answers, a graph only proposes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from models.types import BoolArray, Float32Array, RowArray


@dataclass(frozen=True, slots=True, eq=False)
class Eligible:
    """The only rows that a search may return.

    Attributes:
        mask: whether a row is one, bool, shape ``(n,)``.
        rows: which they are, int32, ascending.
    """

    mask: BoolArray
    rows: RowArray

    @classmethod
    def where(cls, mask: BoolArray) -> Eligible:
        """The rows at which the mask is true."""
        return cls(mask, np.flatnonzero(mask).astype(np.int32))

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.mask.nbytes + self.rows.nbytes


class Index(Protocol):
    """Answers with the best rows and their scores."""

    def search(
        self, vector: Float32Array, k: int, excluded: RowArray, eligible: Eligible | None = None
    ) -> tuple[RowArray, Float32Array]:
        """The best rows and their scores, best first, equal scores in the order of rows.

        Args:
            vector: float32, shape ``(d,)``; of length 1 where scores are cosines.
            k: how many; fewer come back only if fewer are left.
            excluded: rows not to return, int32, ascending.
            eligible: the only rows to return; None: all.
        """
        ...


class Graph(Protocol):
    """Proposes rows that are likely among the best; whoever asks drops, scores and sorts them."""

    @property
    def in_order(self) -> bool:
        """Whether the first k candidates are the best k of them, without being scored again."""
        ...

    @property
    def ef(self) -> int:
        """How many candidates a walk keeps anyway: asking for fewer is no cheaper."""
        ...

    def __len__(self) -> int:
        """Number of rows that can be proposed."""
        ...

    def candidates(self, vector: Float32Array, k: int) -> RowArray:
        """About the k best rows or more, all distinct, most promising first; it may find fewer, or none.

        Args:
            vector: float32, shape ``(d,)``.
            k: how many, at most ``len(graph)``.
        """
        ...
