"""Retrieval that is watched: a share of what it answers is handed over to be checked."""

from __future__ import annotations

from dataclasses import dataclass
from random import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.snapshot import IndexName
    from models.index.base import Eligible
    from models.index.exact import ExactIndex
    from models.index.recall import LiveRecall
    from models.index.retriever import Retriever
    from models.types import Float32Array, RowArray


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched: one index of one model.

    Attributes:
        version: of the model.
        index: its name.
        exact: the exact index over the same vectors.
        k: how much of a list is looked at, as its certificate did.
        live: what was found so far.
    """

    version: str
    index: IndexName
    exact: ExactIndex
    k: int
    live: LiveRecall


@dataclass(frozen=True, slots=True)
class Answered:
    """One list, and what was asked."""

    watch: Watch
    vector: Float32Array
    k: int
    excluded: RowArray
    eligible: Eligible | None
    scores: Float32Array


class WatchedRetriever:
    """A retriever that hands a share of its answers over to be checked."""

    def __init__(
        self, retriever: Retriever, watch: Watch, share: float, hand_over: Callable[[Answered], None]
    ) -> None:
        self.exact = retriever.exact
        self.method = retriever.method
        self.without_graph = retriever.without_graph
        self._search = retriever.search
        self._watch = watch
        self._share = share
        self._hand_over = hand_over

    def search(
        self, vector: Float32Array, k: int, excluded: RowArray, eligible: Eligible | None = None
    ) -> tuple[RowArray, Float32Array]:
        """The best rows and their scores: see `models.index.base.Index`."""
        rows, scores = self._search(vector, k, excluded, eligible)
        if random() < self._share:  # noqa: S311 - a sample, not a secret
            self._hand_over(Answered(self._watch, vector, k, excluded, eligible, scores))
        return rows, scores
