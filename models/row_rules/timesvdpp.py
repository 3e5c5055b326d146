"""timeSVD++: SVD++ whose biases move with time.

r(t) ≈ μ + b_{i,Bin(t)} + b_u + α_u·dev_u(t) + b_{u,Period(t)} + q_i·(p_u + z_u)
dev_u(t) = γ·sign(t − t̄_u)·|t − t̄_u|^β,    t̄_u the mean time of the row's entries, in days

Items have a bias per time bin. A row's own parameters are all linear, so that its problem is closed: p_u,
b_u and α_u are the coordinates of the solution against the entries' x = [q_i, 1, dev_u(t)], and the biases of
the row's periods, whose ridge is κ, are eliminated. Minimizing over the bias b of a period with m entries,

    min_b Σ (e − b)² + κb² = |W e|²,    W = I − c·11ᵀ/m,    c = 1 − √(κ/(m + κ)),    at b = Σ e/(m + κ),

so that x and t are multiplied by W within each period, and what is left is the plain row problem.

A vector serves the time of the row's last entry: [p + z, b_u + α_u·dev_u(t_last) + b_{u,Period(t_last)}].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from models.metrics import predict_entries
from models.row_rules.svdpp import ImplicitPartRule

if TYPE_CHECKING:
    from models.row_rules.base import FixedSide
    from models.row_solve import RowProblem, Rows
    from models.types import BoolArray, Float32Array, Float64Array, FloatArray, PointerArray, RowArray

BIN_BIASES: Final = "bin_biases"
"""An item's bias by time bin, float32, shape ``(n_items, n_bins)``; the last is also its factors' bias."""

_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Periods:
    """The entries of each row, grouped by the period that they fall into.

    Attributes:
        rows: the row of each group, ascending, shape ``(n_groups,)``.
        numbers: the period of each group, ascending within a row, shape ``(n_groups,)``.
        sizes: entries of each group, shape ``(n_groups,)``.
        of_entry: the group of each entry, shape ``(n_entries,)``.
        order: the entries sorted by group, shape ``(n_entries,)``.
    """

    rows: RowArray
    numbers: PointerArray
    sizes: PointerArray
    of_entry: PointerArray
    order: PointerArray

    @classmethod
    def of(cls, entries: Rows, seconds: int) -> Periods:
        """Group by periods of `seconds`."""
        rows, numbers = entries.row_numbers, times_of(entries) // seconds
        order = np.lexsort((numbers, rows))
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(rows[order]) != 0) | (np.diff(numbers[order]) != 0)
        of_entry = np.empty(len(order), dtype=np.int64)
        of_entry[order] = np.cumsum(first) - 1
        starts = order[first]
        sizes = np.bincount(of_entry, minlength=len(starts))
        return cls(rows[starts], numbers[starts], sizes, of_entry, order)

    def sums(self, values: FloatArray) -> FloatArray:
        """The sum over each group of ``(n_entries, …)``: shape ``(n_groups, …)``."""
        sums: FloatArray = np.add.reduceat(values[self.order], np.cumsum(self.sizes) - self.sizes, axis=0)
        return sums

    @property
    def last(self) -> BoolArray:
        """Whether a group is the last of its row: shape ``(n_groups,)``."""
        last = np.ones(len(self.rows), dtype=bool)
        last[:-1] = np.diff(self.rows) != 0
        return last

    def find(self, rows: RowArray, numbers: PointerArray) -> tuple[PointerArray, BoolArray]:
        """The group of each row and period asked for, and whether there is one."""
        known = np.rec.fromarrays([self.rows, self.numbers])
        asked = np.rec.fromarrays([rows, numbers], dtype=known.dtype)
        groups = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        return groups, known[groups] == asked


class TimeSVDPPRule(ImplicitPartRule):
    """timeSVD++ (Koren 2009): per-entry designs, because a row's drift depends on when."""

    timed: ClassVar[bool] = True

    kind: Literal["timesvdpp"] = "timesvdpp"
    drift_power: float
    """β."""
    drift_scale: float
    """γ: the drift's coordinate shares the ridge of the others, so its unit says how far it may go."""
    period_seconds: int
    """Length of the periods in which a row has a bias of its own."""
    period_regularization: float
    """κ."""
    bin_edges: tuple[int, ...]
    """Seconds since the epoch at which a new bin of the items' biases begins."""

    @property
    def array_names(self) -> frozenset[str]:
        """Looks up y, and the items' biases by bin."""
        return super().array_names | {BIN_BIASES}

    def bins(self, times: PointerArray) -> PointerArray:
        """The bin that each time falls into; before the first edge it is 0, after the last the last."""
        return np.searchsorted(np.array(self.bin_edges, dtype=np.int64), times, side="right")

    def drift(self, times: PointerArray, rows: RowArray, of: Rows) -> Float32Array:
        """The dev of `times` in the given `rows` of the histories `of`: float32, shape of `times`."""
        numbers, lengths = of.row_numbers, np.maximum(of.lengths, 1)
        first = np.full(len(of), np.iinfo(np.int64).max)
        np.minimum.at(first, numbers, times_of(of))
        since_first = times_of(of).astype(np.float64) - first[numbers]
        means = np.bincount(numbers, weights=since_first, minlength=len(of)) / lengths
        days = (times.astype(np.float64) - first[rows] - means[rows]) / _DAY
        drift: Float64Array = self.drift_scale * np.sign(days) * np.abs(days) ** self.drift_power
        return drift.astype(np.float32)

    # The row problem

    def observed(self, rows: Rows, side: FixedSide) -> FloatArray:
        """W[q, 1, dev] of each observed entry."""
        return self._whitened(self._entries(rows, side), self._periods(rows))

    def problem(self, rows: Rows, side: FixedSide) -> RowProblem:
        """g, w, t and ρ of the given rows; t is whitened like x."""
        return self.explicit_problem(rows, self._whitened(self._targets(rows, side), self._periods(rows)))

    def complete(self, solution: FloatArray, rows: Rows, side: FixedSide) -> FloatArray:
        """[p + z, the bias at the row's last entry] for each solution [p, b, α]."""
        completed = np.empty((len(rows), solution.shape[1] - 1), dtype=solution.dtype)
        completed[:, :-1] = solution[:, :-2] + self.implicit_part(rows, side)
        completed[:, -1] = solution[:, -2] + solution[:, -1] * self._last_drift(rows)
        periods = self._periods(rows)
        completed[periods.rows[periods.last], -1] += self.period_biases(solution, rows, side)[periods.last]
        return completed

    # Parameters of the periods, and predictions at an entry's own time

    def period_biases(self, solution: FloatArray, rows: Rows, side: FixedSide) -> Float64Array:
        """b_{u,Period} of each group of :class:`Periods`: float64, shape ``(n_groups,)``."""
        residuals = self._targets(rows, side) - self._along(solution, rows, rows, side)
        periods = self._periods(rows)
        biases: Float64Array = periods.sums(residuals.astype(np.float64)) / (
            periods.sizes + self.period_regularization
        )
        return biases

    def predict(self, solution: FloatArray, histories: Rows, entries: Rows, side: FixedSide) -> Float32Array:
        """r̂ of `entries` at their own times, given the histories of the same rows: ``(n_entries,)``."""
        predicted = self._along(solution, entries, histories, side) + np.float32(self.global_mean)
        predicted += self._item_biases(entries, side)
        predicted += predict_entries(self.implicit_part(histories, side), side.factors, entries, biased=False)
        periods = self._periods(histories)
        groups, known = periods.find(entries.row_numbers, times_of(entries) // self.period_seconds)
        biases = self.period_biases(solution, histories, side)
        predicted[known] += biases[groups[known]].astype(np.float32)
        return predicted

    # Explanations

    def asked(self, items: RowArray, rows: Rows, side: FixedSide) -> FloatArray:
        """x_j at the row's last entry, less what the solution takes from the bias of the last period."""
        asked = self._augmented(items, np.repeat(self._last_drift(rows), len(items)), side)
        taken = self._in_last_period(rows) @ self._entries(rows, side)
        return asked - taken.astype(np.float32)

    def offsets(self, items: RowArray, rows: Rows, side: FixedSide) -> Float64Array:
        """The part of z, and of the last period's bias before the solution is taken from it."""
        return super().offsets(items, rows, side) + self._in_last_period(rows) * self._targets(rows, side)

    def _in_last_period(self, rows: Rows) -> Float64Array:
        """1/(m + κ) of the one row's entries in its last period, 0 of the others."""
        periods = self._periods(rows)
        shares = periods.last / (periods.sizes + self.period_regularization)
        return np.asarray(shares[periods.of_entry], dtype=np.float64)

    # Parts of both

    def _periods(self, rows: Rows) -> Periods:
        return Periods.of(rows, self.period_seconds)

    def _whitened(self, values: Float32Array, periods: Periods) -> Float32Array:
        """W times ``(n_entries, …)``, within each period."""
        kappa = self.period_regularization
        shares = ((1 - np.sqrt(kappa / (periods.sizes + kappa))) / periods.sizes).astype(np.float32)
        whitened: Float32Array = values - (periods.sums(values).T * shares).T[periods.of_entry]
        return whitened

    def _entries(self, rows: Rows, side: FixedSide) -> Float32Array:
        return self._augmented(rows.indices, self.drift(times_of(rows), rows.row_numbers, rows), side)

    def _augmented(self, items: RowArray, drift: Float32Array, side: FixedSide) -> Float32Array:
        """[q, 1, dev] of each item at its drift."""
        augmented = np.ones((len(items), side.factors.shape[1] + 1), dtype=np.float32)
        augmented[:, :-2] = self.without_bias(side.factors[items])
        augmented[:, -1] = drift
        return augmented

    def _targets(self, rows: Rows, side: FixedSide) -> Float32Array:
        return self.unexplained(rows, side, self._item_biases(rows, side))

    def _item_biases(self, rows: Rows, side: FixedSide) -> Float32Array:
        return np.asarray(side.arrays[BIN_BIASES][rows.indices, self.bins(times_of(rows))], np.float32)

    def _along(self, solution: FloatArray, entries: Rows, histories: Rows, side: FixedSide) -> Float32Array:
        """x·[p, b, α] of each entry: float32, shape ``(n_entries,)``."""
        rows = entries.row_numbers
        along = predict_entries(solution[:, :-2], side.factors, entries, biased=False)
        drift = self.drift(times_of(entries), rows, histories)
        along += (solution[rows, -2] + solution[rows, -1] * drift).astype(np.float32)
        return along

    def _last_drift(self, rows: Rows) -> Float32Array:
        """The dev at each row's last entry: float32, shape ``(n_rows,)``; 0 for an empty row."""
        last = np.full(len(rows), np.iinfo(np.int64).min)
        np.maximum.at(last, rows.row_numbers, times_of(rows))
        known = np.flatnonzero(rows.lengths).astype(np.int32)
        drift = np.zeros(len(rows), dtype=np.float32)
        drift[known] = self.drift(last[known], known, rows)
        return drift


def times_of(rows: Rows) -> PointerArray:
    """The entries' times, which a timed rule cannot do without."""
    if rows.times is None:
        raise ValueError("a timed rule needs the entries' times")
    return rows.times
