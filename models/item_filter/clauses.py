"""What a filter says, as JSON has it."""

from typing import Annotated, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

Value: TypeAlias = bool | float | str
Bound: TypeAlias = float | str


class Clause(BaseModel):
    """One condition on one field: `any_of` some values, or a range with one or two ends.

    An item fulfils it if one of its values of the field does; an item without a value does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    field: Annotated[str, Field(description="a member of the item metadata", examples=["genres"])]
    any_of: Annotated[
        tuple[Value, ...],
        FailFast(),
        Field(min_length=1, description="values to match exactly", examples=[["Comedy", "Romance"]]),
    ] = ()
    gte: Annotated[
        Bound | None, Field(description="at least: a number, or an ISO 8601 date", examples=[1990])
    ] = None
    gt: Annotated[Bound | None, Field(description="more than")] = None
    lte: Annotated[
        Bound | None, Field(description="at most; a date means all of its day", examples=[1999])
    ] = None
    lt: Annotated[Bound | None, Field(description="less than")] = None

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        lower = sum(end is not None for end in (self.gte, self.gt))
        upper = sum(end is not None for end in (self.lte, self.lt))
        if not self.any_of and not lower + upper:
            raise PydanticCustomError("no_condition", "give any_of, or one of gte, gt, lte and lt")
        if (self.any_of and lower + upper) or lower > 1 or upper > 1:
            raise PydanticCustomError(
                "several_conditions",
                "give either any_of, or at most one of gte and gt and one of lte and lt; "
                "several clauses may name the same field",
            )
        return self


class ItemFilter(BaseModel):
    """What an item must and must not be: it passes if it fulfils all of `must` and none of `must_not`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "must": [
                        {"field": "genres", "any_of": ["Comedy", "Romance"]},
                        {"field": "year", "gte": 1990, "lt": 2000},
                    ],
                    "must_not": [{"field": "genres", "any_of": ["Horror"]}],
                }
            ]
        },
    )

    must: Annotated[tuple[Clause, ...], FailFast()] = ()
    must_not: Annotated[tuple[Clause, ...], FailFast()] = ()
