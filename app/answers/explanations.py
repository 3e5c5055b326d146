"""Why: what each history item, or each seed, adds to a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.answers.catalogue import Catalogue
    from app.answers.options import Body, Options
    from app.snapshot import Snapshot
    from models.fold_in import FoldedRow
    from models.types import Float64Array, RowArray

_MAX_CONTRIBUTIONS = 100_000
"""Contributions in one answer: some 5 MB of JSON."""
_MAX_PRODUCTS = 2_000_000
"""Contributions computed for one list, shown or not: 16 MB."""


class Explanations:
    """Takes scores apart: contributions + intercept = score."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue) -> None:
        self._artifact = snapshot.artifact
        self._fold_in = snapshot.fold_in
        self._rule = snapshot.manifest.row_rule
        self._catalogue = catalogue

    def of_history(self, items: list[Body], rows: RowArray, history: FoldedRow, top: int | None) -> None:
        """Add to each item of a list what each history item contributes to its score."""
        contributions = self._fold_in.contributions(history, rows)
        intercepts = self._fold_in.intercepts(history, rows)
        self.add(items, rows, history.history.indices, contributions, intercepts, top)

    def add(
        self,
        items: list[Body],
        rows: RowArray,
        causes: RowArray,
        contributions: Float64Array,
        intercepts: Float64Array,
        top: int | None,
    ) -> None:
        """Add to each item of a list its title and what it is there for, the largest contribution first.

        Args:
            items: changed in place.
            rows: which items they are, shape ``(n_items,)``.
            causes: the items that contribute, shape ``(n,)``.
            contributions: float64, shape ``(n_items, n)``.
            intercepts: what none of them contributes, shape ``(n_items,)``.
            top: show so many; the rest is summed up.
        """
        named = [self._catalogue.named(row) for row in causes.tolist()]
        for item, row, parts, intercept in zip(
            items, rows.tolist(), contributions, intercepts.tolist(), strict=True
        ):
            order = np.argsort(-parts, kind="stable")
            shown = order if top is None else order[:top]
            item.update(self._catalogue.named(row))
            item["because"] = [
                {**named[position], "contribution": float(parts[position])} for position in shown
            ]
            if top is not None:
                item["because_rest"] = float(parts[order[top:]].sum())
            item["intercept"] = intercept

    def pair(self, user_id: str, item_id: str, top: int | None) -> Body:
        """One score of a user of the training table, taken apart.

        Raises:
            UnknownUserError: there is no such user.
            UnknownItemError: there is no such item.
            RequestError: the history is too long to show.
        """
        user = self._catalogue.user_row(user_id)
        rows = np.array([self._catalogue.item_row(item_id)], dtype=np.int32)
        history = self._artifact.histories.only(user)
        vector = self._artifact.user_factors[user]
        score = np.vecdot(self._artifact.item_factors[rows[0]], self._rule.query(vector))
        explained: Body = {"score": float(score + np.float32(self._rule.shift(vector)))}
        afford(1, top, [len(history.indices)])
        self.of_history([explained], rows, self._fold_in.solve(history), top)
        return {"model_version": self._catalogue.version, "user_id": user_id, **explained}


def afford_lists(options: Options, lengths: Sequence[int]) -> None:
    """`afford` for lists with these options; nothing where they are not to be explained."""
    if options.explain:
        afford(options.k, options.explain_top, lengths)


def afford(k: int, top: int | None, lengths: Sequence[int]) -> None:
    """Refuse explanations of more contributions than one answer should hold, before any is computed.

    Args:
        k: items of each list.
        top: contributions shown of each.
        lengths: of the histories of the lists.

    Raises:
        RequestError: they are too many.
    """
    shown = [min(length, top or length) for length in lengths]
    if k * sum(shown) > _MAX_CONTRIBUTIONS or k * max(lengths, default=0) > _MAX_PRODUCTS:
        raise RequestError(
            f"k={k} items with up to {max(shown)} contributions each, for {len(lengths)} lists, "
            f"are more than the {_MAX_CONTRIBUTIONS:,} contributions that one answer explains; "
            "ask for a smaller k, a smaller explain_top, or fewer users at once"
        )
