"""Neighbours by cosine, biases left out: items like an item or a basket, users like a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.answers.directions import normalized
from app.answers.explanations import afford_lists
from app.answers.pages import GOES_ON, page_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.answers.catalogue import Catalogue
    from app.answers.directions import ItemDirections
    from app.answers.explanations import Explanations
    from app.answers.options import Body, Options
    from app.answers.ordering import Ordering
    from app.snapshot import Snapshot
    from models.index.base import Eligible, Index
    from models.types import Float32Array, Float64Array, RowArray

_NOTHING = np.empty(0, dtype=np.int32)
_CANCELLED = 1e-6
"""A sum of unit vectors this short, as a share of its weights, is what rounding leaves."""


class Neighbours:
    """Lists of what is near."""

    def __init__(
        self,
        snapshot: Snapshot,
        catalogue: Catalogue,
        explanations: Explanations,
        directions: ItemDirections,
        ordering: Ordering,
    ) -> None:
        self._snapshot = snapshot
        self._artifact = snapshot.artifact
        self._rule = snapshot.manifest.row_rule
        self._catalogue = catalogue
        self._explanations = explanations
        self._directions = directions
        self._ordering = ordering

    def similar(self, item_id: str, options: Options) -> Body:
        """The items most like an item, by cosine.

        Raises:
            UnknownItemError: there is no such item.
        """
        item = self._catalogue.item_row(item_id)
        seeds = np.array([item], dtype=np.int32)
        return {"item_id": item_id, **self._nearest_items(seeds, self._directions.of(seeds), options)}

    def similar_basket(self, seeds: Sequence[tuple[str, float]], options: Options) -> Body:
        """The items most like a weighted set of items: cosine to Σ wᵢ qᵢ/|qᵢ|. Negative weights push away.

        Raises:
            UnknownItemError: none of the seeds is known.
        """
        items = self._catalogue.items
        known = [(row, weight) for seed, weight in seeds if (row := items.get(seed)) is not None]
        if not known:
            raise self._catalogue.unknown_item(seeds[0][0])
        rows = np.array([row for row, _ in known], dtype=np.int32)
        weights = np.array([weight for _, weight in known])
        weights /= np.abs(weights).max() or 1.0
        pulls = weights[:, np.newaxis] * self._directions.of(rows)
        if np.linalg.norm(pulls.sum(axis=0)) < _CANCELLED * np.abs(weights).sum():
            pulls[:] = 0  # what is left where opposite weights cancel is rounding
        ignored = [seed for seed, _ in seeds if seed not in items]
        return {"ignored_items": ignored, **self._nearest_items(rows, pulls, options)}

    def similar_users(self, user_id: str, k: int) -> Body:
        """The users most like a user, by cosine.

        Raises:
            UnknownUserError: there is no such user.
        """
        user = self._catalogue.user_row(user_id)
        direction = normalized(self._rule.without_bias(self._artifact.user_factors[user]))
        rows, scores = _nearest(self._snapshot.similar_users, direction, k, np.array([user], dtype=np.int32))
        external = self._catalogue.users.external
        users = [
            {"user_id": external(row), "score": score, "rank": rank}
            for rank, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True), start=1)
        ]
        return {
            "model_version": self._catalogue.version,
            "user_id": user_id,
            "k": k,
            "shortfall": k - len(users),
            "users": users,
        }

    def _nearest_items(self, seeds: RowArray, pulls: Float64Array, options: Options) -> Body:
        """The items nearest to the sum of the `pulls` ``(len(seeds), d)``."""
        afford_lists(options, [len(seeds)])
        excluded = self._catalogue.excluded(np.unique(seeds).astype(np.int32), options.exclude)
        direction = normalized(pulls.sum(axis=0))
        eligible = self._catalogue.eligible(options)
        goes_on = False
        if options.page is None:
            n_candidates = self._ordering.n_candidates(options)
            rows, cosines = _nearest(self._snapshot.similar, direction, n_candidates, excluded, eligible)
        else:
            exact = self._snapshot.similar.exact
            rows, cosines, goes_on = page_of(
                lambda n: _nearest(exact, direction, n, excluded, eligible), options.page, options.k
            )
        if options.diversity:
            chosen = self._ordering.chosen(rows, cosines, options)
            rows, cosines = rows[chosen], cosines[chosen]
        items = self._catalogue.listed(rows, cosines, options.first_rank)
        if options.explain:
            # cos(Σ pulls, q) = Σ pull·q/|q| / |Σ pulls|
            length = np.linalg.norm(pulls.sum(axis=0)) or 1.0
            parts = self._directions.of(rows) @ pulls.T / length
            self._explanations.add(items, rows, seeds, parts, np.zeros(len(rows)), options.explain_top)
        answer = {
            "model_version": self._catalogue.version,
            "k": options.k,
            "shortfall": options.k - len(items),
            "items": items,
        }
        if goes_on:
            answer[GOES_ON] = True
        return answer


def _nearest(
    index: Index,
    direction: Float64Array,
    k: int,
    excluded: RowArray,
    eligible: Eligible | None = None,
) -> tuple[RowArray, Float32Array]:
    """The rows nearest by cosine and the cosines; nothing is near to no direction."""
    if not direction.any():
        return _NOTHING, np.empty(0, dtype=np.float32)
    rows, scores = index.search(direction.astype(np.float32), k, excluded, eligible)
    return rows, np.clip(scores, -1, 1)
