"""What a family's row problem is: its g, w, t and ρ as a function of the observed values.

A rule is plain data. It is stored in the artifact's manifest, so whatever trained the factors, the service
folds in, explains and scores with exactly the convention that training used, and needs no trainer to do it.

======================  ===  ===========  =================  ============
rule                     g   wᵢ           tᵢ                 ρ
======================  ===  ===========  =================  ============
`UnobservedRule`         α₀  abs(cᵢ)      max(cᵢ, 0)         λ(α₀·N + n)^ν
`ImplicitRule`           1   abs(cᵢ) − 1  max(cᵢ, 0)         λ
`ExplicitRule`           0   1            rᵢ − μ − bᵢ        λ, or λ·n
`ProjectionRule`         1   0            rᵢ − μ − bᵢ − b̄    0
`SVDPPRule`              0   1            rᵢ − μ − bᵢ − qᵢ·z  λ·n
`TimeSVDPPRule`          0   1            the same at its time  λ·n
======================  ===  ===========  =================  ============

(n: entries in the row; N: rows of the fixed side; c: confidence of an entry.)
"""

from typing import Annotated, TypeAlias

from pydantic import Field

from models.row_rules.base import Duplicates, FixedSide, Rule
from models.row_rules.explicit import ExplicitRule
from models.row_rules.implicit import ImplicitRule
from models.row_rules.projection import ProjectionRule
from models.row_rules.svdpp import IMPLICIT_FACTORS, SVDPPRule
from models.row_rules.timesvdpp import BIN_BIASES, Periods, TimeSVDPPRule
from models.row_rules.unobserved import UnobservedRule
from models.row_rules.weighting import BM25Weighting, LinearWeighting, LogWeighting, Weighting

RowRule: TypeAlias = Annotated[
    ImplicitRule | UnobservedRule | ExplicitRule | ProjectionRule | SVDPPRule | TimeSVDPPRule,
    Field(discriminator="kind"),
]

__all__ = [
    "BIN_BIASES",
    "IMPLICIT_FACTORS",
    "BM25Weighting",
    "Duplicates",
    "ExplicitRule",
    "FixedSide",
    "ImplicitRule",
    "LinearWeighting",
    "LogWeighting",
    "Periods",
    "ProjectionRule",
    "RowRule",
    "Rule",
    "SVDPPRule",
    "TimeSVDPPRule",
    "UnobservedRule",
    "Weighting",
]
