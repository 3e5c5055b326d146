"""Ids to numbers, a column at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.types import PointerArray, RowArray


class IdCoder:
    """Numbers distinct ids 0, 1, 2, … in the order of their first appearance.

    The dictionary is that of a polars Categorical: unlike a dict it needs no Python string for every row.
    Polars promises nothing about its own numbers (categories), so they are mapped to ours.
    """

    def __init__(self) -> None:
        self._categories = pl.Categories.random("foldrec")
        self._dtype = pl.Categorical(self._categories)
        self._keeps_categories = pl.Series([], dtype=self._dtype)  # polars forgets those that no series has
        self._category_of_code: list[PointerArray] = []
        self._code_of_category: RowArray = np.empty(0, dtype=np.int32)
        self._n_codes = 0

    def encode(self, ids: pl.Series) -> RowArray:
        """The code of each id.

        Args:
            ids: text without nulls.

        Returns:
            int32, shape ``(len(ids),)``.
        """
        categories: NDArray[np.uint32] = ids.cast(self._dtype).to_physical().to_numpy()
        n_missing = int(categories.max(initial=0)) + 1 - len(self._code_of_category)
        if n_missing > 0:
            unknown = np.full(n_missing, -1, dtype=np.int32)
            self._code_of_category = np.concatenate([self._code_of_category, unknown])
        codes = self._code_of_category[categories]
        is_new = codes < 0
        if is_new.any():
            self._number(categories[is_new])
            codes = self._code_of_category[categories]
        return codes

    def ids(self) -> list[str]:
        """The distinct ids, by code."""
        if not self._category_of_code:
            return []
        return self._categories.to_series().gather(np.concatenate(self._category_of_code)).to_list()

    def _number(self, categories: NDArray[np.uint32]) -> None:
        """Give each of these categories the next code, in the order of their first appearance."""
        new, first_positions = np.unique(categories, return_index=True)
        new = new[np.argsort(first_positions)]
        self._category_of_code.append(new.astype(np.int64))
        self._code_of_category[new] = np.arange(self._n_codes, self._n_codes + len(new), dtype=np.int32)
        self._n_codes += len(new)
