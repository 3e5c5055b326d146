"""What a table looks like: its format, its columns, and the presets of known data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import ConfigError, DataError
from models.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

Format: TypeAlias = Literal["csv", "tsv", "double-colon", "ndjson", "parquet"]

FORMATS: Final[tuple[Format, ...]] = ("csv", "tsv", "double-colon", "ndjson", "parquet")

_FORMAT_OF_SUFFIX: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".data": "tsv",
    ".inter": "tsv",
    ".item": "tsv",
    ".dat": "double-colon",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSION_SUFFIXES: Final = {".gz", ".zst"}

_SEPARATOR_OF_FORMAT: Final[dict[Format, str]] = {"csv": ",", "tsv": "\t", "double-colon": "::"}


def _checked_separator(separator: str | None) -> str | None:
    if separator is None:
        return None
    separator = separator.replace("\\t", "\t")
    if not separator or set(separator) & set('\r\n"'):
        raise ValueError("a separator is one or more characters, none of them a line end or a double quote")
    return separator


OptionalColumn: TypeAlias = Annotated[str | None, AfterValidator(lambda column: column or None)]
"""A column that need not be there; an empty name, too, says that it is not."""


class TableFormat(BaseModel):
    """How the rows of one file are written.

    `format` None means that the file's name tells it. The other fields are for text and are ignored by NDJSON
    and Parquet, which describe themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Format | None = None
    """csv, tsv, double-colon, ndjson or parquet; None: from the name, ``.gz`` and ``.zst`` aside."""

    separator: Annotated[str | None, AfterValidator(_checked_separator)] = None
    r"""Between two fields, of any length; None: the format's own. ``\t`` may be written out."""

    quoting: bool | None = None
    """Whether fields may stand in double quotes (RFC 4180); None: where the separator is one character."""

    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Of the text; a byte order mark is accepted."""

    columns: tuple[str, ...] | None = None
    """Names of the columns of a file without a header; None: the first line is the header."""

    typed_header: bool = False
    """Whether the header reads ``name:type``, as in RecBole's atomic files; the type is not used."""

    def of(self, path: Path) -> Format:
        """The format of this file.

        Raises:
            DataError: the name does not tell.
        """
        if self.format is not None:
            return self.format
        if self.separator is not None:
            return "csv"
        suffixes = [suffix.lower() for suffix in path.suffixes]
        if suffixes and suffixes[-1] in _COMPRESSION_SUFFIXES:
            suffixes.pop()
        found = _FORMAT_OF_SUFFIX.get(suffixes[-1]) if suffixes else None
        if found is None:
            raise DataError(
                f"{path}: the name does not tell the format; give it with --format: {', '.join(FORMATS)}"
            )
        return found

    def dialect_of(self, path: Path) -> tuple[str, bool]:
        """The separator of a text file and whether its fields may be quoted."""
        separator = self.separator or _SEPARATOR_OF_FORMAT[self.of(path)]
        return separator, len(separator) == 1 if self.quoting is None else self.quoting

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.separator is not None and self.format in {"ndjson", "parquet"}:
            raise ValueError(f"{self.format} has no separator; leave one of the two out")
        long_separator = self.format == "double-colon" if self.separator is None else len(self.separator) > 1
        if self.quoting and long_separator:
            raise ValueError("quoted fields need a separator of one character")
        if self.columns is not None and len(set(self.columns)) != len(self.columns):
            raise ValueError(f"the column names {list(self.columns)} repeat one")
        return self


class ItemLayout(BaseModel):
    """How a table of metadata, of items or of users, becomes members of JSON objects.

    Every column other than the id becomes a member, under its own name unless a field here says otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: TableFormat = TableFormat()
    """How the file is written."""

    id_column: str | None = None
    """Column of the ids; None: called the same as in the interactions."""

    title_column: OptionalColumn = None
    """Column that becomes ``title``; a trailing ``(1995)`` is moved into ``year``."""

    year_column: OptionalColumn = None
    """Column that becomes ``year``, an integer; what is not one is left out. It wins over the title's."""

    lists: dict[str, str] = Field(default_factory=dict)
    """Separator of each text column that holds several values, such as ``{"genres": "|"}``."""

    empty_list: str | None = None
    """Text that stands for an empty list in those columns, such as ``(no genres listed)``."""

    rename: dict[str, str] = Field(default_factory=dict)
    """Member name of a column, where it is not the column's own."""

    flags: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Member that lists which of these 0/1 columns are 1, such as one-hot genres."""


class Layout(BaseModel):
    """Everything needed to read a table of interactions and the tables of items and users beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: TableFormat = TableFormat()
    """How the file of interactions is written."""

    user_column: str = "user_id"
    """Column of the user ids."""

    item_column: str = "item_id"
    """Column of the item ids."""

    value_column: OptionalColumn = None
    """Column of ratings, counts or weights; None: every interaction has the value 1."""

    time_column: OptionalColumn = None
    """Column of timestamps; None: there are none."""

    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    """Unit of timestamps that are numbers, since 1970-01-01 UTC; never guessed."""

    items: ItemLayout = ItemLayout()
    """The table of item metadata."""

    users: ItemLayout = ItemLayout()
    """The table of user metadata."""

    @property
    def interaction_columns(self) -> tuple[str, ...]:
        """The columns that are read: user, item and, where named, value and time."""
        columns = (self.user_column, self.item_column, self.value_column, self.time_column)
        return tuple(column for column in columns if column is not None)

    @property
    def item_id_column(self) -> str:
        """Column of the ids in the table of items."""
        return self.items.id_column or self.item_column

    @property
    def user_id_column(self) -> str:
        """Column of the ids in the table of users."""
        return self.users.id_column or self.user_column

    @model_validator(mode="after")
    def _check(self) -> Self:
        columns = self.interaction_columns
        if len(set(columns)) != len(columns):
            raise ValueError(f"user, item, value and time must be different columns, not {list(columns)}")
        return self


