"""The map of items."""

from typing import Annotated

from pydantic import Field

from app.schemas.base import Answer
from app.schemas.ids import ITEM, ItemId


class ItemPositions(Answer):
    """Items in two dimensions, as columns of one length, the most popular item first."""

    left_out: Annotated[
        int, Field(ge=0, description="less popular items that are not in the answer", examples=[0])
    ]
    item_ids: Annotated[list[ItemId], Field(examples=[[ITEM]])]
    titles: Annotated[
        list[str | None], Field(description="null where the metadata have none", examples=[["Kolya"]])
    ]
    x: Annotated[list[float], Field(description="along the first principal axis", examples=[[0.31]])]
    y: Annotated[list[float], Field(description="along the second principal axis", examples=[[-0.12]])]
    interactions: Annotated[
        list[int], Field(description="entries of each in the training data", examples=[[117]])
    ]
