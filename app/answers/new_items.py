"""Items the model has never seen: placed by their first users, provisionally."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import orjson

from app.answers.directions import normalized
from app.posted_history import HistoryReader
from models.described import DescribedItems
from models.errors import RequestError
from models.index.exact import ExactIndex
from models.item_side import ItemFoldIn
from models.row_solve import SingularRowError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from app.answers.catalogue import Catalogue
    from app.answers.options import Body
    from app.posted_history import Interaction
    from app.snapshot import Snapshot
    from models.row_solve import Rows
    from models.types import Float32Array, RowArray

FEWEST_USERS: Final = 5
"""Known users below which a place among the others would be a guess."""
_NOTHING = np.empty(0, dtype=np.int32)


class NewItems:
    """Places items. Nothing is stored, and no index is touched."""

    def __init__(self, snapshot: Snapshot, catalogue: Catalogue) -> None:
        artifact = snapshot.artifact
        self._snapshot = snapshot
        self._rule = snapshot.manifest.row_rule
        self._family = snapshot.manifest.family
        self._catalogue = catalogue
        self._reader = HistoryReader(artifact.users, snapshot.manifest)
        self._item_side = ItemFoldIn(
            self._rule, artifact.user_factors, artifact.histories, len(artifact.items)
        )
        self._users = ExactIndex(artifact.user_factors)

    def fold_in(
        self,
        first_users: Sequence[Interaction],
        k: int,
        *,
        exclude_seen: bool,
        metadata: Mapping[str, JsonValue] | None = None,
    ) -> Body:
        """What a new item is like, and who would like it most.

        Args:
            first_users: who had it; the ids of users stand in the place of those of items.
            k: how many items, and how many users.
            exclude_seen: whether to leave out the first users.
            metadata: of the item, which place it where its users are too few.

        Raises:
            RequestError: the family cannot, or too few users are known, or a value is missing or extreme, or
                the metadata say nothing.
        """
        if not self._item_side.is_possible:
            raise RequestError(
                f"items of family {self._family} have no row problem: a new item cannot be folded in; "
                "serve another family, or train again with its interactions"
            )
        users, ignored = self._read(first_users)
        described = self._vector_of(metadata) if metadata is not None else None
        if len(users.indices) >= FEWEST_USERS:
            vector = self._folded(users)
        elif described is not None:
            vector = described
        else:
            raise RequestError(
                f"{len(users.indices)} known users are too few to place an item: send interactions with "
                f"{FEWEST_USERS} or more users of model {self._catalogue.version}"
            )
        return {
            "model_version": self._catalogue.version,
            "provisional": True,
            "source": "metadata" if vector is described else "fold_in",
            "known_users": len(users.indices),
            "ignored_users": ignored,
            "k": k,
            "similar_items": self._similar(vector, k),
            "users": self._likely(vector, k, users.indices if exclude_seen else _NOTHING),
        }

    def _folded(self, users: Rows) -> Float32Array:
        try:
            return self._item_side.solve(users).vector
        except SingularRowError as error:
            raise RequestError(f"the item cannot be folded in: {error}; send smaller values") from error

    def _vector_of(self, metadata: Mapping[str, JsonValue]) -> Float32Array:
        """What the metadata lead to expect."""
        described = self._described
        if described is None:
            raise RequestError(
                f"family {self._family} places items by their users, not by metadata; leave metadata out, or "
                "serve hybrid_svd"
            )
        vector = described.expected(metadata).astype(np.float32)
        if not vector.any():
            raise RequestError(
                f"the metadata say nothing of this item: send values of {', '.join(described.members)} that "
                "other items have, too (GET /items/{item_id} shows theirs)"
            )
        return vector

    @cached_property
    def _described(self) -> DescribedItems | None:
        """Read from all items' metadata when the first item comes with its own; None: not of this family."""
        artifact, config = self._snapshot.artifact, self._snapshot.manifest.config
        if self._family != "hybrid_svd" or artifact.item_metadata is None:
            return None
        histories = artifact.histories
        return DescribedItems(
            (orjson.loads(artifact.item_metadata[row]) for row in range(len(artifact.items))),
            cast("list[str]", config["features"]),
            least=cast("int", config["min_feature_items"]),
            weight=cast("float", config["similarity_weight"]),
            vectors=artifact.item_factors,
            known=np.bincount(histories.indices[histories.values != 0], minlength=len(artifact.items)) > 0,
        )

    def _read(self, first_users: Sequence[Interaction]) -> tuple[Rows, list[str]]:
        """The known users in one row, and the ids that are unknown."""
        seen: set[str] = set()
        for each in first_users:
            if each.value is None and self._rule.needs_values:
                raise RequestError(
                    f"interaction with user {each.item_id!r} has no value, but family {self._family} was "
                    "trained on ratings; send the rating as `value`"
                )
            if each.item_id in seen and self._rule.duplicates == "error":
                raise RequestError(
                    f"user {each.item_id!r} comes twice, but the model was trained on a table without "
                    "duplicates; send each user once"
                )
            seen.add(each.item_id)
        return self._reader.read(first_users)

    def _similar(self, vector: Float32Array, k: int) -> list[Body]:
        direction = normalized(self._rule.without_bias(vector))
        if not direction.any():
            return []
        rows, cosines = self._snapshot.similar.search(direction.astype(np.float32), k, _NOTHING)
        return self._catalogue.listed(rows, np.clip(cosines, -1, 1))

    def _likely(self, vector: Float32Array, k: int, excluded: RowArray) -> list[Body]:
        """Users by their scores of the item; none where it scores the same for everybody."""
        if not (self._rule.biased or vector.any()):
            return []
        rows, scores = self._users.search(self._rule.query(vector), k, excluded)
        external = self._catalogue.users.external
        shifted = scores + np.float32(self._rule.shift(vector))
        return [
            {"user_id": external(row), "score": score, "rank": rank}
            for rank, (row, score) in enumerate(zip(rows.tolist(), shifted.tolist(), strict=True), start=1)
        ]
