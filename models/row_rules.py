"""What a family's row problem is: its g, w, t and ρ as a function of the observed values.

A rule is plain data. It is stored in the artifact's manifest, so whatever trained the factors, the service
folds in, explains and scores with exactly the convention that training used, and needs no trainer to do it.

======================  ===  ===========  =================  ============
rule                     g   wᵢ           tᵢ                 ρ
======================  ===  ===========  =================  ============
`ImplicitRule`           1   abs(cᵢ) − 1  max(cᵢ, 0)         λ
`ExplicitRule`           0   1            rᵢ − μ − bᵢ        λ, or λ·n
`ProjectionRule`         1   0            rᵢ − μ − bᵢ − b̄    0
======================  ===  ===========  =================  ============

(n: entries in the row; c: confidence of an entry.)

Biases are coordinates: where `biased`, the last coordinate of every factor row is that row's bias, and
score(u, j) = μ + b_u + b_j + p_u·q_j; otherwise score(u, j) = μ + p_u·q_j.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.row_solve import RowProblem

if TYPE_CHECKING:
    from models.row_solve import Rows
    from models.types import Float32Array, Float64Array, FloatArray


Duplicates: TypeAlias = Literal["sum", "max", "last", "error"]


@dataclass(frozen=True, slots=True)
class FixedSide:
    """The side that is held fixed while rows of the other side are solved.

    Attributes:
        factors: float32, shape ``(n, D)``; the last coordinate is the bias where the rule is `biased`.
        length_norms: BM25's length normalization of each row, float32, shape ``(n,)``; None for the other
            weightings.
    """

    factors: Float32Array
    length_norms: Float32Array | None = None


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    biased: bool = False
    global_mean: float = 0.0
    """μ, added where a score is shown; it shifts all scores alike."""
    needs_values: bool = False
    """Whether the table's values were ratings, so that an interaction without one says nothing."""
    duplicates: Duplicates = "last"
    """What several entries of one row with the same item come to, in the table and in a posted history."""

    def with_duplicates(self, duplicates: Duplicates) -> Self:
        """The same rule for a table whose duplicates were merged otherwise."""
        return self.model_copy(update={"duplicates": duplicates})

    @property
    def needs_length_norms(self) -> bool:
        """Whether the fixed side must come with BM25's length norms."""
        return False

    @property
    def predicts_values(self) -> bool:
        """Whether a score is a prediction of the value, rather than only a preference."""
        return self.biased or self.global_mean != 0

    def design(self, factors: FloatArray) -> FloatArray:
        """The matrix Q of the row problem, shape ``(n, d)``, from factor rows ``(n, D)``."""
        return factors

    def complete(self, solution: FloatArray, rows: Rows) -> FloatArray:  # noqa: ARG002
        """Factor rows ``(n_rows, D)`` from the row problem's solutions ``(n_rows, d)``."""
        return solution

    def query(self, vector: Float32Array) -> Float32Array:
        """What items are ranked by the inner product with, for a factor row ``(D,)``: [p, 1] where biased."""
        if not self.biased:
            return vector
        query = vector.copy()
        query[-1] = 1
        return query

    def shift(self, vector: Float32Array) -> float:
        """What all scores of a factor row ``(D,)`` have in common, beside the inner product: μ + b_u."""
        return self.global_mean + (float(vector[-1]) if self.biased else 0.0)

    def without_bias(self, factors: Float32Array) -> Float32Array:
        """Factor rows, ``(n, D)`` or ``(D,)``, without the bias coordinate, as a view."""
        return factors[..., :-1] if self.biased else factors


class LinearWeighting(BaseModel):
    """c = α·r."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["linear"] = "linear"

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:  # noqa: ARG002
        """Confidence before α, signed like r: float32, shape ``(n_entries,)``."""
        return rows.values


class LogWeighting(BaseModel):
    """c = α·log(1 + r/ε): Hu et al. 2008, eq. 6."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["log"] = "log"
    epsilon: float = Field(default=1.0, gt=0)

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:  # noqa: ARG002
        """Confidence before α, signed like r: float32, shape ``(n_entries,)``."""
        return np.sign(rows.values) * np.log1p(np.abs(rows.values) / np.float32(self.epsilon))


