"""What a family's row problem is: its g, w, t and ρ as a function of the observed values.

A rule is plain data. It is stored in the artifact's manifest, so whatever trained the factors, the service
folds in, explains and scores with exactly the convention that training used, and needs no trainer to do it.

=======================  ===  ===========  =================  ============
rule                     g   wᵢ           tᵢ                 ρ
=======================  ===  ===========  =================  ============
`UnobservedRule`         α₀  abs(cᵢ)      max(cᵢ, 0)         λ(α₀·N + n)^ν
`ImplicitRule`           1   abs(cᵢ) − 1  max(cᵢ, 0)         λ
`ExplicitRule`           0   1            rᵢ − μ − bᵢ        λ, or λ·n
`ProjectionRule`         1   0            rᵢ − μ − bᵢ − b̄    0
`ObliqueProjectionRule`  0   0            rᵢ                 1
`PopularityRule`         0   0            0                  1
`SVDPPRule`              0   1            rᵢ − μ − bᵢ − qᵢ·z  λ·n
`TimeSVDPPRule`          0   1            the same at its time  λ·n
`SparkImplicitRule`      1   α·abs(rᵢ)    1 + αrᵢ, or 0      λ·n₊
`SparkExplicitRule`      0   1            rᵢ                 λ·n
=======================  ===  ===========  =================  ============

(n: entries in the row, n₊: positive ones; N: rows of the fixed side; c: confidence of an entry.)

`KLRule` is no least squares; its row problem is in `models.row_solve.kl`.
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from models.row_rules.base import Convention, Duplicates, FixedSide, Rule
from models.row_rules.explicit import ExplicitRule
from models.row_rules.implicit import ImplicitRule
from models.row_rules.kl import KLRule
from models.row_rules.oblique_projection import PROJECTION, ObliqueProjectionRule
from models.row_rules.popularity import PopularityRule
from models.row_rules.projection import ProjectionRule
from models.row_rules.spark import SparkExplicitRule, SparkImplicitRule
from models.row_rules.svdpp import IMPLICIT_FACTORS, SVDPPRule
from models.row_rules.timesvdpp import BIN_BIASES, Periods, TimeSVDPPRule
from models.row_rules.unobserved import UnobservedRule
from models.row_rules.weighting import BM25Weighting, LinearWeighting, LogWeighting, Weighting

RowRule: TypeAlias = Annotated[
    ImplicitRule
    | UnobservedRule
    | ExplicitRule
    | ProjectionRule
    | SVDPPRule
    | TimeSVDPPRule
    | ObliqueProjectionRule
    | PopularityRule
    | KLRule
    | SparkImplicitRule
    | SparkExplicitRule,
    Field(discriminator="kind"),
]

__all__ = [
    "BIN_BIASES",
    "IMPLICIT_FACTORS",
    "PROJECTION",
    "BM25Weighting",
    "Convention",
    "Duplicates",
    "ExplicitRule",
    "FixedSide",
    "ImplicitRule",
    "KLRule",
    "LinearWeighting",
    "LogWeighting",
    "ObliqueProjectionRule",
    "Periods",
    "PopularityRule",
    "ProjectionRule",
    "RowRule",
    "Rule",
    "SVDPPRule",
    "SparkExplicitRule",
    "SparkImplicitRule",
    "TimeSVDPPRule",
    "UnobservedRule",
    "Weighting",
]
