"""Fold-in of an item that the model has never seen: the row problem of the other side.

With the users' factors P fixed, an item's row q is to its users what a user's row is to their items:

    A q = b,    A = g·PᵀP + Σᵤ wᵤ pᵤpᵤᵀ + ρ·I,    b = Σᵤ tᵤ pᵤ        (u over the item's users)

For most families g, w, t and ρ are those of training's item half-step, which are the user half-step's with
the sides exchanged. Where training has no such half-step, it is the problem whose solution the trained item
factors are, given the users': for truncated SVD, RᵀUΣ⁻¹ = Rᵀ P (PᵀP)⁻¹.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from models.fold_in import FoldIn
from models.row_rules import (
    BM25Weighting,
    ExplicitRule,
    FixedSide,
    ImplicitRule,
    KLRule,
    LinearWeighting,
    ObliqueProjectionRule,
    PopularityRule,
    ProjectionRule,
    SparkExplicitRule,
    SparkImplicitRule,
    SVDPPRule,
    TimeSVDPPRule,
    UnobservedRule,
)
from models.row_solve import Rows

if TYPE_CHECKING:
    from models.fold_in import FoldedRow
    from models.row_rules import RowRule
    from models.types import Float32Array


def item_rule(rule: RowRule) -> RowRule | None:
    """The convention of the items' rows, from that of the users'; None where items have no row problem.

    What users' vectors already hold stays in them: of SVD++ and timeSVD++ the part z and the moods, so that
    biased ridge regression is left.
    """
    match rule:
        case UnobservedRule() | ImplicitRule():
            return rule.model_copy(update={"weighting": LinearWeighting()})  # see `ItemFoldIn.weighed`
        case ExplicitRule() | KLRule() | SparkImplicitRule() | SparkExplicitRule():
            return rule
        case SVDPPRule() | TimeSVDPPRule():
            return ExplicitRule(
                global_mean=rule.global_mean, regularization=rule.regularization, ridge="frequency"
            )
        case ProjectionRule():
            # Of biased ones, the side that is centred by its own means is the other one.
            return rule.model_copy(update={"row_centred": rule.biased and not rule.row_centred})
        case ObliqueProjectionRule():
            return ProjectionRule()
        case PopularityRule():
            return None


class ItemFoldIn:
    """Solves rows of new items. What all of them share is computed when the first one comes.

    Args:
        rule: of the users' rows.
        user_factors: float32, shape ``(n_users, D)``.
        histories: of the users.
        n_items: items of the model.
    """

    def __init__(self, rule: RowRule, user_factors: Float32Array, histories: Rows, n_items: int) -> None:
        self._rule = rule
        self._user_factors = user_factors
        self._histories = histories
        self._n_items = n_items

    @property
    def is_possible(self) -> bool:
        """Whether items of the family have a row problem."""
        return item_rule(self._rule) is not None

    def solve(self, users: Rows) -> FoldedRow:
        """The row of one item from its users, a single row of users' numbers and values.

        Raises:
            SingularRowError: the values are so extreme that the row has no unique solution in float64.
        """
        return self._fold_in.solve(self.weighed(users))

    def weighed(self, users: Rows) -> Rows:
        """The item's users with their values weighted, where the rule weighs by user and item."""
        rule = self._rule
        if not isinstance(rule, UnobservedRule | ImplicitRule):
            return users
        weighting = rule.weighting
        if not isinstance(weighting, BM25Weighting):
            # What is weighted is one entry at a time, whichever side it is seen from.
            empty = FixedSide(np.empty((0, 0), dtype=np.float32))
            return Rows.one(users.indices, weighting.confidence(users, empty))
        size = np.abs(users.values).astype(np.float64)
        norm = (1 - weighting.b) + weighting.b * size.sum() / self._mean_value_sum
        saturated = size * (weighting.k1 + 1) / np.maximum(weighting.k1 * norm + size, np.finfo(float).tiny)
        idf = np.maximum(np.log(self._n_items) - np.log1p(self._histories.lengths[users.indices]), 0.0)
        return Rows.one(users.indices, (np.sign(users.values) * saturated * idf).astype(np.float32))

    @cached_property
    def _fold_in(self) -> FoldIn:
        rule = item_rule(self._rule)
        if rule is None:
            raise TypeError(f"items of a {self._rule.kind} rule have no row problem")
        return FoldIn(FixedSide(self._user_factors), rule)

    @cached_property
    def _mean_value_sum(self) -> float:
        """The mean over the items of the sum of their values' sizes, which BM25 measures lengths by."""
        total = np.abs(self._histories.values).sum(dtype=np.float64)
        return float(total / self._n_items) or 1.0
