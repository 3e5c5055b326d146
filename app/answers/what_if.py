"""What if: the same question before and after an edit of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.answers.catalogue import Catalogue
    from app.answers.options import Body, Options
    from app.answers.personal import Folded, PersonalLists
    from app.posted_history import Interaction
    from app.snapshot import Snapshot
    from models.types import Float32Array, RowArray


class WhatIf:
    """Compares lists of edited histories."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue, personal: PersonalLists) -> None:
        self._item_factors = snapshot.artifact.item_factors
        self._rule = snapshot.manifest.row_rule
        self._catalogue = catalogue
        self._personal = personal

    def compare(
        self,
        interactions: Sequence[Interaction],
        added: Sequence[Interaction],
        removed: Sequence[str],
        options: Options,
    ) -> Body:
        """Top-k for a history, top-k for the edited one, and what the edit changes.

        Entries are removed first, so that an item can be both removed and added: its value is replaced.

        Raises:
            RequestError: an item is to be removed that the history does not have, and see
                `PersonalLists.fold_in`.
            UnknownItemError: see `PersonalLists.fold_in`.
        """
        present = {each.item_id for each in interactions}
        for item_id in removed:
            if item_id not in present:
                raise RequestError(
                    f"what_if removes item {item_id!r}, which the history does not have; "
                    "remove items of `interactions`"
                )
        gone = set(removed)
        edited = [*(each for each in interactions if each.item_id not in gone), *added]
        folds = [self._personal.folded(history, options) for history in (interactions, edited)]
        before, after = (self._personal.list_of(fold, options) for fold in folds)
        changes = self._changes(before, after, folds)
        return {
            "model_version": self._catalogue.version,
            "before": before,
            "after": after,
            "changes": changes,
        }

    def _changes(self, before: Body, after: Body, folds: Sequence[Folded]) -> list[Body]:
        """Ranks and scores of every item of either list, in the order of the later list."""
        ids = list(dict.fromkeys(item["item_id"] for answer in (after, before) for item in answer["items"]))
        rows = self._catalogue.items.to_internal(ids, missing="raise")
        changes: list[Body] = [{"item_id": item_id} for item_id in ids]
        by_id = dict(zip(ids, changes, strict=True))
        for when, answer, fold in (("before", before, folds[0]), ("after", after, folds[1])):
            for item in answer["items"]:
                by_id[item["item_id"]][f"rank_{when}"] = item["rank"]
            if fold.row is not None and answer["source"] == "fold_in":
                for change, score in zip(changes, self._scores(fold.row.vector, rows).tolist(), strict=True):
                    change[f"score_{when}"] = score
        for change in changes:
            for what in ("rank", "score"):
                if f"{what}_before" in change and f"{what}_after" in change:
                    change[f"{what}_change"] = change[f"{what}_after"] - change[f"{what}_before"]
        return changes

    def _scores(self, vector: Float32Array, rows: RowArray) -> Float32Array:
        """The scores of some items: float32, shape of `rows`; those of a list, to the bit."""
        scores: Float32Array = np.vecdot(self._item_factors[rows], self._rule.query(vector))
        shift = self._rule.shift(vector)
        return scores + np.float32(shift) if shift else scores
