"""Judge one fitted model by one round: lists in blocks of bounded memory, errors of predicted values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.errors import ConfigError
from models.evaluation.lists import best_items, found
from models.evaluation.measures import (
    accuracy,
    coverage,
    errors,
    gini,
    mean_listed,
    popularity_groups,
    self_information,
)
from models.row_solve import Rows
from models.types import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models.dataset import Dataset
    from models.evaluation.measures import Parts
    from models.evaluation.protocols import Round
    from models.evaluation.ranker import Ranker
    from models.types import Float32Array, Float64Array, PointerArray, RowArray

POPULARITY_GROUPS = 10
_SCORES_PER_BLOCK = 1 << 25
"""Scores held at once: 128 MiB; a model may need as much again to make them."""
_MOST_PEOPLE_PER_BLOCK = 4096


@dataclass(slots=True)
class Outcome:
    """What judging came to; outcomes of several rounds add up.

    Attributes:
        parts: numerator and denominator of each metric by user.
        coverage: of each round.
        gini: of each round.
        found: hidden entries that were listed, by popularity group, int64, ``(POPULARITY_GROUPS,)``.
        hidden: all hidden entries of judged people, likewise.
    """

    parts: dict[str, Parts]
    coverage: list[float]
    gini: list[float]
    found: PointerArray
    hidden: PointerArray

    def add(self, other: Outcome) -> None:
        """Take in the outcome of another round, of the same users."""
        for name, (numerator, denominator) in other.parts.items():
            mine = self.parts[name]
            self.parts[name] = (mine[0] + numerator, mine[1] + denominator)
        self.coverage += other.coverage
        self.gini += other.gini
        self.found = self.found + other.found
        self.hidden = self.hidden + other.hidden


def judge(
    ranker: Ranker, judged: Round, k: int, *, advance: Callable[[int, int], None] | None = None
) -> Outcome:
    """Judge a model fitted on the round's training set.

    Args:
        ranker: the model.
        judged: the round.
        k: length of the lists.
        advance: told how many of how many people have been judged.

    Raises:
        ConfigError: fewer than k items can be listed.
    """
    dataset = judged.training
    n_users, n_items = dataset.shape
    check_list_length(k, judged.n_listable)
    popularity = dataset.popularity()
    information = self_information(popularity, int((dataset.histories.lengths > 0).sum()))
    by_user = _ByUser(n_users)
    listed, hits_of_item = np.zeros(n_items, dtype=np.int64), np.zeros(n_items, dtype=np.int64)
    done = 0
    for people in _blocks(judged.people, n_items):
        known, hidden = judged.known.select(people), judged.hidden.select(people)
        scores = ranker.score_histories(known) if judged.strangers else ranker.score_users(people)
        if judged.listable is None:
            lists = best_items(np.ascontiguousarray(scores, dtype=np.float32), known, k)
        else:
            lists = _best_of(judged.listable, scores, people, k)
        hits = found(lists, hidden)
        listed += np.bincount(lists[lists != NOBODY], minlength=n_items)
        hits_of_item += np.bincount(lists[hits], minlength=n_items)
        for name, values in accuracy(hits, hidden.lengths).items():
            by_user.put(name, people, values)
        by_user.put("novelty", people, mean_listed(lists, information))
        of_history = np.bincount(known.row_numbers, weights=popularity[known.indices], minlength=len(people))
        by_user.put("popularity_lift", people, mean_listed(lists, popularity), of_history / known.lengths)
        done += len(people)
        if advance is not None:
            advance(done, len(judged.people))
    parts = by_user.parts
    if ranker.predicts_values and dataset.has_values and not judged.strangers:
        parts |= value_errors(ranker, judged.hidden, dataset)
    of_listable = listed if judged.listable is None else listed[judged.listable]
    groups = popularity_groups(popularity, POPULARITY_GROUPS)
    hidden_of_item = np.bincount(judged.hidden.select(judged.people).indices, minlength=n_items)
    return Outcome(
        parts,
        [coverage(of_listable)],
        [gini(of_listable)],
        np.bincount(groups, weights=hits_of_item, minlength=POPULARITY_GROUPS).astype(np.int64),
        np.bincount(groups, weights=hidden_of_item, minlength=POPULARITY_GROUPS).astype(np.int64),
    )


def value_errors(ranker: Ranker, entries: Rows, training: Dataset) -> dict[str, Parts]:
    """Parts of RMSE and MAE of entries, with predictions clipped to the range of the training values."""
    known = training.histories.values
    predicted = np.clip(ranker.predict(entries), known.min(), known.max())
    return errors(predicted, entries.values, entries.row_numbers, len(training.users))


def check_list_length(k: int, n_items: int) -> None:
    """Refuse lists longer than the items that can be on them.

    Raises:
        ConfigError: naming the largest k that works.
    """
    if not 1 <= k <= n_items:
        raise ConfigError(f"lists of {k} items need as many to choose from; use --k between 1 and {n_items}")


def _best_of(listable: RowArray, scores: Float32Array, people: RowArray, k: int) -> RowArray:
    """The best k of some items for each person, equal scores in an order that is drawn for each.

    Who has no opinion on these items must not be given one by the order of their rows, in which the table has
    them: popular ones early.
    """
    orders = np.random.default_rng(people).permuted(np.tile(listable, (len(people), 1)), axis=1)
    ordered = np.take_along_axis(scores, orders, axis=1).astype(np.float32, copy=False)
    nothing = Rows(np.zeros(len(people) + 1, dtype=np.int64), listable[:0], ordered[0, :0])
    places = best_items(ordered, nothing, k)
    return np.where(places == NOBODY, NOBODY, np.take_along_axis(orders, places, axis=1))


class _ByUser:
    """Collects values of blocks of people into the parts of all users."""

    def __init__(self, n_users: int) -> None:
        self._n_users = n_users
        self._judged = np.zeros(n_users)
        self.parts: dict[str, Parts] = {}

    def put(
        self, name: str, people: RowArray, numerator: Float64Array, denominator: Float64Array | None = None
    ) -> None:
        if name not in self.parts:
            own = self._judged if denominator is None else np.zeros(self._n_users)
            self.parts[name] = np.zeros(self._n_users), own
        self.parts[name][0][people] = numerator
        self.parts[name][1][people] = 1.0 if denominator is None else denominator


def _blocks(people: RowArray, n_items: int) -> Iterator[RowArray]:
    step = max(1, min(_MOST_PEOPLE_PER_BLOCK, _SCORES_PER_BLOCK // n_items))
    for start in range(0, len(people), step):
        yield people[start : start + step]
