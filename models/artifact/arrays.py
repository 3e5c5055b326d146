"""The numbers of a model, and what must hold among them: the same rules for writing and for reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.types import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from models.ids import IdMap
    from models.row_solve import Rows
    from models.types import Float32Array, PointerArray, RowArray

AnyArray: TypeAlias = NDArray[Any]

USER_FACTORS: Final = "user_factors.npy"
ITEM_FACTORS: Final = "item_factors.npy"
HISTORY_INDPTR: Final = "history_indptr.npy"
HISTORY_ITEMS: Final = "history_items.npy"
HISTORY_VALUES: Final = "history_values.npy"
HISTORY_TIMES: Final = "history_times.npy"
POPULARITY: Final = "popularity.npy"
TOP_ITEMS: Final = "top_items.npy"
TOP_SCORES: Final = "top_scores.npy"
DTYPES: Final = {
    USER_FACTORS: np.float32,
    ITEM_FACTORS: np.float32,
    HISTORY_INDPTR: np.int64,
    HISTORY_ITEMS: np.int32,
    HISTORY_VALUES: np.float32,
    POPULARITY: np.int64,
}
"""The arrays that every artifact has."""
OPTIONAL_DTYPES: Final = {HISTORY_TIMES: np.int64, TOP_ITEMS: np.int32, TOP_SCORES: np.float32}
"""The arrays that an artifact may have."""

_BLOCK: Final = 65_536
"""Elements looked at in one go, so that temporaries stay in the CPU's cache whatever the array's size."""


class InconsistencyError(ValueError):
    """Numbers that contradict each other; the message names the file they belong in."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredLists:
    """Everybody's best items, what they have had left out, as the exact search ranks them.

    Attributes:
        items: item rows, best first, int32, shape ``(n_users, k)``; `NOBODY` after the last of a list. A list
            that is not full names all items that are left; an empty one says that nothing can be ranked.
        scores: as an answer shows them, float32, shape ``(n_users, k)``; 0 after the last of a list.
    """

    items: RowArray
    scores: Float32Array

    @property
    def k(self) -> int:
        """How many items a full list has."""
        return int(self.items.shape[1])

    @property
    def nbytes(self) -> int:
        """What both take."""
        return self.items.nbytes + self.scores.nbytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelArrays:
    """The numbers of a model, in memory or memory-mapped.

    Attributes:
        users: user ids and rows.
        items: item ids and rows.
        user_factors: float32, shape ``(n_users, D)``; D is the number of factors, plus one where the row rule
            is biased.
        item_factors: float32, shape ``(n_items, D)``.
        histories: what each user did, item rows ascending within a user; ``n_users`` rows. Their times are
            kept where the row rule depends on them.
        popularity: number of interactions of each item, int64, shape ``(n_items,)``.
        item_arrays: further numeric arrays with one entry per item, by name; each is stored as
            `item_<name>.npy`.
        top_lists: everybody's best items, or None where they are always searched for.
    """

    users: IdMap
    items: IdMap
    user_factors: Float32Array
    item_factors: Float32Array
    histories: Rows
    popularity: PointerArray
    item_arrays: Mapping[str, AnyArray] = field(default_factory=dict)
    top_lists: StoredLists | None = None

    def by_file(self) -> dict[str, AnyArray]:
        """Every array under the name of its file."""
        return {
            USER_FACTORS: self.user_factors,
            ITEM_FACTORS: self.item_factors,
            HISTORY_INDPTR: self.histories.indptr,
            HISTORY_ITEMS: self.histories.indices,
            HISTORY_VALUES: self.histories.values,
            POPULARITY: self.popularity,
            **({} if self.histories.times is None else {HISTORY_TIMES: self.histories.times}),
            **{item_array_file(name): array for name, array in self.item_arrays.items()},
            **self._lists_by_file(),
        }

    def _lists_by_file(self) -> dict[str, AnyArray]:
        lists = self.top_lists
        return {} if lists is None else {TOP_ITEMS: lists.items, TOP_SCORES: lists.scores}

    def check(self) -> None:
        """Check dtypes, shapes, bounds and finiteness, in bounded memory.

        Raises:
            InconsistencyError: names the file, what was found and what was expected.
        """
        for name in self.item_arrays:
            if item_array_name(item_array_file(name)) != name or not (name.isascii() and name.isidentifier()):
                raise InconsistencyError(
                    f"{item_array_file(name)}: no extra item array may be named {name!r}"
                )
        for name, array in self.by_file().items():
            _check_dtype(name, array)
        n_users, n_items = len(self.users), len(self.items)
        n_factors = self.item_factors.shape[-1] if self.item_factors.ndim else 0
        n_entries = len(self.histories.indices) if self.histories.indices.ndim else 0
        _check_shape(ITEM_FACTORS, self.item_factors, (n_items, max(n_factors, 1)))
        _check_shape(USER_FACTORS, self.user_factors, (n_users, n_factors))
        _check_shape(HISTORY_INDPTR, self.histories.indptr, (n_users + 1,))
        _check_shape(HISTORY_ITEMS, self.histories.indices, (n_entries,))
        _check_shape(HISTORY_VALUES, self.histories.values, (n_entries,))
        if self.histories.times is not None:
            _check_shape(HISTORY_TIMES, self.histories.times, (n_entries,))
        _check_shape(POPULARITY, self.popularity, (n_items,))
        for name, array in self.item_arrays.items():
            _check_shape(item_array_file(name), array, (n_items, *array.shape[1:]))
        for name, array in self._lists_by_file().items():
            k = array.shape[-1] if array.ndim else 0
            _check_shape(name, array, (n_users, max(k, 1)))
        for name, array in self.by_file().items():
            _check_finite(name, array)
        _check_histories(self.histories.indptr, self.histories.indices, n_items)
        _check_lists(self.top_lists, n_items)
        for start, block in _blocks(self.popularity):
            if block.min() < 0:
                raise InconsistencyError(
                    f"{POPULARITY}: item {start + int(block.argmin())} has {block.min()}"
                )


