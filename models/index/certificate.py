"""The recall certificate: what was measured, and which way of searching was chosen because of it."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Space: TypeAlias = Literal["inner_product", "augmented_l2", "cosine"]
Method: TypeAlias = Literal["exact", "hnsw", "scann"]


class GraphSetting(BaseModel):
    """A graph and how hard it is searched.

    `ef` is the number of candidates that HNSW keeps while it walks; `m` the links of a node;
    `ef_construction` the candidates kept while the graph was built.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: Space
    m: int = Field(ge=2)
    ef_construction: int = Field(ge=1)
    ef: int = Field(ge=1)


class ScannSetting(BaseModel):
    """How ScaNN partitions the vectors, how many partitions it searches, and what it proposes of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leaves: int = Field(ge=1)
    leaves_to_search: int = Field(ge=1)
    candidates: int = Field(ge=1)
    """Proposed to be scored exactly, at least."""


Setting: TypeAlias = GraphSetting | ScannSetting


class HeadSetting(BaseModel):
    """The rows of largest norm, which are searched first, and alone where that settles a query.

    A graph has no other rows then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shortest_norm: float = Field(gt=0)
    """Of a row of the head; those of others are below."""
    rows: int = Field(ge=1)
    """How many there are."""
    scan_microseconds: float = Field(ge=0)
    """Median of one query as served, by the scan of all rows."""


class Measurement(BaseModel):
    """One setting, measured against the exact scan on the same queries.

    `recall` is of plain queries, `recall_as_served` of queries with the seen items excluded, through the
    retriever; both count an item as right when its exact score reaches that of the k-th best.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: Setting
    recall: float = Field(ge=0, le=1)
    recall_as_served: float = Field(ge=0, le=1)
    microseconds: float = Field(gt=0)
    """Median of one query as served."""


class RecallCertificate(BaseModel):
    """Which index answers, and the evidence for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method
    reason: str
    """Why this method, in words."""
    k: int = Field(ge=1)
    target: float = Field(gt=0, le=1)
    """The recall that a graph had to reach, plain and as served."""
    sample_size: int = Field(ge=0)
    recall: float = Field(ge=0, le=1)
    recall_as_served: float = Field(ge=0, le=1)
    microseconds: float = Field(ge=0)
    """Median of one query as served, by the chosen method, on the machine that trained."""
    exact_microseconds: float = Field(ge=0)
    """The same, answered exactly: from the head where there is one and that settles the query."""
    head: HeadSetting | None = None
    chosen: Setting | None = None
    max_over_fetch: int = Field(default=0, ge=0)
    """With more exclusions than this the exact search is cheaper than the graph, and answers."""
    most_gathered: int = Field(default=0, ge=0)
    """Where a filter leaves fewer rows than this, scoring them one by one is cheaper than scanning all."""
    tried: tuple[Measurement, ...] = ()

    @property
    def scan_microseconds(self) -> float:
        """Median of one query as served, by the scan of all rows."""
        return self.exact_microseconds if self.head is None else self.head.scan_microseconds

    @model_validator(mode="after")
    def _graph_and_setting_go_together(self) -> Self:
        kinds = {"exact": type(None), "hnsw": GraphSetting, "scann": ScannSetting}
        if type(self.chosen) is not kinds[self.method]:
            raise ValueError(f"a certificate of method {self.method} with the setting of another")
        return self

    def __str__(self) -> str:
        """One line for a person."""
        match self.chosen:
            case None:
                how = "exact scan"
            case GraphSetting():
                how = f"{self.chosen.space} graph, ef {self.chosen.ef}"
            case ScannSetting():
                how = f"ScaNN, {self.chosen.leaves_to_search} of {self.chosen.leaves} leaves"
        if self.head is not None:
            how += f", the {self.head.rows:,} longest rows first"
        return (
            f"{how}: recall@{self.k} {min(self.recall, self.recall_as_served):.4f} "
            f"in {self.microseconds:.0f} µs (exact {self.exact_microseconds:.0f} µs); {self.reason}"
        )
