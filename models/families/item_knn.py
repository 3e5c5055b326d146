"""Item-based nearest neighbours by cosine, TF-IDF or BM25, from the `implicit` package. Evaluated only.

References:
    Sarwar, Karypis, Konstan, Riedl: Item-Based Collaborative Filtering Recommendation Algorithms, WWW 2001.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize, tfidf_weight
from pydantic import Field
from scipy.sparse import csr_matrix

from models.families.base import FamilyConfig, check_cpu, silent
from models.families.item_to_item import ItemToItemModel, as_table

if TYPE_CHECKING:
    import numpy as np

    from models.dataset import Dataset
    from models.families.base import Device, Progress

_K1, _B = 1.2, 0.75
"""How soon BM25 saturates, and how much it makes of an item's length: the values usual in text retrieval."""


class ItemKNNConfig(FamilyConfig):
    """Hyperparameters of item-based nearest neighbours."""

    similarity: Literal["cosine", "tfidf", "bm25"] = "cosine"
    """How two items' columns are compared."""
    neighbours: int = Field(default=50, ge=1)
    """How many of the most similar items an item is scored by."""


class ItemKNN:
    """Item-based nearest neighbours."""

    def __init__(self, config: ItemKNNConfig) -> None:
        self.config = config

    def check(self, dataset: Dataset, *, device: Device = "cpu") -> None:  # noqa: ARG002
        """Refuse a dataset; see `models.families.base.Family.check`."""
        check_cpu("item_knn", device)

    def fit(
        self,
        dataset: Dataset,
        *,
        rng: np.random.Generator,  # noqa: ARG002
        progress: Progress = silent,  # noqa: ARG002
        device: Device = "cpu",
    ) -> ItemToItemModel:
        """Compare all items; see `models.families.item_to_item.Baseline.fit`."""
        self.check(dataset, device=device)
        # One more: the most similar item is the item itself, which is left out of every list.
        trainer = ItemItemRecommender(K=self.config.neighbours + 1)
        trainer.fit(self._weighted(as_table(dataset.histories, dataset.shape[1])), show_progress=False)
        return ItemToItemModel(trainer.similarity, dataset.histories)

    def _weighted(self, table: csr_matrix) -> csr_matrix:
        """The table whose columns' inner products are the similarities."""
        items = table.T.tocsr()
        items.eliminate_zeros()  # an item with values of 0 alone has no direction
        match self.config.similarity:
            case "cosine":
                weighted = normalize(items)
            case "tfidf":
                weighted = normalize(tfidf_weight(items))
            case "bm25":
                weighted = bm25_weight(items, K1=_K1, B=_B)
        return csr_matrix(weighted.T)
