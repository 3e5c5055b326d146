"""The answers, without HTTP: external ids in, the members of the response bodies out.

Scores are inner products. Where the model has biases, an item's is its last coordinate and the query's last
coordinate is 1; what shifts all of a user's scores alike (μ + b_u) is added only where a score is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import orjson

from app.posted_history import HistoryReader
from models.errors import RequestError, UnknownItemError, UnknownUserError
from models.index.base import Eligible
from models.item_filter import FilterMasks, ItemFilter, parse_filter
from models.row_solve import SingularRowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.posted_history import Interaction
    from app.snapshot import Snapshot
    from models.fold_in import FoldedRow
    from models.index.base import Index
    from models.types import Float32Array, Float64Array, FloatArray, RowArray

Body: TypeAlias = dict[str, Any]
"""A JSON object, ready to be encoded."""

_NOTHING = np.empty(0, dtype=np.int32)
_CANCELLED = 1e-6
"""A sum of unit vectors this short, as a share of its weights, is what rounding leaves."""
_MAX_CONTRIBUTIONS = 100_000
"""Contributions in one answer: some 5 MB of JSON."""
_MAX_PRODUCTS = 2_000_000
"""Contributions computed for one list, shown or not: 16 MB."""


@dataclass(frozen=True, slots=True)
class Options:
    """What every list of recommendations understands.

    `filter` is what the items of the list must be: clauses as texts, the same as JSON, or what it came to.
    """

    k: int
    exclude_seen: bool = True
    exclude: tuple[str, ...] = ()
    filter: tuple[str, ...] | ItemFilter | Eligible | None = None
    explain: bool = False
    explain_top: int | None = None
    on_unknown: Literal["fallback", "error"] = "fallback"


class Recommender:
    """Answers questions from one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._artifact = snapshot.artifact
        self._users = snapshot.artifact.users
        self._items = snapshot.artifact.items
        self._histories = snapshot.artifact.histories
        self._rule = snapshot.manifest.row_rule
        self._version = snapshot.version
        self._history = HistoryReader(self._items, snapshot.manifest)
        self._filters = FilterMasks(snapshot.artifact.item_fields)

    # Top-k lists

    def recommend(self, user_id: str, options: Options) -> Body:
        """Top-k for a user of the training table.

        Raises:
            UnknownUserError: there is no such user and `on_unknown` is ``"error"``.
        """
        user = self._users.get(user_id)
        if user is None:
            if options.on_unknown == "error":
                raise self._unknown_user(user_id)
            return self._popular("unknown_user", options, user_id=user_id)
        seen, _ = self._histories.row(user)
        row = None
        if options.explain:
            self._afford(options, [len(seen)])
            row = self.snapshot.fold_in.solve(self._histories.only(user))
        return self._personal(
            "factors", self._artifact.user_factors[user], seen, row, options, user_id=user_id
        )

    def recommend_many(self, user_ids: Sequence[str], options: Options) -> Iterator[Body]:
        """Top-k for each of many users, in order, made one by one as they are taken; see `recommend`."""
        options = self._resolved(options)
        if options.explain:
            self._afford(options, [self._history_length(user_id) for user_id in user_ids])
        return (self.recommend(user_id, options) for user_id in user_ids)

    def fold_in(self, interactions: Sequence[Interaction], options: Options) -> Body:
        """Top-k for somebody the model has never seen, from their history.

        Several interactions with one item are merged as they were in the training table.

        Raises:
            RequestError: a value is missing where the model was trained on ratings, or is extreme.
            UnknownItemError: no item of the history is known and `on_unknown` is ``"error"``.
        """
        history, ignored = self._history.read(interactions)
        if len(history.indices) == 0:
            if options.on_unknown == "error":
                raise UnknownItemError(
                    f"none of the {len(interactions)} items of the history is in model {self._version}; "
                    "send interactions with items that GET /items/{item_id} knows"
                )
            reason = "unknown_items" if ignored else "empty_history"
            return self._popular(reason, options, ignored_items=ignored)
        if options.explain:
            self._afford(options, [len(history.indices)])
        try:
            row = self.snapshot.fold_in.solve(history)
        except SingularRowError as error:
            raise RequestError(f"the history cannot be folded in: {error}; send smaller values") from error
        return self._personal("fold_in", row.vector, history.indices, row, options, ignored_items=ignored)

    # Neighbours

    def similar(self, item_id: str, options: Options) -> Body:
        """The items most like an item, by cosine.

        Raises:
            UnknownItemError: there is no such item.
        """
        item = self._item_row(item_id)
        return {"item_id": item_id, **self._neighbours(self._direction(item), np.array([item]), options)}

    def similar_basket(self, seeds: Sequence[tuple[str, float]], options: Options) -> Body:
        """The items most like a weighted set of items: cosine to Σ wᵢ qᵢ/|qᵢ|. Negative weights push away.

        Raises:
            UnknownItemError: none of the seeds is known.
        """
        known = [(row, weight) for seed, weight in seeds if (row := self._items.get(seed)) is not None]
        if not known:
            raise self._unknown_item(seeds[0][0])
        rows = np.array([row for row, _ in known], dtype=np.int32)
        weights = np.array([weight for _, weight in known])
        weights /= np.abs(weights).max() or 1.0
        mixed = weights @ np.stack([self._direction(row) for row in rows.tolist()])
        if np.linalg.norm(mixed) < _CANCELLED * np.abs(weights).sum():
            mixed[:] = 0  # what is left where opposite weights cancel is rounding
        ignored = [seed for seed, _ in seeds if seed not in self._items]
        return {"ignored_items": ignored, **self._neighbours(mixed, rows, options)}

    def similar_users(self, user_id: str, k: int) -> Body:
        """The users most like a user, by cosine.

        Raises:
            UnknownUserError: there is no such user.
        """
        user = self._users.get(user_id)
        if user is None:
            raise self._unknown_user(user_id)
        direction = _normalized(self._rule.without_bias(self._artifact.user_factors[user]))
        rows, scores = _nearest(self.snapshot.similar_users, direction, k, np.array([user], dtype=np.int32))
        users = [
            {"user_id": self._users.external(row), "score": score, "rank": rank}
            for rank, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True), start=1)
        ]
        return {
            "model_version": self._version,
            "user_id": user_id,
            "k": k,
            "shortfall": k - len(users),
            "users": users,
        }

    # Single answers

    def predict(self, user_id: str, item_id: str) -> Body:
        """The predicted rating or preference of one pair.

        Raises:
            UnknownUserError: there is no such user.
            UnknownItemError: there is no such item.
        """
        user = self._users.get(user_id)
        if user is None:
            raise self._unknown_user(user_id)
        vector = self._artifact.user_factors[user]
        item = self._artifact.item_factors[self._item_row(item_id)]
        score = float(np.vecdot(item, self._rule.query(vector)) + np.float32(self._rule.shift(vector)))
        return {"model_version": self._version, "user_id": user_id, "item_id": item_id, "score": score}

    def predict_many(self, pairs: Sequence[tuple[str, str]]) -> Body:
        """The predictions of many pairs, in order; all ids must be known, see `predict`."""
        results = [self.predict(user_id, item_id) for user_id, item_id in pairs]
        return {"model_version": self._version, "results": results}

    def item(self, item_id: str) -> Body:
        """What is known of an item.

        Raises:
            UnknownItemError: there is no such item.
        """
        row = self._item_row(item_id)
        metadata = self._artifact.metadata(row)
        return {
            "model_version": self._version,
            "item_id": item_id,
            "interactions": int(self._artifact.popularity[row]),
            "metadata": None if metadata is None else orjson.loads(metadata),
        }

    def model(self) -> Body:
        """What is being served, with the evidence of its quality."""
        card = self.snapshot.manifest.model_dump(mode="json", exclude={"files"})
        return {**card, "loaded_at": self.snapshot.loaded_at.isoformat()}

    # Parts

    def _personal(
        self,
        source: str,
        vector: Float32Array,
        seen: RowArray,
        row: FoldedRow | None,
        options: Options,
        **about: Any,  # noqa: ANN401
    ) -> Body:
        """Top-k by inner product with `vector`; `row` is the folded-in history, for explanations."""
        if not options.exclude_seen:
            seen = _NOTHING
        excluded = self._excluded(seen, options.exclude)
        rows, scores = self.snapshot.recommend.search(
            self._rule.query(vector), options.k, excluded, self._eligible(options)
        )
        if self._indifferent(vector, scores):
            # Such as after a history of dislikes only: any order of the items would be a guess.
            return self._popular("no_preference", options, seen, **about)
        shift = self._rule.shift(vector)
        items = self._listed(rows, scores + np.float32(shift) if shift else scores)
        if options.explain and row is not None:
            self._explain(items, rows, row, options.explain_top)
        return self._list(source, None, items, options.k, **about)

    def _indifferent(self, vector: Float32Array, scores: Float32Array) -> bool:
        """Whether all items score the same: no direction, and no item biases that would rank them."""
        if len(scores) == 0 or scores[0] != scores[-1] or self._rule.without_bias(vector).any():
            return False
        return not (self._rule.biased and self._artifact.item_factors[:, -1].any())

    def _popular(
        self,
        reason: str,
        options: Options,
        seen: RowArray = _NOTHING,
        **about: Any,  # noqa: ANN401
    ) -> Body:
        """The items with most interactions, said to be so; the score is their number."""
        excluded = self._excluded(seen, options.exclude)
        rows = self._most_popular(options.k, excluded, self._eligible(options))
        items = self._listed(rows, self._artifact.popularity[rows].astype(np.float32))
        return self._list("popular", reason, items, options.k, **about)

    def _most_popular(self, k: int, excluded: RowArray, eligible: Eligible | None) -> RowArray:
        """The k most popular rows of those eligible and not excluded: int32, most interactions first."""
        found = _NOTHING
        start, stop = 0, k + len(excluded)
        while len(found) < k and start < len(self._items):
            candidates = self.snapshot.by_popularity[start:stop]
            if eligible is not None:
                candidates = candidates[eligible.mask.take(candidates)]
            found = np.concatenate([found, candidates[~np.isin(candidates, excluded)]])
            start, stop = stop, 3 * stop
        return found[:k]

    def _list(
        self,
        source: str,
        reason: str | None,
        items: list[Body],
        k: int,
        **about: Any,  # noqa: ANN401
    ) -> Body:
        return {
            "model_version": self._version,
            "source": source,
            "fallback_reason": reason,
            "ignored_items": [],
            **about,
            "k": k,
            "shortfall": k - len(items),
            "items": items,
        }

    def _listed(self, rows: RowArray, scores: Float32Array) -> list[Body]:
        external = self._items.external
        return [
            {"item_id": external(row), "score": score, "rank": rank}
            for rank, (row, score) in enumerate(zip(rows.tolist(), scores.tolist(), strict=True), start=1)
        ]

    def _explain(self, items: list[Body], rows: RowArray, history: FoldedRow, top: int | None) -> None:
        """Add to each item what each history item contributes to its score, largest first."""
        contributions = self.snapshot.fold_in.contributions(history, rows)
        intercepts = self.snapshot.fold_in.intercepts(history, rows)
        names = self._items.to_external(history.history.indices)
        for item, parts, intercept in zip(items, contributions, intercepts.tolist(), strict=True):
            order = np.argsort(-parts, kind="stable")
            shown = order if top is None else order[:top]
            item["because"] = [
                {"item_id": names[position], "contribution": float(parts[position])} for position in shown
            ]
            if top is not None:
                item["because_rest"] = float(parts[order[top:]].sum())
            item["intercept"] = intercept

    def _neighbours(self, direction: Float64Array, seeds: RowArray, options: Options) -> Body:
        excluded = self._excluded(np.unique(seeds).astype(np.int32), options.exclude)
        rows, cosines = _nearest(
            self.snapshot.similar, _normalized(direction), options.k, excluded, self._eligible(options)
        )
        items = self._listed(rows, cosines)
        shortfall = options.k - len(items)
        return {"model_version": self._version, "k": options.k, "shortfall": shortfall, "items": items}

    def _direction(self, item: int) -> Float64Array:
        """The item's factors at length 1, or zeros: float64, shape ``(d,)``."""
        return _normalized(self._rule.without_bias(self._artifact.item_factors[item]))

    def _resolved(self, options: Options) -> Options:
        """The options with the ids to exclude and the filter looked up, once for many lists."""
        known = tuple(item_id for item_id in set(options.exclude) if item_id in self._items)
        return replace(options, exclude=known, filter=self._eligible(options))

    def _eligible(self, options: Options) -> Eligible | None:
        """What the filter lets through; None: everything.

        Raises:
            RequestError: the filter does not suit the metadata.
        """
        if options.filter is None or isinstance(options.filter, Eligible):
            return options.filter
        if isinstance(options.filter, ItemFilter):
            return self._filters.eligible(options.filter)
        return self._filters.eligible(parse_filter(options.filter, self._filters.fields))

    def _excluded(self, seen: RowArray, exclude: Sequence[str]) -> RowArray:
        """Rows never to return, ascending and distinct. An excluded id that is unknown excludes nothing."""
        if not exclude:
            return seen
        return np.union1d(seen, self._items.to_internal(exclude, missing="drop")).astype(np.int32)

    def _history_length(self, user_id: str) -> int:
        user = self._users.get(user_id)
        return 0 if user is None else len(self._histories.row(user)[0])

    def _afford(self, options: Options, lengths: Sequence[int]) -> None:
        """Refuse explanations of more contributions than one answer should hold, before any is computed."""
        shown = [min(length, options.explain_top or length) for length in lengths]
        if options.k * sum(shown) > _MAX_CONTRIBUTIONS or options.k * max(lengths, default=0) > _MAX_PRODUCTS:
            raise RequestError(
                f"k={options.k} items with up to {max(shown)} contributions each, for {len(lengths)} lists, "
                f"are more than the {_MAX_CONTRIBUTIONS:,} contributions that one answer explains; "
                "ask for a smaller k, a smaller explain_top, or fewer users at once"
            )

    def _item_row(self, item_id: str) -> int:
        row = self._items.get(item_id)
        if row is None:
            raise self._unknown_item(item_id)
        return row

    def _unknown_user(self, user_id: str) -> UnknownUserError:
        return UnknownUserError(
            f"user {user_id!r} is not among the {len(self._users)} users of model {self._version}; "
            "POST /fold-in takes the history of anybody"
        )

    def _unknown_item(self, item_id: str) -> UnknownItemError:
        return UnknownItemError(
            f"item {item_id!r} is not among the {len(self._items)} items of model {self._version}; "
            "ids are compared exactly, and an item is in a model trained on interactions with it"
        )


def _normalized(vector: FloatArray) -> Float64Array:
    """The vector at length 1, or zeros where it has no direction: float64."""
    wide = vector.astype(np.float64)
    norm = float(np.linalg.norm(wide))
    return wide / norm if norm > 0 else wide


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
