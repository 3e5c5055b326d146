"""What can be asked of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from models.index.base import Eligible
    from models.item_filter import ItemFilter

Body: TypeAlias = dict[str, Any]
"""A JSON object, ready to be encoded."""


@dataclass(slots=True)
class Options:
    """What every list of recommendations understands. Not to be changed: to freeze it costs 2 µs a request.

    `filter` is what the items of the list must be: clauses as texts, the same as JSON, or what it came to.
    `page` is the number of a page of k items, from 0; None where the list is asked for once and for all.
    """

    k: int
    exclude_seen: bool = True
    exclude: tuple[str, ...] = ()
    filter: tuple[str, ...] | ItemFilter | Eligible | None = None
    explain: bool = False
    explain_top: int | None = None
    on_unknown: Literal["fallback", "error"] = "fallback"
    diversity: float = 0.0
    uncertainty: bool = False
    explore: Literal["thompson", "ucb"] | None = None
    seed: int = 0
    page: int | None = None

    @property
    def first_rank(self) -> int:
        """The rank of the first item."""
        return 1 + self.k * self.page if self.page else 1

    @property
    def needs_row(self) -> bool:
        """Whether a stored vector does not do: the history has to be folded in."""
        return self.explain or self.uncertainty or self.explore is not None
