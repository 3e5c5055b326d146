"""Kullback–Leibler factorization (NMF, PLSA): non-negative rows that explain where the interactions went.

Not least squares. With non-negative Q fixed, a row p ≥ 0 minimizes the divergence

    D = Σⱼ (p·qⱼ) − Σᵢ rᵢ log(p·qᵢ)        (j over all items, i over the row's observed entries)

which is convex; `models.row_solve.kl` solves it.
"""

from __future__ import annotations

from typing import Literal

from models.row_rules.base import Convention, Duplicates


class KLRule(Convention):
    """Values are amounts: counts, plays, ratings. What is negative says nothing, as if it were not there."""

    kind: Literal["kl"] = "kl"
    duplicates: Duplicates = "sum"
