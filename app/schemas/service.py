"""The answers about the service and the model that it serves."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from app.schemas.base import Answer, Part
from app.schemas.ids import VERSION
from models.artifact import ItemFieldsCard, ModelCard


class ServedModel(ModelCard):
    """What is being served, and the evidence for it: the manifest without its list of files."""

    schema_version: int
    model_version: Annotated[str, Field(examples=[VERSION])]
    created_at: AwareDatetime
    libraries: dict[str, str]
    item_fields: ItemFieldsCard
    loaded_at: Annotated[AwareDatetime, Field(description="when this process loaded it")]


class Live(Part):
    """The process answers."""

    status: Literal["live"]


class Ready(Answer):
    """A model is loaded and answering."""

    status: Literal["ready"]


class Reloaded(Part):
    """The versions before and after looking at `CURRENT`."""

    old_version: Annotated[str | None, Field(examples=["20261120T083000Z-9b2c"])]
    new_version: Annotated[str, Field(examples=[VERSION])]
