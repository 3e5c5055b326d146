"""Suggestions for a name that is not there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """`` (did you mean 'x'?)`` for the known name nearest to this one, or nothing where none is near.

    A `prefix` that all names have in common is left out of both and shown in the answer.
    """
    by_folded_name = {each.casefold(): each for each in known}
    nearest = difflib.get_close_matches(name.casefold(), by_folded_name, n=1)
    return f" (did you mean {prefix + by_folded_name[nearest[0]]!r}?)" if nearest else ""
