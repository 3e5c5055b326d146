"""What evaluation asks of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from models.row_solve import Rows
    from models.types import Float32Array, RowArray


class Ranker(Protocol):
    """Anything that scores items for people. `models.families.base.FittedModel` is one."""

    @property
    def predicts_values(self) -> bool:
        """Whether `predict` means the value, so that its error can be measured."""
        ...

    def score_users(self, users: RowArray) -> Float32Array:
        """Scores of all items for rows of the training set: a new array, shape ``(len(users), n_items)``."""
        ...

    def score_histories(self, histories: Rows) -> Float32Array:
        """Scores for people never seen, from their histories: a new array, ``(len(histories), n_items)``."""
        ...

    def predict(self, entries: Rows) -> Float32Array:
        """Predicted values of entries whose rows are those of the training set: shape ``(n_entries,)``."""
        ...