def item_array_file(name: str) -> str:
    """File of an extra per-item array."""
    return f"item_{name}.npy"


def item_array_name(file: str) -> str | None:
    """Name of the extra per-item array in a file; None if the file is not one."""
    if file in DTYPES or not (file.startswith("item_") and file.endswith(".npy")):
        return None
    return file.removeprefix("item_").removesuffix(".npy")


def _check_dtype(name: str, array: AnyArray) -> None:
    expected = (DTYPES | OPTIONAL_DTYPES).get(name)
    if expected is not None and array.dtype != expected:
        raise InconsistencyError(f"{name}: {array.dtype.str} where {np.dtype(expected).str} is expected")
    if array.dtype.kind not in "biuf" or not array.dtype.isnative:
        raise InconsistencyError(f"{name}: {array.dtype.str} where plain numbers are expected")


def _check_shape(name: str, array: AnyArray, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise InconsistencyError(f"{name}: shape {array.shape}, but the other files say {expected}")


def _check_finite(name: str, array: AnyArray) -> None:
    if array.dtype.kind != "f":
        return
    for start, block in _blocks(array):
        finite = np.isfinite(block)
        if not finite.all():
            position = start + int(finite.argmin())
            row = position // (array.size // len(array))
            raise InconsistencyError(f"{name}: row {row} holds {array.reshape(-1)[position]}")


def _check_histories(indptr: PointerArray, items: RowArray, n_items: int) -> None:
    if indptr[0] != 0 or indptr[-1] != len(items):
        raise InconsistencyError(
            f"{HISTORY_INDPTR}: runs from {indptr[0]} to {indptr[-1]}, but {HISTORY_ITEMS} has {len(items)}"
        )
    for start, fell in _steps(indptr, np.less):
        raise InconsistencyError(f"{HISTORY_INDPTR}: falls after user {start + int(fell[0])}")
    for start, block in _blocks(items):
        outside = (block < 0) | (block >= n_items)
        if outside.any():
            position = start + int(outside.argmax())
            raise InconsistencyError(
                f"{HISTORY_ITEMS}: entry {position} is {items[position]}, of {n_items} items"
            )
    for start, not_rising in _steps(items, np.less_equal):
        # Between two users' histories anything goes: there, the second entry begins a row.
        second = start + not_rising + 1
        within = indptr[np.searchsorted(indptr, second)] != second
        if within.any():
            entry = int(second[within.argmax()])
            raise InconsistencyError(
                f"{HISTORY_ITEMS}: entry {entry} does not rise within its user's history"
            )


def _check_lists(lists: StoredLists | None, n_items: int) -> None:
    if lists is None:
        return
    items = lists.items
    if lists.scores.shape != items.shape:
        raise InconsistencyError(
            f"{TOP_SCORES}: shape {lists.scores.shape}, but {TOP_ITEMS} has {items.shape}"
        )
    for start, block in _blocks(items):
        outside = (block < NOBODY) | (block >= n_items)
        if outside.any():
            user = (start + int(outside.argmax())) // items.shape[1]
            raise InconsistencyError(f"{TOP_ITEMS}: user {user} is listed an item outside of {n_items}")
    step = max(1, _BLOCK // items.shape[1])
    for start in range(0, len(items), step):
        listed = items[start : start + step] != NOBODY
        gaps = (listed[:, 1:] > listed[:, :-1]).any(axis=1)
        if gaps.any():
            raise InconsistencyError(f"{TOP_ITEMS}: the list of user {start + int(gaps.argmax())} has a gap")


def _blocks(array: AnyArray) -> Iterator[tuple[int, AnyArray]]:
    """The array's elements in blocks, each with its position in the flattened array."""
    flat = array.reshape(-1)
    for start in range(0, len(flat), _BLOCK):
        yield start, flat[start : start + _BLOCK]


def _steps(array: AnyArray, compare: np.ufunc) -> Iterator[tuple[int, AnyArray]]:
    """Positions ``p`` at which ``compare(array[p + 1], array[p])`` holds, by block, relative to its start."""
    for start in range(0, len(array) - 1, _BLOCK):
        block = array[start : start + _BLOCK + 1]
        (positions,) = np.nonzero(compare(block[1:], block[:-1]))
        if len(positions):
            yield start, positions
