"""What answers are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.ids import VERSION


class Answer(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_version: Annotated[str, Field(description="which artifact answered", examples=[VERSION])]


class Part(BaseModel):
    """Base of what answers are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)
