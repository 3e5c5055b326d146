"""The ids that requests and answers have in common."""

from typing import Annotated, Final

from pydantic import Field

USER: Final = "196"
ITEM: Final = "242"
VERSION: Final = "20261121T083000Z-1f3a"
"""Those of the examples."""

UserId = Annotated[str, Field(min_length=1, examples=[USER])]
ItemId = Annotated[str, Field(min_length=1, examples=[ITEM])]
