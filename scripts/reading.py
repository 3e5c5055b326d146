"""How command lines name a table of interactions, and how it becomes a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from models.dataset import Dataset, build_dataset
from models.dataset_directory import open_dataset_directory
from models.errors import ConfigError
from models.evaluation.protocols import SplitDefinition, SplitName
from models.interactions import read_interactions
from models.item_table import read_items, read_users
from models.layouts import PRESETS, choose_layout
from scripts.recipe import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

PresetName = StrEnum("PresetName", list(PRESETS))  # type: ignore[misc]

InteractionsOption = Annotated[
    Path, typer.Option(help="Table of interactions, or a directory that scripts.fetch has made.")
]
ItemsOption = Annotated[Path | None, typer.Option(help="Table of item metadata: titles, genres.")]
UsersOption = Annotated[
    Path | None, typer.Option(help="Table of user metadata, for user_features of hybrid_svd.")
]
PresetOption = Annotated[PresetName | None, typer.Option(help="Layout of a known data set.")]
ColumnOption = Annotated[str | None, typer.Option()]
ValueColumnOption = Annotated[str | None, typer.Option(help="Ratings or counts; without: 1 each.")]
TimeColumnOption = Annotated[str | None, typer.Option(help="Epoch seconds or ISO 8601.")]
TitleColumnOption = Annotated[str | None, typer.Option(help="Of the items table; becomes `title`.")]
ItemIdColumnOption = Annotated[str | None, typer.Option(help="Of the items table.")]
UserIdColumnOption = Annotated[str | None, typer.Option(help="Of the users table.")]
LayoutOption = Annotated[
    list[str],
    typer.Option(
        "--layout",
        metavar="NAME=VALUE",
        help="Any other detail of the tables, such as table.encoding=latin-1.",
    ),
]
DuplicatesOption = Annotated[
    Literal["sum", "max", "last", "error"] | None,
    typer.Option(
        help="Several rows of one user and item. Default: the family's in scripts.tune; else last if there "
        "are values, or sum."
    ),
]
BadRowOption = Annotated[Literal["stop", "skip"], typer.Option()]
LeastOption = Annotated[int, typer.Option(min=1)]

SplitOption = Annotated[SplitName, typer.Option(help="What is hidden; see docs/evaluation.md.")]
FoldsOption = Annotated[int, typer.Option(min=2, help="--split folds: how many.")]
LeaveOption = Annotated[int, typer.Option(min=1, help="--split leave-k-out: entries of each user.")]
LeaveByOption = Annotated[Literal["latest", "random"], typer.Option(help="Which of them.")]
TestShareOption = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="--split latest-time: of entries; strong: of users; cold-items: of items."
    ),
]
HiddenShareOption = Annotated[
    float, typer.Option(min=0, max=1, help="--split strong: of each stranger's history.")
]


@dataclass(frozen=True, slots=True)
class Reading:
    """A dataset and what was said while reading it.

    Attributes:
        dataset: the interactions.
        name: of the table, for people.
        report: what reading came to.
    """

    dataset: Dataset
    name: str
    report: str


def read_dataset(
    interactions: Path,
    items: Path | None = None,
    users: Path | None = None,
    *,
    preset: PresetName | None = None,
    columns: dict[str, str | None] | None = None,
    layout_options: Sequence[str] = (),
    duplicates: Literal["sum", "max", "last", "error"] | None = None,
    on_bad_row: Literal["stop", "skip"] = "stop",
    least: tuple[int, int] = (1, 1),
) -> Reading:
    """Read a table of interactions.

    Args:
        interactions: the table, or a directory that scripts.fetch has made.
        items: the table of item metadata; the directory's own, if it has one.
        users: the table of user metadata.
        preset: layout of a known data set.
        columns: names of columns by the layout's field, None where the layout knows.
        layout_options: ``name=value``, any other detail of the layout.
        duplicates: what several rows of one user and item come to; None: the last, or where there are no
            values their number.
        on_bad_row: whether a bad row ends the reading.
        least: interactions that users and items must have.

    Raises:
        DataError, ConfigError: it cannot be read so.
    """
    preset_name = None if preset is None else preset.value
    if interactions.is_dir():
        interactions, described, preset_name = open_dataset_directory(interactions)
        items = items or described
    layout = choose_layout(preset_name, (columns or {}) | settings_of(layout_options, "--layout"))
    table = read_interactions(
        interactions,
        layout,
        duplicates=duplicates or ("sum" if layout.value_column is None else "last"),
        on_bad_row=on_bad_row,
    )
    dataset = build_dataset(
        table,
        min_user_interactions=least[0],
        min_item_interactions=least[1],
        metadata=None if items is None else read_items(items, layout).records,
        user_metadata=None if users is None else read_users(users, layout).records,
    )
    return Reading(dataset, interactions.stem, str(table.report))


def split_definition(
    name: SplitName,
    seed: int,
    folds: int,
    leave: int,
    leave_by: Literal["latest", "random"],
    test_share: float,
    hidden_share: float,
) -> SplitDefinition:
    """A protocol and its numbers, from options.

    Raises:
        ConfigError: a share is 0 or 1.
    """
    for option, share in (("--test-share", test_share), ("--hidden-share", hidden_share)):
        if not 0 < share < 1:
            raise ConfigError(f"{option} {share:g}: give a share between 0 and 1, such as 0.2")
    return SplitDefinition(
        name=name,
        seed=seed,
        folds=folds,
        leave=leave,
        leave_by=leave_by,
        test_share=test_share,
        hidden_share=hidden_share,
    )
