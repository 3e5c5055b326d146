"""What retrieval is made of: an index answers, a graph only proposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from models.types import BoolArray, Float32Array, RowArray


class Index(Protocol):
    """Answers with the best rows and their scores."""

    def search(
        self, vector: Float32Array, k: int, excluded: RowArray, eligible: BoolArray | None = None
    ) -> tuple[RowArray, Float32Array]:
        """The best rows and their scores, best first, equal scores in the order of rows.

        Args:
            vector: float32, shape ``(d,)``; of length 1 where scores are cosines.
            k: how many; fewer come back only if fewer are left.
            excluded: rows not to return, int32, ascending.
            eligible: the only rows to return, bool, shape ``(n,)``; None: all.
        """
        ...


class Graph(Protocol):
    """Proposes rows that are likely among the best; whoever asks drops, scores and sorts them."""

    @property
    def ef(self) -> int:
        """How many candidates a walk keeps anyway: asking for fewer is no cheaper."""
        ...

    def __len__(self) -> int:
        """Number of rows that can be proposed."""
        ...

    def candidates(self, vector: Float32Array, k: int) -> RowArray:
        """About the k best rows, all distinct, most promising first; none where the walk finds fewer.

        Args:
            vector: float32, shape ``(d,)``.
            k: how many, at most ``len(graph)``.
        """
        ...
