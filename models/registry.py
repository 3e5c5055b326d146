"""The families by name: the one place that knows them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from models.errors import ConfigError
from models.families.als import ALS, ALSConfig
from models.families.funk_svd import FunkSVD, FunkSVDConfig
from models.families.ials import IALS, IALSConfig
from models.families.ials_implicit import IALSImplicit, IALSImplicitConfig
from models.families.nmf import NMF, NMFConfig
from models.families.svd import SVD, SVDConfig
from models.families.svdpp import SVDPP, SVDPPConfig
from models.families.timesvdpp import TimeSVDPP, TimeSVDPPConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from models.families.base import Family, FamilyConfig


@dataclass(frozen=True, slots=True)
class FamilyEntry:
    """A family's config class and how to make the family from it."""

    config: type[FamilyConfig]
    make: Callable[[Any], Family]


FAMILIES: dict[str, FamilyEntry] = {
    "als": FamilyEntry(ALSConfig, ALS),
    "funk_svd": FamilyEntry(FunkSVDConfig, FunkSVD),
    "ials": FamilyEntry(IALSConfig, IALS),
    "ials_implicit": FamilyEntry(IALSImplicitConfig, IALSImplicit),
    "nmf": FamilyEntry(NMFConfig, NMF),
    "svd": FamilyEntry(SVDConfig, SVD),
    "svdpp": FamilyEntry(SVDPPConfig, SVDPP),
    "timesvdpp": FamilyEntry(TimeSVDPPConfig, TimeSVDPP),
}


def configure(family: str, hyperparameters: Mapping[str, Any]) -> FamilyConfig:
    """Validate hyperparameters for a family.

    Raises:
        ConfigError: there is no such family, or a name or value is wrong; all of them are listed.
    """
    if family not in FAMILIES:
        raise ConfigError(f"there is no family {family!r}; the families are {', '.join(FAMILIES)}")
    config = FAMILIES[family].config
    try:
        return config.model_validate(hyperparameters)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}={detail['input']!r}: {detail['msg']}"
            for detail in error.errors()
        )
        names = ", ".join(config.model_fields)
        raise ConfigError(f"family {family}: {problems}. Its hyperparameters are {names}") from error
