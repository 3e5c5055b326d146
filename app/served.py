"""One loaded model as the service holds it: the recommender, timed and counted."""

import time
from collections.abc import Sequence
from importlib.metadata import version

import orjson

from app.answers.groups import Group
from app.answers.options import Body, Options
from app.conditional import EntityTags
from app.metrics import Metrics
from app.posted_history import Interaction
from app.recommender import Recommender


class Served:
    """Answers what :class:`~app.recommender.Recommender` answers and observes the metrics of each call."""

    def __init__(self, recommender: Recommender, metrics: Metrics) -> None:
        self.recommender = recommender
        self.version = recommender.snapshot.version
        self.header = (b"x-model-version", self.version.encode())
        self.entity_tags = EntityTags(recommender.snapshot.state, software=version("foldrec"))
        self._metrics = metrics
        self._observe_retrieval = metrics.retrieval(recommender.snapshot.recommend.method)
        self._looked_up = recommender.looked_up
        if self._looked_up is not None:
            self._observe_lookup = metrics.retrieval("precomputed")

    def recommend(self, user_id: str, options: Options) -> Body:
        """Top-k for a user."""
        started = time.perf_counter()
        if self._looked_up is not None:
            found = self._looked_up(user_id, options)
            if found is not None:
                self._observe_lookup(time.perf_counter() - started)
                return self._counted(found)
        answer = self.recommender.searched(user_id, options)
        if answer["source"] == "factors":
            self._observe_retrieval(time.perf_counter() - started)
        return self._counted(answer)

    def recommend_many(self, user_ids: Sequence[str], options: Options) -> Body:
        """Top-k for many users; the lists are JSON already.

        Each is encoded as it comes. To encode a thousand lists of a thousand items at once would hold the
        interpreter, and with it the event loop, for 0.3 s.
        """
        results = [
            orjson.Fragment(orjson.dumps(self._counted(result)))
            for result in self.recommender.recommend_many(user_ids, options)
        ]
        return {"model_version": self.version, "results": results}

    def recommend_group(self, group: Group, options: Options) -> Body:
        """Top-k for a group."""
        return self._counted(self.recommender.recommend_group(group, options))

    def fold_in(self, interactions: Sequence[Interaction], options: Options) -> Body:
        """Top-k for a posted history."""
        started = time.perf_counter()
        answer = self.recommender.fold_in(interactions, options)
        if answer["source"] == "fold_in":
            self._metrics.fold_in(time.perf_counter() - started)
        return self._counted(answer)

    def what_if(
        self,
        interactions: Sequence[Interaction],
        added: Sequence[Interaction],
        removed: Sequence[str],
        options: Options,
    ) -> Body:
        """Top-k for a posted history before and after an edit."""
        answer = self.recommender.what_if(interactions, added, removed, options)
        self._counted(answer["before"])
        self._counted(answer["after"])
        return answer

    def similar(self, item_id: str, options: Options) -> Body:
        """Items like an item."""
        return self._counted(self.recommender.similar(item_id, options))

    def similar_basket(self, seeds: Sequence[tuple[str, float]], options: Options) -> Body:
        """Items like a set of items."""
        return self._counted(self.recommender.similar_basket(seeds, options))

    def similar_users(self, user_id: str, k: int) -> Body:
        """Users like a user."""
        return self._counted(self.recommender.similar_users(user_id, k))

    def _counted(self, answer: Body) -> Body:
        self._metrics.answered_list(answer)
        return answer
