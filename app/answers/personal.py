"""Lists for somebody: a user of the training table, or a posted history. Where nothing is known: popular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.answers.explanations import afford_lists
from app.answers.ordering import add_to
from app.answers.pages import GOES_ON, page_of
from app.answers.precomputed import PrecomputedLists
from app.posted_history import HistoryReader
from models.errors import RequestError, UnknownItemError
from models.row_solve import SingularRowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.answers.catalogue import Catalogue
    from app.answers.explanations import Explanations
    from app.answers.options import Body, Options
    from app.answers.ordering import Ordering
    from app.posted_history import Interaction
    from app.snapshot import Snapshot
    from models.fold_in import FoldedRow
    from models.index.base import Eligible
    from models.types import Float32Array, Float64Array, RowArray

_NOTHING = np.empty(0, dtype=np.int32)


class Folded(NamedTuple):
    """A posted history, folded in.

    Attributes:
        row: None where the model knows none of its items.
        ignored: the ids that it does not know.
    """

    row: FoldedRow | None
    ignored: list[str]


class PersonalLists:
    """Top-k by inner product with a stored or a folded-in row."""

    def __init__(
        self, snapshot: Snapshot, catalogue: Catalogue, explanations: Explanations, ordering: Ordering
    ) -> None:
        self._snapshot = snapshot
        self._artifact = snapshot.artifact
        self._histories = snapshot.artifact.histories
        self._rule = snapshot.manifest.row_rule
        self._catalogue = catalogue
        self._explanations = explanations
        self._ordering = ordering
        self._reader = HistoryReader(snapshot.artifact.items, snapshot.manifest)
        lists = snapshot.artifact.top_lists
        self.precomputed = None if lists is None else PrecomputedLists(lists, catalogue)

    def recommend(self, user_id: str, options: Options) -> Body:
        """Top-k for a user of the training table.

        Raises:
            UnknownUserError: there is no such user and `on_unknown` is ``"error"``.
        """
        return self.looked_up(user_id, options) or self.searched(user_id, options)

    def looked_up(self, user_id: str, options: Options) -> Body | None:
        """The same from the lists made at training, where they answer it; else None."""
        if self.precomputed is None:
            return None
        user = self._catalogue.users.get(user_id)
        best = None if user is None else self.precomputed.best(user, options)
        if best is None:
            return None
        items = self._catalogue.listed(*best)
        return self.answer("factors", None, items, options.k, user_id=user_id)

    def searched(self, user_id: str, options: Options) -> Body:
        """The same by a search of all items; raises what `recommend` does."""
        if options.needs_row:
            self._ordering.check(options)
        user = self._catalogue.users.get(user_id)
        if user is None:
            if options.on_unknown == "error":
                raise self._catalogue.unknown_user(user_id)
            return self.popular("unknown_user", options, user_id=user_id)
        seen, _ = self._histories.row(user)
        row = None
        if options.needs_row and len(seen):
            afford_lists(options, [len(seen)])
            row = self._snapshot.fold_in.solve(self._histories.only(user))
        return self._personal(
            "factors", self._artifact.user_factors[user], seen, row, options, user_id=user_id
        )

    def recommend_many(self, user_ids: Sequence[str], options: Options) -> Iterator[Body]:
        """Top-k for each of many users, in order, made one by one as they are taken; see `recommend`."""
        options = self._catalogue.resolved(options)
        if options.explain:
            afford_lists(options, [self._history_length(user_id) for user_id in user_ids])
        return (self.recommend(user_id, options) for user_id in user_ids)

    def fold_in(self, interactions: Sequence[Interaction], options: Options) -> Body:
        """Top-k for somebody the model has never seen, from their history.

        Several interactions with one item are merged as they were in the training table.

        Raises:
            RequestError: a value is missing where the model was trained on ratings, or is extreme.
            UnknownItemError: no item of the history is known and `on_unknown` is ``"error"``.
        """
        return self.list_of(self.folded(interactions, options), options)

    def folded(self, interactions: Sequence[Interaction], options: Options) -> Folded:
        """Fold a posted history in; the first half of `fold_in`, whose errors it raises."""
        if options.needs_row:
            self._ordering.check(options)
        history, ignored = self._reader.read(interactions)
        if len(history.indices) == 0:
            if options.on_unknown == "error":
                raise UnknownItemError(
                    f"none of the {len(interactions)} items of the history is in model "
                    f"{self._catalogue.version}; "
                    "send interactions with items that GET /items/{item_id} knows"
                )
            return Folded(None, ignored)
        afford_lists(options, [len(history.indices)])
        try:
            return Folded(self._snapshot.fold_in.solve(history), ignored)
        except SingularRowError as error:
            raise RequestError(f"the history cannot be folded in: {error}; send smaller values") from error

    def list_of(self, folded: Folded, options: Options) -> Body:
        """Top-k for a folded-in history; popular items where nothing of it is known."""
        row, ignored = folded.row, folded.ignored
        if row is None:
            reason = "unknown_items" if ignored else "empty_history"
            return self.popular(reason, options, ignored_items=ignored)
        seen = row.history.indices
        return self._personal("fold_in", row.vector, seen, row, options, ignored_items=ignored)

    def _personal(
        self,
        source: str,
        vector: Float32Array,
        seen: RowArray,
        row: FoldedRow | None,
        options: Options,
        **about: Any,  # noqa: ANN401
    ) -> Body:
        """Top-k by inner product with `vector`; `row` is the folded-in history, where it is needed."""
        if not options.exclude_seen:
            seen = _NOTHING
        excluded = self._catalogue.excluded(seen, options.exclude)
        eligible = self._catalogue.eligible(options)
        explored, goes_on = None, False
        query = self._rule.query(vector)
        if options.diversity or options.explore is not None:
            rows, scores, explored = self._ordering.best(vector, row, options, excluded, eligible)
        elif options.page is None:
            rows, scores = self._snapshot.recommend.search(query, options.k, excluded, eligible)
        else:
            exact = self._snapshot.recommend.exact
            rows, scores, goes_on = page_of(
                lambda n: exact.search(query, n, excluded, eligible), options.page, options.k
            )
        if self._indifferent(vector, scores):
            # Such as after a history of dislikes only: any order of the items would be a guess.
            return self.popular("no_preference", options, seen, **about)
        shift = self._rule.shift(vector)
        items = self._catalogue.listed(
            rows, scores + np.float32(shift) if shift else scores, options.first_rank
        )
        if explored is not None:
            add_to(items, "explored_score", explored)
        if options.uncertainty and row is not None:
            add_to(items, "score_std", self._ordering.deviations(row, rows))
        if options.explain and row is not None:
            self._explanations.of_history(items, rows, row, options.explain_top)
        return self.answer(source, None, items, options.k, goes_on=goes_on, **about)

    def _indifferent(self, vector: Float32Array, scores: Float32Array) -> bool:
        """Whether all items score the same: no direction, and no item biases that would rank them."""
        if len(scores) == 0 or scores[0] != scores[-1] or self._rule.without_bias(vector).any():
            return False
        return not (self._rule.biased and self._artifact.item_factors[:, -1].any())

    def popular(
        self,
        reason: str,
        options: Options,
        seen: RowArray = _NOTHING,
        **about: Any,  # noqa: ANN401
    ) -> Body:
        """The items with most interactions, said to be so; the score is their number."""
        excluded = self._catalogue.excluded(seen, options.exclude)
        eligible = self._catalogue.eligible(options)
        goes_on = False
        if options.page is None:
            n_candidates = self._ordering.n_candidates(options)
            rows, counts = self._most_popular(n_candidates, excluded, eligible)
        else:
            rows, counts, goes_on = page_of(
                lambda n: self._most_popular(n, excluded, eligible), options.page, options.k
            )
        if options.diversity:
            chosen = self._ordering.chosen(rows, counts, options)
            rows, counts = rows[chosen], counts[chosen]
        items = self._catalogue.listed(rows, counts, options.first_rank)
        if options.explain:
            nothing = np.empty((len(rows), 0))
            self._explanations.add(items, rows, _NOTHING, nothing, counts, options.explain_top)
        return self.answer("popular", reason, items, options.k, goes_on=goes_on, **about)

    def _most_popular(
        self, k: int, excluded: RowArray, eligible: Eligible | None
    ) -> tuple[RowArray, Float64Array]:
        """The k rows with most interactions of those eligible and not excluded, and how many these are."""
        found = _NOTHING
        start, stop = 0, k + len(excluded)
        while len(found) < k and start < len(self._artifact.items):
            candidates = self._snapshot.by_popularity[start:stop]
            if eligible is not None:
                candidates = candidates[eligible.mask.take(candidates)]
            found = np.concatenate([found, candidates[~np.isin(candidates, excluded)]])
            start, stop = stop, 3 * stop
        rows = found[:k]
        return rows, self._artifact.popularity[rows].astype(np.float64)

    def answer(
        self,
        source: str,
        reason: str | None,
        items: list[Body],
        k: int,
        *,
        goes_on: bool = False,
        **about: Any,  # noqa: ANN401
    ) -> Body:
        """A list as the body of an answer; `about` says whose it is."""
        answer = {
            "model_version": self._catalogue.version,
            "source": source,
            "fallback_reason": reason,
            "ignored_items": [],
            **about,
            "k": k,
            "shortfall": k - len(items),
            "items": items,
        }
        if goes_on:
            answer[GOES_ON] = True
        return answer

    def _history_length(self, user_id: str) -> int:
        user = self._catalogue.users.get(user_id)
        return 0 if user is None else len(self._histories.row(user)[0])
