"""Non-negative matrix factorization with the Kullback–Leibler loss, by scikit-learn.

Minimizes Σ_ui d(x_ui, p_u·q_i) over p, q ≥ 0 and every cell, d(x, y) = x log(x/y) − x + y, by multiplicative
updates. The columns of Q are then scaled to sum to 1, which makes it PLSA: q_ik is P(i|k), the share that
item i has in factor k, and p_uk is the amount of the user's interactions that the factor explains. The last
half-step, over users, is our own and goes on to the minimum.

References:
    Lee, Seung: Algorithms for Non-negative Matrix Factorization, NIPS 2000 (the updates).
    Hofmann: Unsupervised Learning by Probabilistic Latent Semantic Analysis, Machine Learning 42, 2001.
    Gaussier, Goutte: Relation between PLSA and NMF and Implications, SIGIR 2005.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix
from scipy.special import xlogy
from sklearn.decomposition import non_negative_factorization
from threadpoolctl import threadpool_limits

from models.errors import DataError
from models.families.base import (
    FamilyConfig,
    FittedModel,
    LossWatch,
    check_cpu,
    check_factors,
    check_not_all_zero,
    closing_sweep,
    silent,
)
from models.metrics import predict_entries
from models.row_rules import FixedSide, KLRule
from models.row_solve import inverse_sums

if TYPE_CHECKING:
    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.row_solve import Rows
    from models.types import FloatArray


class NMFConfig(FamilyConfig):
    """Hyperparameters of non-negative matrix factorization."""

    factors: int = Field(default=40, ge=1)
    """d, the length of a factor row."""
    iterations: int = Field(default=50, ge=1)
    """Multiplicative updates of users and items."""


class NMF:
    """Non-negative matrix factorization with the Kullback–Leibler loss."""

    def __init__(self, config: NMFConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("nmf", device)
        check_not_all_zero("nmf", dataset)
        _check_amounts(dataset)
        check_factors(self.config.factors, dataset.shape)

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,
        progress: Progress = silent,
        device: Device = "cpu",
    ) -> FittedModel:
        """Factorize; see `models.families.base.Family.fit`."""
        config = self.config
        self.check(dataset, device=device)
        histories = dataset.histories
        table = csr_matrix((histories.values, histories.indices, histories.indptr), shape=dataset.shape)
        scale = np.sqrt(table.mean(dtype=np.float64) / config.factors)
        users, items = (
            np.abs(rng.normal(0, scale, (n, config.factors))).astype(np.float32) for n in dataset.shape
        )
        transposed = np.ascontiguousarray(items.T)
        watch = LossWatch(config.iterations, progress)
        # BLAS on many threads would spend its time waiting: the products are small.
        with threadpool_limits(limits=1, user_api="blas"):
            for _ in range(config.iterations):
                users, transposed, _ = non_negative_factorization(
                    table,
                    users,
                    transposed,
                    init="custom",
                    solver="mu",
                    beta_loss="kullback-leibler",
                    max_iter=1,
                    tol=0,
                )
                watch.record(_divergence(histories, users, transposed.T))
        shares = transposed.T * inverse_sums(transposed.T)
        rule = KLRule()
        fixed = FixedSide(np.ascontiguousarray(shares, dtype=np.float32))
        return FittedModel(rule, closing_sweep(rule, histories, fixed), fixed, watch.losses)


def _check_amounts(dataset: Dataset) -> None:
    """Refuse what is no amount.

    Raises:
        DataError: a value is negative.
    """
    histories = dataset.histories
    least = int(histories.values.argmin())
    if histories.values[least] < 0:
        user = dataset.users.external(int(histories.row_numbers[least]))
        item = dataset.items.external(int(histories.indices[least]))
        raise DataError(
            f"family nmf takes amounts, such as counts or ratings from 0 up, but user {user!r} has "
            f"{histories.values[least]:g} for item {item!r}; leave negative values out, or use family ials"
        )


def _divergence(histories: Rows, users: FloatArray, items: FloatArray) -> float:
    """The Kullback–Leibler divergence of the whole table, per observed entry."""
    explained = np.maximum(predict_entries(users, items, histories, biased=False), np.finfo(np.float32).tiny)
    values = histories.values
    everywhere = users.sum(axis=0, dtype=np.float64) @ items.sum(axis=0, dtype=np.float64)
    observed = xlogy(values, values / explained).sum(dtype=np.float64) - values.sum(dtype=np.float64)
    divergence = observed + everywhere
    return float(divergence / len(values))
