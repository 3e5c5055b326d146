"""Stochastic gradient descent, compiled, for the models of ratings funk_svd, svdpp and timesvdpp.

    r̂_ui(t) = μ + b_u + b_i + b_{i,Bin(t)} + b_{u,Period(t)} + α_u·dev_u(t) + q_i·(p_u + z_u)
    z_u = |N(u)|^(−½) Σ_{j ∈ N(u)} y_j

The models are nested: what a family leaves out is 0 and has a learning rate of 0. Each observed entry takes
one step down the gradient of

    (r − r̂)² + λ(|p_u|² + |q_i|² + b_u² + b_i² + α_u²) + λ_z|z_u|² + κ_u·b_{u,Period}²/m + κ_i·b_{i,Bin}²/m

(m: entries of the period or bin), so that a whole epoch regularizes a user of n entries by λn and a period by
κ_u: the row problem that closes the fit. z is regularized as the vector it is used as, rather than each y_j.

Users are visited in a random order, and their entries in a random order, by one thread: the result is a
function of the seed. While a user is visited z moves as if every y_j moved at once,

    y_j += η(e·n^(−½)·q_i − λ_z·n^(−½)·z)   for all n of j   ⇒   z += η(e·q_i − λ_z·z),

and the y_j follow when the visit ends. An entry costs O(d), where updating each y_j would cost O(n·d).

References:
    Koren: Factorization Meets the Neighborhood, KDD 2008, sec. 4.
    Koren: Collaborative Filtering with Temporal Dynamics, KDD 2009.
    Takács, Pilászy, Németh, Tikk: Scalable Collaborative Filtering Approaches for Large Recommender Systems,
    JMLR 2009, sec. 3.4 (y_j updated once per user).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
from pydantic import Field

from models.families.base import FamilyConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.dataset import Dataset
    from models.types import Float32Array, PointerArray, RowArray

_INITIAL_SCALE = 0.1


class SGDConfig(FamilyConfig):
    """Hyperparameters that the families trained by SGD share."""

    factors: int = Field(default=64, ge=1)
    """d, the length of a factor row without its bias."""
    iterations: int = Field(default=20, ge=1)
    """Passes over the entries."""
    learning_rate: float = Field(default=0.012, gt=0)
    """η of the first pass, for the factors."""
    bias_learning_rate: float = Field(default=0.006, gt=0)
    """η of the first pass, for the biases."""
    decay: float = Field(default=0.95, gt=0, le=1)
    """What the learning rates are multiplied with after each pass."""
    regularization: float = Field(default=0.06, gt=0)
    """λ; the ridge of a row of n entries is λ·n."""


class Entries(NamedTuple):
    """The training entries by user, with what a timed model knows of each.

    Attributes:
        indptr: int64, shape ``(n_users + 1,)``.
        items: int32, shape ``(n_entries,)``, as is all that follows.
        values: r, float32.
        drifts: dev_u(t), float32.
        periods: which bias of a user's period applies, int64.
        period_ridges: κ_u/m, float32.
        bins: which bias of an item's bin applies, int64.
        bin_ridges: κ_i/m, float32.
    """

    indptr: PointerArray
    items: RowArray
    values: Float32Array
    drifts: Float32Array
    periods: PointerArray
    period_ridges: Float32Array
    bins: PointerArray
    bin_ridges: Float32Array


class Parameters(NamedTuple):
    """All parameters, float32, in the equation's order; `epoch` changes them in place.

    Attributes:
        user_biases: b_u, shape ``(n_users,)``.
        drifts: α_u, shape ``(n_users,)``.
        period_biases: b_{u,Period}, shape ``(n_periods,)``.
        item_biases: b_i, shape ``(n_items,)``.
        bin_biases: b_{i,Bin}, shape ``(n_items · n_bins,)``.
        user_factors: p, shape ``(n_users, d)``.
        item_factors: q, shape ``(n_items, d)``.
        implicit_factors: y, shape ``(n_items, d)``.
    """

    user_biases: Float32Array
    drifts: Float32Array
    period_biases: Float32Array
    item_biases: Float32Array
    bin_biases: Float32Array
    user_factors: Float32Array
    item_factors: Float32Array
    implicit_factors: Float32Array


class Rates(NamedTuple):
    """Learning rates and ridges of one epoch, float32; a learning rate of 0 leaves a term out.

    Attributes:
        factors: η of p and q.
        implicit: η of z.
        biases: η of b_u and b_i.
        times: η of α_u, b_{u,Period} and b_{i,Bin}.
        ridge: λ.
        implicit_ridge: λ_z.
    """

    factors: np.float32
    implicit: np.float32
    biases: np.float32
    times: np.float32
    ridge: np.float32
    implicit_ridge: np.float32


def untimed_entries(dataset: Dataset) -> Entries:
    """The entries for a model that leaves time out."""
    rows = dataset.histories
    zeros, nowhere = np.zeros(len(rows.values), np.float32), np.zeros(len(rows.values), np.int64)
    return Entries(rows.indptr, rows.indices, rows.values, zeros, nowhere, zeros, nowhere, zeros)


def initial_parameters(
    shape: tuple[int, int], factors: int, rng: np.random.Generator, *, n_periods: int = 1, n_bins: int = 1
) -> Parameters:
    """Zeros, and small random factors p and q."""
    n_users, n_items = shape
    scale = _INITIAL_SCALE / np.sqrt(factors)
    return Parameters(
        user_biases=np.zeros(n_users, np.float32),
        drifts=np.zeros(n_users, np.float32),
        period_biases=np.zeros(n_periods, np.float32),
        item_biases=np.zeros(n_items, np.float32),
        bin_biases=np.zeros(n_items * n_bins, np.float32),
        user_factors=rng.normal(0, scale, (n_users, factors)).astype(np.float32),
        item_factors=rng.normal(0, scale, (n_items, factors)).astype(np.float32),
        implicit_factors=np.zeros((n_items, factors), np.float32),
    )


def descend(
    entries: Entries, parameters: Parameters, rates: Rates, decay: float, rng: np.random.Generator
) -> Iterator[float]:
    """Change the parameters epoch by epoch, without end; yields each one's mean squared error as it went."""
    mean = entries.values.mean(dtype=np.float64)
    shrink = np.float32(1)
    while True:
        now = rates._replace(
            factors=rates.factors * shrink,
            implicit=rates.implicit * shrink,
            biases=rates.biases * shrink,
            times=rates.times * shrink,
        )
        users = rng.permutation(len(entries.indptr) - 1)
        draws = rng.random(len(entries.items), dtype=np.float32)
        yield _epoch(users, draws, entries, parameters, now, np.float32(mean)) / len(entries.items)
        shrink *= np.float32(decay)