def choose_layout(preset: str | None = None, options: Mapping[str, object] | None = None) -> Layout:
    """A preset, or the default layout, with options laid over it.

    Args:
        preset: a name in `PRESETS`; None: the default layout.
        options: values by field name, with a dot between levels:
            ``{"user_column": "member", "items.table.encoding": "utf-8"}``. None leaves the field as it was,
            so that options of a command line can be handed over as they are.

    Raises:
        ConfigError: there is no such preset or field, or a value that its field does not take.
    """
    if preset is not None and preset not in PRESETS:
        raise ConfigError(
            f"there is no preset {preset!r}{did_you_mean(preset, PRESETS)}; there are {', '.join(PRESETS)}"
        )
    fields = (PRESETS[preset] if preset is not None else Layout()).model_dump()
    for name, value in (options or {}).items():
        if value is not None:
            _put(fields, name, value)
    try:
        return Layout.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(map(_described, error.errors()))
        raise ConfigError(f"the layout cannot be used: {problems}") from error


def _described(problem: ErrorDetails) -> str:
    field = ".".join(map(str, problem["loc"]))
    return f"{field}: {problem['msg']}" if field else problem["msg"]


def _put(fields: dict[str, Any], name: str, value: object) -> None:
    *parents, leaf = name.split(".")
    level = fields
    for parent in parents:
        below = level.get(parent)
        level = below if isinstance(below, dict) else {}
    if leaf not in level:
        raise ConfigError(f"a layout has no field {name!r}{did_you_mean(leaf, level)}")
    level[leaf] = value


_MOVIELENS_COLUMNS: Final = ("user_id", "item_id", "rating", "timestamp")

_MOVIELENS_100K_GENRES: Final = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)

PRESETS: Final[dict[str, Layout]] = {
    # u.data, u.item and u.user of ml-100k
    "movielens-100k": Layout(
        table=TableFormat(format="tsv", quoting=False, columns=_MOVIELENS_COLUMNS),
        value_column="rating",
        time_column="timestamp",
        items=ItemLayout(
            table=TableFormat(
                separator="|",
                quoting=False,
                encoding="latin-1",
                columns=(
                    "item_id",
                    "title",
                    "release_date",
                    "video_release_date",
                    "imdb_url",
                    *_MOVIELENS_100K_GENRES,
                ),
            ),
            title_column="title",
            flags={"genres": _MOVIELENS_100K_GENRES},
        ),
        users=ItemLayout(
            table=TableFormat(
                separator="|",
                quoting=False,
                encoding="latin-1",
                columns=("user_id", "age", "gender", "occupation", "zip_code"),
            ),
        ),
    ),
    # ratings.dat, movies.dat and users.dat of ml-1m
    "movielens-1m": Layout(
        table=TableFormat(format="double-colon", encoding="latin-1", columns=_MOVIELENS_COLUMNS),
        value_column="rating",
        time_column="timestamp",
        items=ItemLayout(
            table=TableFormat(
                format="double-colon", encoding="latin-1", columns=("item_id", "title", "genres")
            ),
            title_column="title",
            lists={"genres": "|"},
        ),
        users=ItemLayout(
            table=TableFormat(
                format="double-colon",
                encoding="latin-1",
                columns=("user_id", "gender", "age", "occupation", "zip_code"),
            ),
        ),
    ),
    # ratings.csv and movies.csv of ml-latest-small, ml-20m, ml-25m and ml-32m
    "movielens-csv": Layout(
        table=TableFormat(format="csv"),
        user_column="userId",
        item_column="movieId",
        value_column="rating",
        time_column="timestamp",
        items=ItemLayout(
            table=TableFormat(format="csv"),
            title_column="title",
            lists={"genres": "|"},
            empty_list="(no genres listed)",
        ),
    ),
    # the .inter, .item and .user files that RecBole calls atomic, with the columns of its ml-100k
    "recbole": Layout(
        table=TableFormat(format="tsv", quoting=False, typed_header=True),
        value_column="rating",
        time_column="timestamp",
        items=ItemLayout(
            table=TableFormat(format="tsv", quoting=False, typed_header=True),
            title_column="movie_title",
            year_column="release_year",
            lists={"class": " "},
            rename={"class": "genres"},
        ),
        users=ItemLayout(table=TableFormat(format="tsv", quoting=False, typed_header=True)),
    ),
}
"""The layouts of known data sets, by name; the only place that knows them."""
