"""Judge a fit by the entries that were held out of its training table, beside a list of bestsellers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from models.evaluation.measures import errors
from models.evaluation.uncertainty import normal_interval
from models.metrics import ranking_metrics_by_user, root_mean_squared_error

if TYPE_CHECKING:
    from pydantic import JsonValue

    from models.dataset import Dataset
    from models.families.base import FittedModel
    from models.row_solve import Rows
    from models.types import Float64Array, FloatArray, RowArray

LEVEL: Final = 0.95
"""Of the intervals."""


def judged(model: FittedModel, training: Dataset, hidden: Rows, k: int) -> dict[str, JsonValue]:
    """Measure nDCG and recall of a model and of popularity, RMSE where values are predicted, with intervals.

    Intervals are normal, over users (`models.evaluation.uncertainty.normal_interval`). They tell what other
    users would change, not what another split or another seed would. There are none of fewer than two users.

    Args:
        model: fitted on `training`.
        training: what it has seen.
        hidden: entries of the same users that it has not.
        k: length of the lists.
    """
    popularity = training.popularity().astype(np.float32)

    def by_popularity(users: RowArray) -> FloatArray:
        return np.tile(popularity, (len(users), 1))

    metrics: dict[str, JsonValue] = {}
    intervals: dict[str, JsonValue] = {}
    for name, score in (("model", model.score_users), ("popularity", by_popularity)):
        by_user = ranking_metrics_by_user(score, training.histories, hidden, k)
        metrics[name] = {metric: _mean(values) for metric, values in by_user.items()}
        intervals[name] = {
            metric: np.clip(interval, 0, 1).tolist()
            for metric, values in by_user.items()
            if (interval := normal_interval(values, np.ones(len(values)), LEVEL))
        }
    if model.predicts_values:
        predicted = model.predict(hidden)
        metrics["rmse"] = root_mean_squared_error(predicted, hidden.values)
        squared, counts = errors(predicted, hidden.values, hidden.row_numbers, len(hidden))["rmse"]
        interval = normal_interval(squared[counts > 0], counts[counts > 0], LEVEL)
        if interval:
            intervals["rmse"] = np.sqrt(np.maximum(interval, 0)).tolist()
    return {**metrics, "intervals": {"level": LEVEL, **intervals}}


def _mean(values: Float64Array) -> float:
    return float(values.mean()) if len(values) else float("nan")
