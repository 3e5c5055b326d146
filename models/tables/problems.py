"""Why one value of a column cannot be used."""

from __future__ import annotations

from typing import TypeAlias

Problem: TypeAlias = tuple[str, str]
"""The reason by which bad rows are counted, and what is wrong with this value."""

Problems: TypeAlias = dict[int, Problem]
"""Problems by row of a column."""


class UnusableError(Exception):
    """Raised inside this package for a value that cannot be used; never leaves it."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.problem: Problem = (reason, problem)
