"""Answers about one user and one item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.answers.catalogue import Catalogue
    from app.answers.options import Body
    from app.snapshot import Snapshot


class Pairs:
    """Scores of pairs."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue) -> None:
        self._artifact = snapshot.artifact
        self._rule = snapshot.manifest.row_rule
        self._catalogue = catalogue

    def predict(self, user_id: str, item_id: str) -> Body:
        """The predicted rating or preference of one pair.

        Raises:
            UnknownUserError: there is no such user.
            UnknownItemError: there is no such item.
        """
        vector = self._artifact.user_factors[self._catalogue.user_row(user_id)]
        item = self._artifact.item_factors[self._catalogue.item_row(item_id)]
        score = float(np.vecdot(item, self._rule.query(vector)) + np.float32(self._rule.shift(vector)))
        return {
            "model_version": self._catalogue.version,
            "user_id": user_id,
            "item_id": item_id,
            "score": score,
        }

    def predict_many(self, pairs: Sequence[tuple[str, str]]) -> Body:
        """The predictions of many pairs, in order; all ids must be known, see `predict`."""
        results = [self.predict(user_id, item_id) for user_id, item_id in pairs]
        return {"model_version": self._catalogue.version, "results": results}