def item_rows(parameters: Parameters, dataset: Dataset) -> Float32Array:
    """[q, b] of each item, float32, shape ``(n_items, d + 1)``; zeros for an item without an entry."""
    rows = np.column_stack([parameters.item_factors, parameters.item_biases])
    rows[dataset.popularity() == 0] = 0
    return rows


@numba.njit(cache=True, fastmath=True)
def _epoch(
    users: Any,  # noqa: ANN401
    draws: Any,  # noqa: ANN401
    entries: Any,  # noqa: ANN401
    parameters: Any,  # noqa: ANN401
    rates: Any,  # noqa: ANN401
    mean: Any,  # noqa: ANN401
) -> float:
    """One step for every entry; returns the sum of squared errors, each taken before its step."""
    n_factors = parameters.item_factors.shape[1]
    z, before = np.zeros(n_factors, np.float32), np.zeros(n_factors, np.float32)
    order = np.empty(len(entries.items), np.int64)
    total = 0.0
    for user in users:
        start, end = entries.indptr[user], entries.indptr[user + 1]
        _shuffle(order, draws, start, end)
        if rates.implicit > 0:
            _gather(parameters.implicit_factors, entries.items[start:end], before)
            z[:] = before
        for entry in order[start:end]:
            error = _step(user, entry, entries, parameters, rates, mean, z)
            total += error * error
        if rates.implicit > 0:
            _scatter(parameters.implicit_factors, entries.items[start:end], z, before)
    return total


@numba.njit(cache=True)
def _shuffle(order: Any, draws: Any, start: Any, end: Any) -> None:  # noqa: ANN401
    """Fill ``order[start:end]`` with its own positions at random, from the inside out."""
    for position in range(start, end):
        other = start + int(draws[position] * (position - start + 1))
        order[position] = order[other]
        order[other] = position


@numba.njit(cache=True, fastmath=True)
def _gather(y: Any, items: Any, z: Any) -> None:  # noqa: ANN401
    """Fill z with n^(−½) Σ y_j."""
    z[:] = 0
    for item in items:
        for k in range(len(z)):
            z[k] += y[item, k]
    z /= np.float32(np.sqrt(max(len(items), 1)))


@numba.njit(cache=True, fastmath=True)
def _scatter(y: Any, items: Any, z: Any, before: Any) -> None:  # noqa: ANN401
    """Move every y_j alike, such that n^(−½) Σ y_j moves from `before` to z."""
    step = (z - before) / np.float32(np.sqrt(max(len(items), 1)))
    for item in items:
        for k in range(len(step)):
            y[item, k] += step[k]


@numba.njit(cache=True, fastmath=True)
def _step(
    user: Any,  # noqa: ANN401
    entry: Any,  # noqa: ANN401
    entries: Any,  # noqa: ANN401
    parameters: Any,  # noqa: ANN401
    rates: Any,  # noqa: ANN401
    mean: Any,  # noqa: ANN401
    z: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """One step of one entry; returns e, the error before it."""
    b_u, alpha, b_period, b_i, b_bin, p, q, _ = parameters
    item, drift = entries.items[entry], entries.drifts[entry]
    period, time_bin = entries.periods[entry], entries.bins[entry]
    inner = np.float32(0)
    for k in range(len(z)):
        inner += (p[user, k] + z[k]) * q[item, k]
    biases = b_u[user] + b_i[item] + b_bin[time_bin] + b_period[period] + alpha[user] * drift
    error = entries.values[entry] - mean - biases - inner
    b_u[user] += rates.biases * (error - rates.ridge * b_u[user])
    b_i[item] += rates.biases * (error - rates.ridge * b_i[item])
    alpha[user] += rates.times * (error * drift - rates.ridge * alpha[user])
    b_period[period] += rates.times * (error - entries.period_ridges[entry] * b_period[period])
    b_bin[time_bin] += rates.times * (error - entries.bin_ridges[entry] * b_bin[time_bin])
    for k in range(len(z)):
        p_k, q_k, z_k = p[user, k], q[item, k], z[k]
        p[user, k] += rates.factors * (error * q_k - rates.ridge * p_k)
        q[item, k] += rates.factors * (error * (p_k + z_k) - rates.ridge * q_k)
        z[k] += rates.implicit * (error * q_k - rates.implicit_ridge * z_k)
    return error
