"""Refusals."""

from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import Part


class FieldProblem(Part):
    """What is wrong with one parameter or member."""

    location: Literal["query", "body", "path"]
    field: Annotated[str, Field(examples=["k"])]
    detail: str


class ProblemDocument(Part):
    """A refusal, as RFC 9457 has it. `docs/errors.md` explains each `type`."""

    type: Annotated[str, Field(description="stable relative URI of the kind of problem")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="names the value and the remedy")]
    instance: Annotated[str, Field(description="the request id, as in X-Request-ID")]
    errors: Annotated[list[FieldProblem], Field(default_factory=list)]
