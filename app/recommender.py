"""One model's answers: each kind of question goes to the part of `app.answers` that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.answers.catalogue import Catalogue
from app.answers.directions import ItemDirections
from app.answers.explanations import Explanations
from app.answers.groups import Groups
from app.answers.item_map import ItemMap
from app.answers.item_users import ItemUsers
from app.answers.items import Items
from app.answers.neighbours import Neighbours
from app.answers.new_items import NewItems
from app.answers.options import Body, Options
from app.answers.ordering import Ordering
from app.answers.pairs import Pairs
from app.answers.personal import PersonalLists
from app.answers.what_if import WhatIf
from models.artifact import report_path

if TYPE_CHECKING:
    from app.snapshot import Snapshot

__all__ = ["Body", "Options", "Recommender"]


class Recommender:
    """Answers questions from one snapshot.

    Attributes:
        snapshot: the model.
        recommend, recommend_many, fold_in: see `app.answers.personal.PersonalLists`.
        looked_up, searched: the two ways of `recommend`; the first is None where the artifact has no lists.
        recommend_group: see `app.answers.groups.Groups`.
        what_if: see `app.answers.what_if.WhatIf.compare`.
        fold_in_item: see `app.answers.new_items.NewItems`.
        similar, similar_basket, similar_users: see `app.answers.neighbours.Neighbours`.
        predict, predict_many: see `app.answers.pairs.Pairs`.
        explain: see `app.answers.explanations.Explanations.pair`.
        item, search_items: see `app.answers.items.Items`.
        item_map: see `app.answers.item_map.ItemMap.positions`.
        item_users: see `app.answers.item_users.ItemUsers.listed`.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._report = report_path(snapshot.artifact.directory)
        catalogue = Catalogue(snapshot)
        explanations = Explanations(snapshot, catalogue)
        directions = ItemDirections(snapshot)
        ordering = Ordering(snapshot, directions)
        personal = PersonalLists(snapshot, catalogue, explanations, ordering)
        neighbours = Neighbours(snapshot, catalogue, explanations, directions, ordering)
        pairs = Pairs(snapshot, catalogue)
        self.recommend = personal.recommend
        self.looked_up = None if personal.precomputed is None else personal.looked_up
        self.searched = personal.searched
        self.recommend_many = personal.recommend_many
        self.recommend_group = Groups(snapshot, catalogue, personal, ordering).recommend
        self.fold_in = personal.fold_in
        self.fold_in_item = NewItems(snapshot, catalogue).fold_in
        self.similar = neighbours.similar
        self.similar_basket = neighbours.similar_basket
        self.similar_users = neighbours.similar_users
        self.what_if = WhatIf(snapshot, catalogue, personal).compare
        self.predict = pairs.predict
        self.predict_many = pairs.predict_many
        self.explain = explanations.pair
        items = Items(snapshot, catalogue)
        self.item = items.item
        self.search_items = items.search
        self.item_map = ItemMap(snapshot, catalogue).positions
        self.item_users = ItemUsers(snapshot, catalogue).listed

    def model(self) -> Body:
        """What is being served, with the evidence of its quality."""
        card = self.snapshot.manifest.model_dump(mode="json", exclude={"files"})
        return {
            **card,
            "loaded_at": self.snapshot.loaded_at.isoformat(),
            "live_recall": self.snapshot.live_recall(),
            "has_report": self._report.is_file(),
        }

    def report(self) -> bytes | None:
        """The evaluation report that is kept with the model; None where there is none."""
        try:
            return self._report.read_bytes()
        except FileNotFoundError:
            return None
