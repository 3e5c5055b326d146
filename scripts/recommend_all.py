"""Write the top-k of all users, or of those listed in a file, to a Parquet file.

python -m scripts.recommend_all --artifacts artifacts --output lists.parquet --k 20 --filter genres:Comedy
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.artifact import current_version, open_artifact
from models.artifact.durable import replacement
from models.errors import ConfigError, DataError
from models.item_filter import FilterMasks, parse_filter
from models.list_table import Tally, list_table, write_tables
from models.top_lists import TopListMaker
from scripts.spark import MasterOption, SparkSettingsOption, WorkDirOption, spark_cluster
from scripts.terminal import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from models.artifact import Artifact
    from models.index.base import Eligible
    from models.types import RowArray

_LONGEST = 1_000

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def _recommend_all(
    output: Annotated[
        Path,
        typer.Option(
            help="The Parquet file (--engine spark: a directory of them); an old one is replaced at the end."
        ),
    ],
    artifacts: Annotated[Path, typer.Option(help="Where versions are published.")] = Path("artifacts"),
    version: Annotated[str | None, typer.Option(help="Of the artifact; without: the current one.")] = None,
    users: Annotated[Path | None, typer.Option(help="Text file of user ids, one a line.")] = None,
    on_unknown: Annotated[
        Literal["stop", "skip"], typer.Option(help="What a listed user whom the model does not know does.")
    ] = "stop",
    k: Annotated[int, typer.Option("--k", min=1, max=_LONGEST, help="Length of the lists.")] = 10,
    exclude_seen: Annotated[bool, typer.Option(help="Leave out what a user has had.")] = True,
    filter_: Annotated[
        list[str],
        typer.Option(
            "--filter", help="Of the items, such as genres:Comedy; repeat for more: docs/filters.md."
        ),
    ] = [],  # noqa: B006 - typer copies it
    engine: Annotated[
        Literal["here", "spark"],
        typer.Option(help="What makes the lists: this process, or a Spark cluster (docs/spark.md)."),
    ] = "here",
    master: MasterOption = None,
    work_dir: WorkDirOption = None,
    spark_settings: SparkSettingsOption = [],  # noqa: B006 - typer copies it
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    cluster = None if engine == "here" else spark_cluster(master, work_dir, spark_settings)
    if not output.parent.is_dir():
        raise ConfigError(f"--output {output}: there is no directory {output.parent}; make it first")
    if engine == "here" and output.is_dir():
        raise ConfigError(
            f"--output {output}: that is a directory; name a file, such as {output}/lists.parquet"
        )
    artifact = open_artifact(artifacts / (version or current_version(artifacts)))
    rows = np.arange(len(artifact.users), dtype=np.int32)
    if users is not None:
        rows = _listed(users, artifact, on_unknown, console)
    eligible = _eligible(filter_, artifact)
    if cluster is None:
        tally = _here(
            artifact,
            rows,
            k=k,
            exclude_seen=exclude_seen,
            eligible=eligible,
            output=output,
            console=console,
        )
    else:
        from models.engines.spark import lists  # noqa: PLC0415 - an extra

        tally = lists.recommend_all(
            cluster, artifact, rows, k=k, exclude_seen=exclude_seen, eligible=eligible, output=output
        )
    console.print(
        f"{artifact.manifest.model_version}: {tally.entries:,} recommendations for {len(rows):,} users"
    )
    if tally.short:
        console.print(f"fewer than {k} items were left for {tally.short:,} users")
    if tally.without:
        console.print(
            f"{tally.without:,} users have no rows: they have had everything, or show no preference"
        )
    console.print(f"wrote {output}", markup=False)


def _listed(
    path: Path, artifact: Artifact, on_unknown: Literal["stop", "skip"], console: Console
) -> RowArray:
    """Rows of the users in a file, in its order, each once."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; write the ids one a line in UTF-8"
        ) from error
    lines = [line.removesuffix("\r") for line in lines]
    ids = list(dict.fromkeys(line for line in lines if line))
    found = artifact.users.find(ids)
    unknown = [user for user, row in zip(ids, found, strict=True) if row is None]
    if unknown and on_unknown == "stop":
        raise DataError(
            f"{path}, line {lines.index(unknown[0]) + 1}: user {unknown[0]!r} is not in model "
            f"{artifact.manifest.model_version} (of {len(ids):,} users {len(unknown):,} are not); take them "
            "out, or use --on-unknown skip"
        )
    if len(unknown) == len(ids):
        raise DataError(f"{path}: none of its {len(ids):,} lines is the id of a user of the model")
    if unknown:
        console.print(f"{path}: skipped {len(unknown):,} unknown users, such as {unknown[0]!r}", markup=False)
    return np.array([row for row in found if row is not None], dtype=np.int32)


def _eligible(filters: Sequence[str], artifact: Artifact) -> Eligible | None:
    """The items that pass all filters; None where there are none."""
    if not filters:
        return None
    fields = artifact.item_fields
    eligible = FilterMasks(fields).eligible(parse_filter(filters, fields))
    if not len(eligible.rows):
        raise ConfigError(f"no item passes {' and '.join(filters)}; use a wider --filter")
    return eligible


def _here(
    artifact: Artifact,
    rows: RowArray,
    *,
    k: int,
    exclude_seen: bool,
    eligible: Eligible | None,
    output: Path,
    console: Console,
) -> Tally:
    """Write the lists to one file, with all cores of this machine."""
    maker = TopListMaker(artifact.manifest.row_rule, artifact.user_factors, artifact.item_factors, eligible)
    item_ids = pl.Series(list(artifact.items), dtype=pl.String)
    tally = Tally()

    def tables(advance: Callable[[int], None]) -> Iterator[pl.DataFrame]:
        for block in maker.lists(rows, k, artifact.histories if exclude_seen else None):
            tally.count(block)
            yield list_table(block, artifact.users, item_ids)
            advance(len(block.users))

    with _bar(console, len(rows)) as advance, replacement(output) as unfinished:
        write_tables(unfinished, tables(advance))
    return tally


@contextmanager
def _bar(console: Console, users: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of users; yields what moves it on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("users"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("recommend", total=users)
        yield lambda done: progress.advance(task, done)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; see `scripts.terminal.run`."""
    return run(app, argv, name="scripts.recommend_all")


if __name__ == "__main__":
    sys.exit(main())
