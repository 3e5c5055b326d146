"""Protocols: how a dataset is taken apart into what models learn from and what they are judged by.

Every protocol is deterministic in its seed and comes to one or more rounds. In each round some entries are
hidden, some people are judged by how well their hidden entries are found, and the rest is known.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.errors import DataError
from models.split import (
    after_cut,
    leave_latest_out,
    leave_random_out,
    random_folds,
    random_items,
    random_split,
    random_users,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.dataset import Dataset
    from models.row_solve import Rows
    from models.types import BoolArray, RowArray

SplitName: TypeAlias = Literal["folds", "leave-k-out", "latest-time", "strong", "cold-items"]


class SplitDefinition(BaseModel):
    """A protocol and its numbers; those of the other protocols are not looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: SplitName = "folds"
    seed: int = Field(default=0, ge=0)
    folds: int = Field(default=5, ge=2)
    """`folds`: how many."""
    leave: int = Field(default=1, ge=1)
    """`leave-k-out`: entries of each user that are hidden."""
    leave_by: Literal["latest", "random"] = "latest"
    """`leave-k-out`: which ones."""
    test_share: float = Field(default=0.2, gt=0, lt=1)
    """`latest-time`: share of the entries after the cut. `strong`: share of the users never seen.
    `cold-items`: share of the items never seen."""
    hidden_share: float = Field(default=0.2, gt=0, lt=1)
    """`strong`: share of a stranger's history that is hidden; the rest is folded in."""

    def described(self) -> dict[str, str | int | float]:
        """The protocol's own numbers by name."""
        fields: dict[SplitName, tuple[str, ...]] = {
            "folds": ("folds",),
            "leave-k-out": ("leave", "leave_by"),
            "latest-time": ("test_share",),
            "strong": ("test_share", "hidden_share"),
            "cold-items": ("test_share",),
        }
        return {name: getattr(self, name) for name in ("name", "seed", *fields[self.name])}


@dataclass(frozen=True, slots=True)
class Round:
    """What one fit learns from and what it is judged by.

    Attributes:
        training: what models are fitted on: the dataset's users and items with fewer entries.
        known: what is known of each user when lists are made, never listed, shape ``(n_users, n)``.
        hidden: what is to be found, shape ``(n_users, n)``.
        people: the users whose lists are judged, those with both: int32, ascending.
        strangers: whether these people are not in the training set and have to be folded in.
        listable: the items that lists are made of, which nobody knows: int32, ascending; None: all.
        counts: what was left aside and why, by name.
    """

    training: Dataset
    known: Rows
    hidden: Rows
    people: RowArray
    strangers: bool
    listable: RowArray | None
    counts: dict[str, int]

    @property
    def n_listable(self) -> int:
        """How many items lists are made of."""
        return self.training.shape[1] if self.listable is None else len(self.listable)


class Split:
    """A protocol applied to a dataset.

    Args:
        dataset: all entries.
        definition: the protocol.
        first: only so many of its rounds; None: all.

    Raises:
        DataError: the dataset does not allow it: no timestamps, or nobody has enough entries.
    """

    def __init__(self, dataset: Dataset, definition: SplitDefinition, *, first: int | None = None) -> None:
        self.definition = definition
        self.dataset_sha256 = dataset.sha256()
        self._dataset = dataset
        self._masks = list(islice(_masks(dataset, definition), first))
        self.fingerprint = self._fingerprint()
        if not any(len(judged.people) for judged in self.rounds()):
            raise DataError(_too_few(dataset, definition))

    def __len__(self) -> int:
        return len(self._masks)

    def rounds(self) -> Iterator[Round]:
        """Make the rounds, one at a time."""
        for masks in self._masks:
            yield _round(self._dataset, masks)

    def _fingerprint(self) -> str:
        """sha256 of the definition, of the entries hidden and trained on, and of the dataset."""
        digest = hashlib.sha256(json.dumps(self.definition.described(), sort_keys=True).encode())
        digest.update(self.dataset_sha256.encode())
        for masks in self._masks:
            digest.update(np.packbits(masks.hidden).data)
            digest.update(np.packbits(masks.training).data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Masks:
    """Bool, shape ``(n_entries,)``; an entry in neither is what is known of strangers, or left out."""

    training: BoolArray
    hidden: BoolArray
    strangers: BoolArray | None = None
    """Bool, shape ``(n_users,)``."""
    listable: RowArray | None = None


def _masks(dataset: Dataset, definition: SplitDefinition) -> Iterator[_Masks]:
    rng = np.random.default_rng(definition.seed)
    match definition.name:
        case "folds":
            for hidden in random_folds(dataset, definition.folds, rng):
                yield _Masks(~hidden, hidden)
        case "leave-k-out":
            if definition.leave_by == "latest":
                hidden = leave_latest_out(dataset, definition.leave)
            else:
                hidden = leave_random_out(dataset, definition.leave, rng)
            yield _Masks(~hidden, hidden)
        case "latest-time":
            hidden, _ = after_cut(dataset, definition.test_share)
            yield _Masks(~hidden, hidden)
        case "strong":
            strangers = random_users(dataset, definition.test_share, rng)
            of_strangers = strangers[dataset.histories.row_numbers]
            hidden = random_split(dataset, definition.hidden_share, rng) & of_strangers
            yield _Masks(~of_strangers, hidden, strangers)
        case "cold-items":
            cold = random_items(dataset, definition.test_share, rng)
            hidden = cold[dataset.histories.indices]
            yield _Masks(~hidden, hidden, listable=np.flatnonzero(cold).astype(np.int32))


def _round(dataset: Dataset, masks: _Masks) -> Round:
    training = dataset.with_entries(masks.training)
    popularity = training.popularity()
    n_left_out = 0
    if masks.strangers is None:
        known, hidden = training.histories, dataset.histories.kept(masks.hidden)
    else:
        # Items that nobody in training has are no part of this protocol (Liang et al. 2018).
        familiar = (popularity > 0)[dataset.histories.indices]
        known = dataset.histories.kept(~masks.training & ~masks.hidden & familiar)
        hidden = dataset.histories.kept(masks.hidden & familiar)
        n_left_out = int((~familiar).sum())
    tested, informed = hidden.lengths > 0, known.lengths > 0
    counts = {
        "training entries": len(training.histories.indices),
        "hidden entries": len(hidden.indices),
        "judged users": int((tested & informed).sum()),
        "users without a known entry": int((tested & ~informed).sum()),
        "hidden entries of items unseen in training": int((popularity[hidden.indices] == 0).sum()),
    }
    if masks.strangers is not None:
        counts["strangers' entries of items unseen in training, left out"] = n_left_out
    return Round(
        training,
        known,
        hidden,
        np.flatnonzero(tested & informed).astype(np.int32),
        masks.strangers is not None,
        masks.listable,
        counts,
    )


def _too_few(dataset: Dataset, definition: SplitDefinition) -> str:
    longest = int(dataset.histories.lengths.max())
    remedies = {
        "folds": "nobody is left with both a known and a hidden entry; use more data or more --folds",
        "leave-k-out": f"nobody has more than the {definition.leave} entries to leave out; "
        "use a smaller --leave",
        "latest-time": "nobody has entries both before and after the cut; use another --test-share, "
        "or --split leave-k-out",
        "strong": "no user set aside has enough entries to hide some; use a larger --test-share "
        "or --hidden-share, or more data",
        "cold-items": "nobody has both a familiar and a cold item; use a larger --test-share, or more data",
    }
    return f"{remedies[definition.name]} (the longest history has {longest} entries)"
