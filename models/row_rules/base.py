"""What all rules have in common: the convention of a family's row problem, as data.

Biases are coordinates: where `biased`, the last coordinate of every factor row is that row's bias, and
score(u, j) = μ + b_u + b_j + p_u·q_j; otherwise score(u, j) = μ + p_u·q_j.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.row_solve import RowProblem, Rows
    from models.types import Float32Array, Float64Array, FloatArray, RowArray

Duplicates: TypeAlias = Literal["sum", "max", "last", "error"]


@dataclass(frozen=True, slots=True)
class FixedSide:
    """The side that is held fixed while rows of the other side are solved.

    Attributes:
        factors: float32, shape ``(n, D)``; the last coordinate is the bias where the rule is `biased`.
        arrays: what else a rule looks up per row, by name: float32, shape ``(n, …)``.
    """

    factors: Float32Array
    arrays: Mapping[str, FloatArray] = field(default_factory=dict)


class Convention(BaseModel):
    """How factor rows become scores, and what a history has to say: common to every kind of rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timed: ClassVar[bool] = False
    """Whether an entry's row of the design depends on when it happened, so that `observed` is its own."""

    gaussian: ClassVar[bool] = False
    """Whether a row is the mode of a Gaussian model of its targets, so that A says how sure it is."""

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
    def array_names(self) -> frozenset[str]:
        """The names in :attr:`FixedSide.arrays` that the rule looks up."""
        return frozenset()

    @property
    def predicts_values(self) -> bool:
        """Whether a score is a prediction of the value, rather than only a preference."""
        return self.biased or self.global_mean != 0

    # Items

    def design(self, side: FixedSide, items: RowArray | slice = slice(None)) -> FloatArray:
        """The rows of Q as the row problem sees them: shape ``(len(items), d)``."""
        if isinstance(items, slice):
            return side.factors[items]
        return side.factors.take(items, axis=0)  # twice as quick as by brackets

    # Scores

    def query(self, vector: Float32Array) -> Float32Array:
        """What items are ranked by the inner product with, for vectors ``(…, D)``: [p, 1] where biased."""
        if not self.biased:
            return vector
        query = vector.copy()
        query[..., -1] = 1
        return query

    def shift(self, vector: Float32Array) -> float:
        """What all scores of a factor row ``(D,)`` have in common, beside the inner product: μ + b_u."""
        return self.global_mean + (float(vector[-1]) if self.biased else 0.0)

    def without_bias(self, factors: Float32Array) -> Float32Array:
        """Factor rows, ``(n, D)`` or ``(D,)``, without the bias coordinate, as a view."""
        return factors[..., :-1] if self.biased else factors

    # Explanations: a score is its intercept, plus x_j times the solution, plus the offsets

    def asked(self, items: RowArray, rows: Rows, side: FixedSide) -> FloatArray:  # noqa: ARG002
        """x_j: what the solution of the one row in `rows` is multiplied with, shape ``(len(items), d)``."""
        return self.design(side, items)

    def offsets(self, items: RowArray, rows: Rows, side: FixedSide) -> Float64Array | None:  # noqa: ARG002
        """What each entry of the one row adds to scores past the solution: ``(len(items), n_entries)``."""
        return None

    def intercepts(self, items: RowArray, vector: Float32Array, side: FixedSide) -> Float64Array:  # noqa: ARG002
        """What no entry explains of the scores of `items`: μ and the items' biases, ``(len(items),)``.

        (The bias of a row is a coordinate of its solution, so the contributions hold it already.)
        """
        intercepts = np.full(len(items), self.global_mean)
        if self.biased:
            intercepts += side.factors[items, -1]
        return intercepts


class Rule(Convention):
    """A rule whose rows are least squares: g, w, t and ρ as a function of the observed entries."""

    gaussian: ClassVar[bool] = True
    uses_gram: ClassVar[bool] = True
    """Whether the problem's g is not 0, so that QᵀQ is needed."""

    @abstractmethod
    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows."""

    def observed(self, rows: Rows, side: FixedSide) -> FloatArray:
        """The design of each observed entry: shape ``(n_entries, d)``."""
        return self.design(side, rows.indices)

    def complete(self, solution: FloatArray, rows: Rows, side: FixedSide) -> FloatArray:  # noqa: ARG002
        """Factor rows ``(n_rows, D)`` from the row problem's solutions ``(n_rows, d)``."""
        return solution
