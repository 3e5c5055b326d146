"""Orders other than by score: exploration and diversity, over more candidates than are asked for."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from models.diversity import maximal_marginal_relevance
from models.errors import RequestError
from models.row_solve import SingularRowError

if TYPE_CHECKING:
    from app.answers.directions import ItemDirections
    from app.answers.options import Body, Options
    from app.snapshot import Snapshot
    from models.fold_in import FoldedRow
    from models.index.base import Eligible
    from models.posterior import Posterior
    from models.types import Float32Array, Float64Array, FloatArray, PointerArray, RowArray

_POOL: Final = 10
"""Candidates for each place of a list."""
_SMALLEST_POOL, _LARGEST_POOL = 100, 1_000
_OPTIMISM: Final = 2.0
"""Standard deviations by which an upper confidence bound is above the score."""


class Ordering:
    """Chooses among the best of the candidates."""

    def __init__(self, snapshot: Snapshot, directions: ItemDirections) -> None:
        self._snapshot = snapshot
        self._posterior = snapshot.posterior
        self._rule = snapshot.manifest.row_rule
        self._directions = directions

    def check(self, options: Options) -> None:
        """Refuse what needs a posterior of a model that has none.

        Raises:
            RequestError: the family is not Gaussian.
        """
        if options.uncertainty or options.explore is not None:
            self._required_posterior()

    def best(
        self,
        vector: Float32Array,
        row: FoldedRow | None,
        options: Options,
        excluded: RowArray,
        eligible: Eligible | None,
    ) -> tuple[RowArray, Float32Array, Float64Array | None]:
        """Items of a list that is explored, diverse or both.

        Args:
            vector: of the user.
            row: the same with its posterior, where the list is explored.
            options: of the list.
            excluded: rows not to return.
            eligible: the only rows to return; None: all.

        Returns:
            Rows in the order of the list, their scores without what all scores of the user have in common,
            and the scores in whose stead they were ranked, where they were explored.
        """
        search = self._snapshot.recommend.search
        n_candidates = _pool(options.k) if options.explore == "ucb" else self.n_candidates(options)
        query = self._rule.query(vector)
        explored: Float64Array | None = None
        if row is None or options.explore is None:
            rows, scores = search(query, n_candidates, excluded, eligible)
        elif options.explore == "thompson":
            drawn = self._drawn(row, options.seed)
            rows, inner = search(self._rule.query(drawn), n_candidates, excluded, eligible)
            scores = self._snapshot.recommend.exact.scores(query, rows)
            explored = inner.astype(np.float64) + self._rule.shift(drawn)
        else:
            rows, scores = search(query, n_candidates, excluded, eligible)
            explored = scores + self._rule.shift(vector) + _OPTIMISM * self.deviations(row, rows)
        chosen = self.chosen(rows, scores if explored is None else explored, options)
        return rows[chosen], scores[chosen], None if explored is None else explored[chosen]

    def _drawn(self, row: FoldedRow, seed: int) -> Float32Array:
        """A row drawn from the posterior: the same for the same seed and history, another for others."""
        rng = np.random.default_rng([seed, zlib.crc32(row.history.indices.tobytes())])
        try:
            return self._required_posterior().draw(row, rng)
        except SingularRowError as error:
            raise RequestError(f"the history cannot be explored: {error}; send smaller values") from error

    def n_candidates(self, options: Options) -> int:
        """How many candidates a list is chosen from, best first."""
        return _pool(options.k) if options.diversity else options.k

    def chosen(self, rows: RowArray, relevances: FloatArray, options: Options) -> PointerArray:
        """Positions of the k candidates that make the list, in its order."""
        if options.diversity:
            return maximal_marginal_relevance(
                relevances, self._directions.of(rows), options.k, options.diversity
            )
        return np.argsort(-relevances, kind="stable")[: options.k]

    def deviations(self, row: FoldedRow, rows: RowArray) -> Float64Array:
        """The standard deviations of scores: float64, shape of `rows`."""
        return self._required_posterior().deviations(row, rows)

    def _required_posterior(self) -> Posterior:
        if self._posterior is None:
            raise RequestError(
                f"a score of family {self._snapshot.manifest.family} has no standard deviation here: its "
                "rows are no weighted least squares, or the model is of a time before they were estimated; "
                "ask without uncertainty and explore, train again, or serve another family"
            )
        return self._posterior


def _pool(k: int) -> int:
    return max(k, min(max(_POOL * k, _SMALLEST_POOL), _LARGEST_POOL))


def add_to(items: list[Body], member: str, values: Float64Array | PointerArray) -> None:
    """Add a member to each entry of a list."""
    for item, value in zip(items, values.tolist(), strict=True):
        item[member] = value
