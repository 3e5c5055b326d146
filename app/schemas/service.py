"""The answers about the service and the model that it serves."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from app.schemas.base import Answer, Part
from app.schemas.ids import VERSION
from models.artifact import ItemFieldsCard, ModelCard


class LiveRecall(Part):
    """What is found when a share of an index's lists is answered again exactly."""

    method: Annotated[
        Literal["exact", "hnsw", "scann"],
        Field(description="what answers now: `exact` once the recall has fallen", examples=["hnsw"]),
    ]
    recall_estimate: Annotated[
        float | None,
        Field(description="mean of the last thousand; null before the first", examples=[0.994]),
    ]
    samples: Annotated[int, Field(ge=0, description="lists that were answered again", examples=[1234])]
    floor: Annotated[float, Field(description="what the certificate promises", examples=[0.99])]
    has_fallen: Annotated[
        bool, Field(description="the recall is below the floor, beyond chance", examples=[False])
    ]


class ComparedModel(Part):
    """The model beside the served one, which `model_version` asks for; or why it is not there."""

    model_version: Annotated[str | None, Field(examples=["20261120T083000Z-9b2c"])]
    family: Annotated[str | None, Field(examples=["als"])]
    error: Annotated[str | None, Field(examples=[None])]


class ServedModel(ModelCard):
    """What is being served, and the evidence for it: the manifest without its list of files."""

    schema_version: int
    model_version: Annotated[str, Field(examples=[VERSION])]
    created_at: AwareDatetime
    libraries: dict[str, str]
    item_fields: ItemFieldsCard
    loaded_at: Annotated[AwareDatetime, Field(description="when this process loaded it")]
    live_recall: Annotated[
        dict[Literal["recommend", "similar"], LiveRecall],
        Field(description="of each index that searches a graph; none where FOLDREC_RECALL_SAMPLE is 0"),
    ]
    has_report: Annotated[
        bool, Field(description="`GET /model/report` has an evaluation report of it", examples=[False])
    ]
    compared: Annotated[ComparedModel | None, Field(description="null where FOLDREC_COMPARE_WITH is not set")]


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
