"""The families by name: the one place that knows them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models.errors import ConfigError
from models.families.als import ALS, ALSConfig
from models.families.ease import EASE, EASEConfig
from models.families.funk_svd import FunkSVD, FunkSVDConfig
from models.families.hybrid_svd import HybridSVD, HybridSVDConfig
from models.families.ials import IALS, IALSConfig
from models.families.ials_implicit import IALSImplicit, IALSImplicitConfig
from models.families.item_knn import ItemKNN, ItemKNNConfig
from models.families.nmf import NMF, NMFConfig
from models.families.popularity import Popularity, PopularityConfig
from models.families.spark_mllib import SparkALS, SparkALSConfig, SparkIALS, SparkIALSConfig
from models.families.svd import SVD, SVDConfig
from models.families.svdpp import SVDPP, SVDPPConfig
from models.families.timesvdpp import TimeSVDPP, TimeSVDPPConfig
from models.row_rules import (
    ExplicitRule,
    ImplicitRule,
    KLRule,
    ObliqueProjectionRule,
    PopularityRule,
    ProjectionRule,
    SparkExplicitRule,
    SparkImplicitRule,
    SVDPPRule,
    TimeSVDPPRule,
    UnobservedRule,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.families.base import Family, FamilyConfig
    from models.families.item_to_item import Baseline
    from models.row_rules import Convention, Duplicates


@dataclass(frozen=True, slots=True)
class FamilyEntry:
    """A family's config class, how to make the family from it, and what it can do.

    Attributes:
        config: the class of its hyperparameters.
        make: makes the family.
        rule: the convention of its row problem.
        scores_unseen_items: whether items with metadata but without interactions get factors.
    """

    config: type[FamilyConfig]
    make: Callable[[Any], Family]
    rule: type[Convention]
    scores_unseen_items: bool = False

    @property
    def duplicates(self) -> Duplicates:
        """What several rows of one user and item come to, unless somebody says otherwise."""
        policy: Duplicates = self.rule.model_fields["duplicates"].default
        return policy


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """The same for a family that is evaluated only: its scores are no inner products of factors."""

    config: type[FamilyConfig]
    make: Callable[[Any], Baseline]


FAMILIES: dict[str, FamilyEntry] = {
    "als": FamilyEntry(ALSConfig, ALS, ExplicitRule),
    "funk_svd": FamilyEntry(FunkSVDConfig, FunkSVD, ExplicitRule),
    "hybrid_svd": FamilyEntry(HybridSVDConfig, HybridSVD, ObliqueProjectionRule, scores_unseen_items=True),
    "ials": FamilyEntry(IALSConfig, IALS, UnobservedRule),
    "ials_implicit": FamilyEntry(IALSImplicitConfig, IALSImplicit, ImplicitRule),
    "nmf": FamilyEntry(NMFConfig, NMF, KLRule),
    "popularity": FamilyEntry(PopularityConfig, Popularity, PopularityRule),
    "spark_als": FamilyEntry(SparkALSConfig, SparkALS, SparkExplicitRule),
    "spark_ials": FamilyEntry(SparkIALSConfig, SparkIALS, SparkImplicitRule),
    "svd": FamilyEntry(SVDConfig, SVD, ProjectionRule),
    "svdpp": FamilyEntry(SVDPPConfig, SVDPP, SVDPPRule),
    "timesvdpp": FamilyEntry(TimeSVDPPConfig, TimeSVDPP, TimeSVDPPRule),
}
BASELINES: dict[str, BaselineEntry] = {
    "ease": BaselineEntry(EASEConfig, EASE),
    "item_knn": BaselineEntry(ItemKNNConfig, ItemKNN),
}
EVALUATED: dict[str, FamilyEntry | BaselineEntry] = {**FAMILIES, **BASELINES}
"""All that can be fitted and judged."""


def check_served(family: str) -> None:
    """Refuse to make an artifact of a family that has none.

    Raises:
        ConfigError: the family is evaluated only.
    """
    if family in BASELINES:
        raise ConfigError(
            f"family {family} is evaluated only, not served: its scores are no inner products of factors; "
            f"use scripts.evaluate, or one of {', '.join(FAMILIES)}"
        )


def configure(family: str, hyperparameters: Mapping[str, Any]) -> FamilyConfig:
    """Validate hyperparameters for a family.

    Raises:
        ConfigError: there is no such family, or a name or value is wrong; all of them are listed.
    """
    if family not in EVALUATED:
        raise ConfigError(f"there is no family {family!r}; the families are {', '.join(EVALUATED)}")
    config = EVALUATED[family].config
    try:
        return config.model_validate(hyperparameters)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}={detail['input']!r}: {detail['msg']}"
            for detail in error.errors()
        )
        names = ", ".join(config.model_fields)
        raise ConfigError(f"family {family}: {problems}. Its hyperparameters are {names}") from error
