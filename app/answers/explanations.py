"""Why: what each history item adds to a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.answers.options import Body, Options
    from app.snapshot import Snapshot
    from models.fold_in import FoldedRow
    from models.types import RowArray

_MAX_CONTRIBUTIONS = 100_000
"""Contributions in one answer: some 5 MB of JSON."""
_MAX_PRODUCTS = 2_000_000
"""Contributions computed for one list, shown or not: 16 MB."""


class Explanations:
    """Takes scores apart."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._items = snapshot.artifact.items
        self._fold_in = snapshot.fold_in

    def explain(self, items: list[Body], rows: RowArray, history: FoldedRow, top: int | None) -> None:
        """Add to each item what each history item contributes to its score, largest first."""
        contributions = self._fold_in.contributions(history, rows)
        intercepts = self._fold_in.intercepts(history, rows)
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


def afford(options: Options, lengths: Sequence[int]) -> None:
    """Refuse explanations of more contributions than one answer should hold, before any is computed.

    Args:
        options: of the lists.
        lengths: of the histories of the lists.

    Raises:
        RequestError: they are too many.
    """
    shown = [min(length, options.explain_top or length) for length in lengths]
    if options.k * sum(shown) > _MAX_CONTRIBUTIONS or options.k * max(lengths, default=0) > _MAX_PRODUCTS:
        raise RequestError(
            f"k={options.k} items with up to {max(shown)} contributions each, for {len(lengths)} lists, "
            f"are more than the {_MAX_CONTRIBUTIONS:,} contributions that one answer explains; "
            "ask for a smaller k, a smaller explain_top, or fewer users at once"
        )
