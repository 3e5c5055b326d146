"""EASE: a linear model from items to items in closed form. Evaluated only.

Minimizes |X − XB|² + λ|B|² with the diagonal of B held at 0, where x = 1 for a positive value. With
P = (XᵀX + λI)⁻¹ the solution is B = I − P·diag(1/P).

References:
    Steck: Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, eq. 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field
from scipy.linalg import inv

from models.errors import DataError
from models.families.base import FamilyConfig, check_cpu, silent
from models.families.item_to_item import ItemToItemModel, as_table

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from models.dataset import Dataset
    from models.families.base import Device, Progress
    from models.types import Float64Array

MOST_ITEMS = 20_000
"""Of which the matrix to be inverted takes 3.2 GB."""
_BLOCK = 1_024


class EASEConfig(FamilyConfig):
    """Hyperparameters of EASE."""

    regularization: float = Field(default=500.0, gt=0)
    """λ."""


class EASE:
    """Embarrassingly shallow autoencoder."""

    def __init__(self, config: EASEConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("ease", device)
        n_items = dataset.shape[1]
        if n_items > MOST_ITEMS:
            raise DataError(
                f"family ease inverts a matrix of all pairs of items, for {MOST_ITEMS:,} items at most, but "
                f"there are {n_items:,}; raise --min-item-interactions, or evaluate item_knn"
            )

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,  # noqa: ARG002
        progress: Progress = silent,  # noqa: ARG002
        device: Device = "cpu",
    ) -> ItemToItemModel:
        """Invert; see `models.families.item_to_item.Baseline.fit`."""
        self.check(dataset, device=device)
        n_items = dataset.shape[1]
        gram = _gram(as_table(dataset.histories, n_items, binary=True))
        gram.flat[:: n_items + 1] += self.config.regularization
        inverse = inv(gram, overwrite_a=True, check_finite=False, assume_a="pos")
        weights = np.divide(inverse, -np.diag(inverse), out=inverse)
        np.fill_diagonal(weights, 0)
        return ItemToItemModel(weights.astype(np.float32), dataset.histories, binary=True)


def _gram(table: csr_matrix) -> Float64Array:
    """XᵀX, float64, shape ``(n_items, n_items)``, by blocks of columns: sparse, the whole would be larger."""
    columns = table.tocsc().astype(np.float64)
    gram = np.empty((table.shape[1], table.shape[1]))
    for start in range(0, table.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        gram[block] = (columns[:, block].T @ columns).toarray()
    return gram
