"""One list for several people at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from models.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.answers.catalogue import Catalogue
    from app.answers.options import Body, Options
    from app.answers.ordering import Ordering
    from app.answers.personal import PersonalLists
    from app.posted_history import Interaction
    from app.snapshot import Snapshot
    from models.index.base import Eligible
    from models.types import Float32Array, RowArray

_MARGIN: Final = 32
"""Candidates past the last place, so that rounding in the scan of all items decides nothing."""


@dataclass(frozen=True, slots=True)
class Group:
    """Who a list is for.

    Attributes:
        user_ids: users of the training table.
        histories: people the model has never seen.
        by: whether items are ranked by the mean, or by the smallest, of the members' scores.
    """

    user_ids: Sequence[str]
    histories: Sequence[Sequence[Interaction]]
    by: Literal["mean", "least_misery"]


@dataclass(frozen=True, slots=True)
class _Member:
    """Somebody who has a say."""

    named: Body
    vector: Float32Array
    seen: RowArray


class Groups:
    """Lists for groups."""

    def __init__(
        self, snapshot: Snapshot, catalogue: Catalogue, personal: PersonalLists, ordering: Ordering
    ) -> None:
        self._snapshot = snapshot
        self._artifact = snapshot.artifact
        self._rule = snapshot.manifest.row_rule
        self._catalogue = catalogue
        self._personal = personal
        self._ordering = ordering

    def recommend(self, group: Group, options: Options) -> Body:
        """Top-k for a group, with every member's score.

        Who is unknown, or whose history says nothing, has no say and is listed. What any member has seen
        is left out.

        Raises:
            UnknownUserError, UnknownItemError: somebody is unknown and `on_unknown` is ``"error"``.
            RequestError: a history cannot be folded in, or the options are not for groups.
        """
        if options.needs_row:
            raise RequestError(
                "a group's list has every member's score instead of explain, uncertainty and explore; "
                "ask without these, or for each member"
            )
        members, about = self._members(group, options)
        if not members:
            return self._personal.popular("unknown_group", options, **about)
        seen = np.unique(np.concatenate([member.seen for member in members]))
        excluded = self._catalogue.excluded(seen if options.exclude_seen else seen[:0], options.exclude)
        queries = np.stack([self._rule.query(member.vector) for member in members])
        shifts = np.array([self._rule.shift(member.vector) for member in members], dtype=np.float32)
        eligible = self._catalogue.eligible(options)
        n_candidates = self._ordering.n_candidates(options)
        if group.by == "mean":
            mean = queries.mean(axis=0, dtype=np.float64).astype(np.float32)
            rows, _ = self._snapshot.recommend.search(mean, n_candidates, excluded, eligible)
        else:
            rows = self._least_miserable(queries, shifts, n_candidates + _MARGIN, excluded, eligible)
        scores = np.vecdot(self._artifact.item_factors[rows][:, np.newaxis], queries) + shifts
        combined = scores.mean(axis=1) if group.by == "mean" else scores.min(axis=1)
        order = np.lexsort((rows, -combined))[:n_candidates]
        chosen = order[self._ordering.chosen(rows[order], combined[order], options)]
        items = self._catalogue.listed(rows[chosen], combined[chosen])
        for item, of_members in zip(items, scores[chosen].tolist(), strict=True):
            item["member_scores"] = of_members
        source = "factors" if all("user_id" in member.named for member in members) else "fold_in"
        return self._personal.answer(source, None, items, options.k, **about)

    def _members(self, group: Group, options: Options) -> tuple[list[_Member], Body]:
        """Those who have a say, and what the answer says of all of them."""
        members: list[_Member] = []
        ignored_users: list[str] = []
        ignored_histories: list[int] = []
        ignored_items: list[str] = []
        for user_id in group.user_ids:
            user = self._catalogue.users.get(user_id)
            if user is None and options.on_unknown == "error":
                raise self._catalogue.unknown_user(user_id)
            if user is None or not self._has_say(self._artifact.user_factors[user]):
                ignored_users.append(user_id)
                continue
            seen, _ = self._artifact.histories.row(user)
            members.append(_Member({"user_id": user_id}, self._artifact.user_factors[user], seen))
        for number, history in enumerate(group.histories):
            folded = self._personal.folded(history, options)
            ignored_items += folded.ignored
            if folded.row is None or not self._has_say(folded.row.vector):
                ignored_histories.append(number)
                continue
            members.append(_Member({"history": number}, folded.row.vector, folded.row.history.indices))
        about: Body = {
            "by": group.by,
            "members": [member.named for member in members],
            "ignored_users": ignored_users,
            "ignored_histories": ignored_histories,
            "ignored_items": ignored_items,
        }
        return members, about

    def _has_say(self, vector: Float32Array) -> bool:
        """Whether a row ranks anything: without biases, a row of zeros likes all items the same."""
        return self._rule.biased or bool(vector.any())

    def _least_miserable(
        self,
        queries: Float32Array,
        shifts: Float32Array,
        k: int,
        excluded: RowArray,
        eligible: Eligible | None,
    ) -> RowArray:
        """The k items with the largest of the members' smallest scores, in no order."""
        factors = self._artifact.item_factors
        least = np.full(len(factors), np.inf, dtype=np.float32)
        for query, shift in zip(queries, shifts, strict=True):
            np.minimum(least, factors @ query + shift, out=least)
        least[excluded] = -np.inf
        if eligible is not None:
            least[~eligible.mask] = -np.inf
        k = min(k, len(least))
        best = np.argpartition(-least, k - 1)[:k]
        return best[least[best] > -np.inf].astype(np.int32)