class BM25Weighting(BaseModel):
    """c = α·idf(u)·r(K₁ + 1) / (K₁·norm(i) + r), as `implicit`'s `bm25_weight` weighs items × users.

    norm(i) = 1 − B + B·(sum of item i's values)/(its mean over items) is stored with the artifact;
    idf(u) = max(log n_items − log(1 + n_u), 0) is known from the row itself. The clamp is ours: without it a
    user of every item would be said to dislike them all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["bm25"] = "bm25"
    k1: float = Field(default=100.0, gt=0)
    b: float = Field(default=0.8, ge=0, le=1)

    def length_norms(self, value_sums: Float64Array) -> Float32Array:
        """norm(i), float32, shape ``(n_items,)``, from the sum of each item's values."""
        mean = value_sums.mean()
        return ((1 - self.b) + self.b * value_sums / (mean if mean > 0 else 1.0)).astype(np.float32)

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:
        """Confidence before α, signed like r: float32, shape ``(n_entries,)``."""
        if side.length_norms is None:
            raise ValueError("BM25 weighting needs the length norms of the fixed side")
        size = np.abs(rows.values)
        denominator = self.k1 * side.length_norms[rows.indices] + size
        saturated = (
            size * (self.k1 + 1) / np.where(denominator > 0, denominator, 1)
        )  # 0/0 of a value of 0 is 0
        idf = np.maximum(np.log(len(side.factors)) - np.log1p(rows.lengths), 0.0)
        weighted: Float32Array = (np.sign(rows.values) * saturated * np.repeat(idf, rows.lengths)).astype(
            np.float32
        )
        return weighted


Weighting: TypeAlias = Annotated[LinearWeighting | LogWeighting | BM25Weighting, Field(discriminator="kind")]


class ImplicitRule(_Rule):
    """Implicit feedback with confidence c = α·weight(r), as `implicit` computes it.

    Convention: Hu, Koren and Volinsky write c = 1 + αr; `implicit` takes its input as c itself, so an
    observed entry adds (c − 1)·qqᵀ to QᵀQ. A negative value is a dislike: preference 0, confidence abs(c).
    """

    kind: Literal["implicit"] = "implicit"
    duplicates: Duplicates = "sum"
    alpha: float
    regularization: float
    weighting: Weighting = LinearWeighting()

    @property
    def needs_length_norms(self) -> bool:
        """Whether the fixed side must come with BM25's length norms."""
        return self.weighting.kind == "bm25"

    def confidence(self, rows: Rows, side: FixedSide) -> Float32Array:
        """c, signed like r: float32, shape ``(n_entries,)``."""
        return np.float32(self.alpha) * self.weighting.confidence(rows, side)

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        confidence = self.confidence(rows, side)
        return RowProblem(
            gram_weight=1.0,
            weights=np.abs(confidence) - 1,
            targets=np.maximum(confidence, 0),
            ridge=np.full(len(rows), self.regularization),
        )


class ExplicitRule(_Rule):
    """Explicit feedback with biases: r ≈ μ + b_u + b_i + p_u·q_i.

    Q is augmented by a column of ones, so that the row's own bias is one more coordinate of its solution.
    """

    kind: Literal["explicit"] = "explicit"
    biased: Literal[True] = True
    needs_values: Literal[True] = True
    regularization: float
    ridge: Literal["constant", "frequency"]
    """`constant`: ρ = λ. `frequency`: ρ = λ·n (Zhou et al. 2008)."""

    def design(self, factors: FloatArray) -> FloatArray:
        """[q, 1] for each factor row [q, b]."""
        augmented = factors.copy()
        augmented[:, -1] = 1
        return augmented

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        scale = rows.lengths if self.ridge == "frequency" else np.ones(len(rows))
        return RowProblem(
            gram_weight=0.0,
            weights=np.ones_like(rows.values),
            targets=rows.values
            - np.float32(self.global_mean)
            - side.factors[rows.indices, -1].astype(np.float32),
            ridge=self.regularization * scale.astype(np.float64),
        )


class ProjectionRule(_Rule):
    """Truncated SVD: a row is projected on orthonormal item factors, p = Vᵀx with x the centred values."""

    kind: Literal["projection"] = "projection"
    row_centred: bool = False
    """Whether the row's own mean is taken off first; it becomes the row's bias."""

    def design(self, factors: FloatArray) -> FloatArray:
        """V without the bias coordinate."""
        return factors[:, :-1] if self.biased else factors

    def row_means(self, rows: Rows) -> Float64Array:
        """b̄ of each row, float64, shape ``(n_rows,)``; zeros unless `row_centred`."""
        if not self.row_centred:
            return np.zeros(len(rows))
        sums = np.bincount(rows.row_numbers, weights=rows.values, minlength=len(rows))
        return sums / np.maximum(rows.lengths, 1)

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""
        centred = rows.values - np.float32(self.global_mean)
        if self.biased:
            centred = centred - side.factors[rows.indices, -1] - self.row_means(rows)[rows.row_numbers]
        return RowProblem(
            gram_weight=1.0,
            weights=np.zeros_like(rows.values),
            targets=centred.astype(np.float32),
            ridge=np.zeros(len(rows)),
        )

    def complete(self, solution: FloatArray, rows: Rows) -> FloatArray:
        """[p, b̄] for each solution p."""
        if not self.biased:
            return solution
        means = self.row_means(rows)[:, np.newaxis].astype(solution.dtype)
        return np.concatenate([solution, means], axis=1)


RowRule: TypeAlias = Annotated[ImplicitRule | ExplicitRule | ProjectionRule, Field(discriminator="kind")]
