"""The two row problems of Spark MLlib's ALS, as `pyspark.ml.recommendation.ALS` solves them.

References:
    `computeFactors` in Spark's mllib/src/main/scala/org/apache/spark/ml/recommendation/ALS.scala (4.1):
    confidence 1 + α·abs(r), preference 1 for r > 0 and 0 otherwise, and "weight lambda by the number of
    explicit ratings based on the ALS-WR paper", of which a value that is not positive is none where feedback
    is implicit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from models.row_rules.base import Duplicates, Rule
from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import Rows
    from models.types import PointerArray


class SparkImplicitRule(Rule):
    """Implicit feedback: g = 1, w = α·abs(r), t = 1 + α·r if r > 0 else 0, ρ = λ·(entries with r > 0).

    A row without a positive value is 0 whatever its ridge is. Spark's is 0 then; ours is λ, so that the row's
    matrix is definite.
    """

    kind: Literal["spark_implicit"] = "spark_implicit"
    duplicates: Duplicates = "sum"
    alpha: float
    regularization: float

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:  # noqa: ARG002
        """g, w, t and ρ of the given rows."""
        scaled = np.float32(self.alpha) * rows.values
        liked = rows.values > 0
        return RowProblem(
            gram_weight=1.0,
            weights=np.abs(scaled),
            targets=np.where(liked, 1 + scaled, np.float32(0)),
            ridge=self.regularization * np.maximum(_counts(rows, liked), 1).astype(np.float64),
        )


class SparkExplicitRule(Rule):
    """Ratings without biases: g = 0, w = 1, t = r, ρ = λ·n (Zhou et al. 2008)."""

    uses_gram: ClassVar[bool] = False

    kind: Literal["spark_explicit"] = "spark_explicit"
    needs_values: Literal[True] = True
    regularization: float

    @property
    def predicts_values(self) -> bool:
        """A score is a rating."""
        return True

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:  # noqa: ARG002
        """g, w, t and ρ of the given rows."""
        return RowProblem(
            gram_weight=0.0,
            weights=np.ones_like(rows.values),
            targets=rows.values,
            ridge=self.regularization * np.maximum(rows.lengths, 1).astype(np.float64),
        )


def _counts(rows: Rows, counted: np.ndarray) -> PointerArray:
    """How many of each row's entries are counted: int64, shape ``(n_rows,)``."""
    running = np.concatenate([[0], np.cumsum(counted)])
    counts: PointerArray = running[rows.indptr[1:]] - running[rows.indptr[:-1]]
    return counts
