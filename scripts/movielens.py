"""The MovieLens datasets: where each is published, what it hashes to, what is in it.

GroupLens publishes an ``.md5`` beside each archive. The SHA-256 sums pinned here belong to the same bytes:
they stand beside those MD5 sums in several independent projects that pin the same archives.
``ml-latest-small`` may be replaced by its publisher, so it is checked against the ``.md5`` of the day.

Source: F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015.
"""

from dataclasses import dataclass
from typing import Final

from scripts.download import Checksum

GROUPLENS_URL: Final = "https://files.grouplens.org/datasets/movielens"

RECBOLE_REQUIREMENT: Final = "recbole==1.2.1"
"""A package on the Python package index whose wheel carries MovieLens 100K with titles, years and genres."""

_RESEARCH_ONLY: Final = (
    "MovieLens is for research use: it may not be redistributed, nor used commercially, without permission "
    "from GroupLens, University of Minnesota."
)


@dataclass(frozen=True, slots=True)
class Table:
    """A text table inside an archive; its first column is the id of a user (interactions) or an item."""

    member: str
    """Path inside the archive."""
    separator: bytes
    header: bool

    @property
    def file_name(self) -> str:
        """Name under the dataset's own directory."""
        return self.member.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Counts:
    """Size of a dataset."""

    interactions: int
    users: int
    items: int

    def __str__(self) -> str:
        return f"{self.interactions:,} interactions of {self.users:,} users, {self.items:,} items"


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file that holds a dataset."""

    file_name: str
    checksum: Checksum | None
    """None: published beside the archive as ``<file_name>.md5``, because the archive may change."""
    preset: str
    """The layout under which `models.interactions` and `models.item_table` read the two tables."""
    interactions: Table
    items: Table
    readme: str | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A MovieLens dataset and the archives it can be taken from."""

    name: str
    grouplens: Archive
    recbole: Archive | None
    counts: Counts | None
    """None where the publisher may change the data."""
    license_note: str = _RESEARCH_ONLY


def _csv_archive(directory: str, checksum: Checksum | None) -> Archive:
    return Archive(
        file_name=f"{directory}.zip",
        checksum=checksum,
        preset="movielens-csv",
        interactions=Table(f"{directory}/ratings.csv", b",", header=True),
        items=Table(f"{directory}/movies.csv", b",", header=True),
        readme=f"{directory}/README.txt",
    )


_ML_100K: Final = Dataset(
    name="movielens-100k",
    grouplens=Archive(
        file_name="ml-100k.zip",
        checksum=Checksum("sha256", "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"),
        preset="movielens-100k",
        interactions=Table("ml-100k/u.data", b"\t", header=False),
        items=Table("ml-100k/u.item", b"|", header=False),
        readme="ml-100k/README",
    ),
    recbole=Archive(
        file_name="recbole-1.2.1-py3-none-any.whl",
        checksum=Checksum("sha256", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"),
        preset="recbole",
        interactions=Table("recbole/dataset_example/ml-100k/ml-100k.inter", b"\t", header=True),
        items=Table("recbole/dataset_example/ml-100k/ml-100k.item", b"\t", header=True),
        readme=None,
    ),
    counts=Counts(interactions=100_000, users=943, items=1_682),
)
_ML_SMALL: Final = Dataset(
    name="movielens-small",
    grouplens=_csv_archive("ml-latest-small", checksum=None),
    recbole=None,
    counts=None,
    license_note=(
        "MovieLens is for research use: it may not be used commercially without permission from GroupLens, "
        "University of Minnesota, and be redistributed only under the terms of its README.txt."
    ),
)
_ML_1M: Final = Dataset(
    name="movielens-1m",
    grouplens=Archive(
        file_name="ml-1m.zip",
        checksum=Checksum("sha256", "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"),
        preset="movielens-1m",
        interactions=Table("ml-1m/ratings.dat", b"::", header=False),
        items=Table("ml-1m/movies.dat", b"::", header=False),
        readme="ml-1m/README",
    ),
    recbole=None,
    counts=Counts(interactions=1_000_209, users=6_040, items=3_883),
)
_ML_25M: Final = Dataset(
    name="movielens-25m",
    grouplens=_csv_archive(
        "ml-25m",
        Checksum("sha256", "8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa"),
    ),
    recbole=None,
    counts=Counts(interactions=25_000_095, users=162_541, items=62_423),
)

CATALOGUE: Final = {dataset.name: dataset for dataset in (_ML_100K, _ML_SMALL, _ML_1M, _ML_25M)}
