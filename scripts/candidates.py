"""Families and recipes as models that can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluation.comparison import Candidate
from models.registry import EVALUATED, configure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.dataset import Dataset
    from models.evaluation.ranker import Ranker


def candidate(name: str, family: str, hyperparameters: Mapping[str, Any], seed: int) -> Candidate:
    """A family with hyperparameters, under a name.

    Raises:
        ConfigError: there is no such family, or a hyperparameter is wrong.
    """
    config = configure(family, hyperparameters)

    def fit(training: Dataset, progress: Any) -> Ranker:  # noqa: ANN401 - families.base.Progress
        made = EVALUATED[family].make(config)
        return made.fit(training, rng=np.random.default_rng(seed), progress=progress)

    all_alike = family == "popularity"
    return Candidate(name, fit, family, config.model_dump(mode="json"), compares_items=not all_alike)
