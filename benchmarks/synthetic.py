"""Seeded data with the shape of the real thing, of any size.

Three laws that every interactions table seems to obey are built in, because retrieval and training behave
differently without them:

- items: Zipf–Mandelbrot popularity, ``p(rank) ∝ (rank + offset) ** -s``;
- users: log-normal activity;
- tastes: every user likes a few clusters of items, mostly out of one group of related clusters, and of a
  cluster only a neighbourhood, so that the table has many meaningful directions and not one for each cluster.

`generate_interactions` draws such a table; `generate_factors` skips the training and draws factor matrices
whose norms, spectrum and angles resemble those that iALS finds in it.

    python -m benchmarks.synthetic --users 1000000 --items 200000 --interactions 20000000 --out big.parquet
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.dataset import Dataset
from models.ids import IdMap
from models.row_solve import Rows
from models.types import Float32Array, Float64Array, PointerArray, RowArray

ZIPF_EXPONENT = 1.5
TASTES = np.array([0.4, 0.3, 0.2, 0.1])
"""How a user's interactions spread over the clusters that the user likes."""
EXPLORATION = 0.15
"""Share of interactions that follow the popularity of the whole catalogue and not the user's taste."""
SAME_GROUP = 0.7
"""Share of a user's favourite clusters that come from the user's own group."""
NEIGHBOURHOOD = 0.25
"""Share of a cluster, by popularity, that one user looks at."""
ACTIVITY_SIGMA = 1.1
"""Standard deviation of the logarithm of a user's number of interactions."""
COMMON_WEIGHT, GROUP_WEIGHT, ITEM_SPREAD, USER_SPREAD = 0.5, 0.5, 1.0, 0.6
"""What directions of factors are made of, relative to a cluster's own direction."""
NORM_EXPONENT, NORM_SIGMA = 0.3, 0.2
"""Norm of an item's factors: a power of its popularity, times log-normal noise."""
FIRST_SECOND = 1_500_000_000
SPAN_SECONDS = 3 * 365 * 86_400
_REDRAWS = 6


@dataclass(frozen=True, slots=True)
class SyntheticInteractions:
    """A table of distinct (user, item) pairs, sorted by user and then by item.

    Attributes:
        users: int32, shape ``(n,)``, row numbers below `n_users`.
        items: int32, shape ``(n,)``, row numbers below `n_items`.
        values: float32, shape ``(n,)``, ratings 1 to 5.
        timestamps: int64, shape ``(n,)``, seconds since the epoch.
        n_users: number of users, whether or not each has an interaction.
        n_items: number of items, likewise.
    """

    users: RowArray
    items: RowArray
    values: Float32Array
    timestamps: PointerArray
    n_users: int
    n_items: int

    def indptr(self) -> PointerArray:
        """CSR row pointers of the users, int64, shape ``(n_users + 1,)``: `items` are the column indices."""
        return np.searchsorted(self.users, np.arange(self.n_users + 1)).astype(np.int64)


def generate_interactions(
    *, users: int, items: int, interactions: int, rng: np.random.Generator
) -> SyntheticInteractions:
    """Draw a table of about `interactions` distinct pairs.

    A pair drawn twice is drawn again, a few times over, in the end from the whole catalogue. A user who has
    seen most of what is popular by then stays short: the table can be a few per cent smaller than asked for.
    """
    catalogue = _Catalogue.draw(items, rng)
    favourites, positions = _draw_tastes(catalogue, users, rng)
    wanted = _draw_activity(users, items, interactions, rng)
    pairs = np.empty(0, np.int64)
    missing = wanted
    for redraw in range(_REDRAWS):
        drawn_users = np.repeat(np.arange(users, dtype=np.int32), missing)
        exploration = EXPLORATION if redraw < _REDRAWS // 2 else 1.0
        drawn_items = catalogue.draw_items(drawn_users, favourites, positions, exploration, rng)
        pairs = _distinct(np.concatenate([pairs, drawn_users.astype(np.int64) * items + drawn_items]))
        missing = wanted - np.bincount(pairs // items, minlength=users)
        if not missing.any():
            break
    user_rows = (pairs // items).astype(np.int32)
    item_rows = (pairs % items).astype(np.int32)
    quality = rng.normal(3.5, 0.6, items)[item_rows] + rng.normal(0.0, 0.5, users)[user_rows]
    noisy = quality + rng.normal(0.0, 0.8, len(pairs))
    joined = rng.integers(0, SPAN_SECONDS, users)[user_rows]
    since = rng.random(len(pairs)) * (SPAN_SECONDS - joined)
    return SyntheticInteractions(
        users=user_rows,
        items=item_rows,
        values=np.clip(np.rint(noisy), 1, 5).astype(np.float32),
        timestamps=FIRST_SECOND + joined + since.astype(np.int64),
        n_users=users,
        n_items=items,
    )


def generate_factors(
    *, users: int, items: int, factors: int, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array]:
    """Draw factor matrices that are as hard to search as those that iALS finds in such a table.

    Item norms grow with popularity; directions share a common part, crowd in clusters, and vary inside them.

    Returns:
        User factors, float32, shape ``(users, factors)``, and item factors, float32, shape
        ``(items, factors)``.
    """
    catalogue = _Catalogue.draw(items, rng)
    favourites, _ = _draw_tastes(catalogue, users, rng)
    clusters = len(catalogue.masses)
    groups = _directions(int(catalogue.groups.max()) + 1, factors, rng)
    centres = GROUP_WEIGHT * groups[catalogue.groups] + _directions(clusters, factors, rng)
    popularity = np.diff(catalogue.running, prepend=0.0)
    cluster = np.searchsorted(catalogue.starts, catalogue.running - popularity / 2, side="right") - 1
    item_factors = np.empty((items, factors), np.float32)
    directions = (
        COMMON_WEIGHT * _directions(1, factors, rng)
        + centres[cluster]
        + ITEM_SPREAD * _directions(items, factors, rng)
    )
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    norms = (popularity / popularity.max()) ** NORM_EXPONENT * rng.lognormal(0.0, NORM_SIGMA, items)
    item_factors[catalogue.order] = directions * norms[:, None].astype(np.float32)
    user_factors = USER_SPREAD * _directions(users, factors, rng)
    for taste, weight in enumerate(TASTES):
        user_factors += np.float32(weight) * centres[favourites[:, taste]]
    return user_factors, item_factors


def _directions(rows: int, factors: int, rng: np.random.Generator) -> Float32Array:
    """Random vectors whose norms are close to 1, float32, shape ``(rows, factors)``."""
    return rng.standard_normal((rows, factors), dtype=np.float32) / np.float32(factors**0.5)


def zipf_popularity(items: int) -> Float64Array:
    """Zipf–Mandelbrot shares of `items` items, largest first, summing to 1: shape ``(items,)``."""
    shares = (np.arange(items) + 1.0 + items / 200.0) ** -ZIPF_EXPONENT
    return np.asarray(shares / shares.sum())


def to_dataset(table: SyntheticInteractions) -> Dataset:
    """Number what occurs in a table; users and items without an interaction are left out."""
    users, user_rows = _identified(table.users, "u")
    items, item_rows = _identified(table.items, "i")
    order = np.lexsort((item_rows, user_rows))
    indptr = np.concatenate(([0], np.cumsum(np.bincount(user_rows, minlength=len(users)))))
    histories = Rows(indptr.astype(np.int64), item_rows[order], table.values[order], table.timestamps[order])
    return Dataset(users=users, items=items, histories=histories, has_values=True)


def _identified(codes: RowArray, prefix: str) -> tuple[IdMap, RowArray]:
    """An id for each code that occurs, and the rows of `codes`."""
    distinct, positions = np.unique(codes, return_inverse=True)
    names = [f"{prefix}{code}" for code in distinct.tolist()]
    ids = IdMap.build(names)
    return ids, ids.to_internal(names, missing="raise")[positions]


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """Items laid out cluster after cluster; the running sum of popularity is what draws walk on."""

    order: RowArray  # item rows, cluster after cluster
    running: Float64Array  # running sum of popularity in that order
    starts: Float64Array  # running sum where each cluster begins
    masses: Float64Array  # popularity of each cluster
    groups: RowArray  # group of each cluster

    @classmethod
    def draw(cls, items: int, rng: np.random.Generator) -> "_Catalogue":
        clusters = max(4, round(items**0.5))
        popularity = zipf_popularity(items)
        sizes = rng.dirichlet(np.full(clusters, 2.0))
        cluster = np.sort(rng.choice(clusters, items, p=sizes))
        order = rng.permutation(items).astype(np.int32)
        running = np.cumsum(popularity[order])
        bounds = np.concatenate([[0.0], running])[np.searchsorted(cluster, np.arange(clusters + 1))]
        return cls(
            order=order,
            running=running,
            starts=bounds[:-1],
            masses=np.diff(bounds),
            groups=rng.integers(0, max(2, round(clusters**0.5)), clusters).astype(np.int32),
        )

    def draw_items(
        self,
        users: RowArray,
        favourites: RowArray,
        positions: Float32Array,
        exploration: float,
        rng: np.random.Generator,
    ) -> RowArray:
        """One item for each entry of `users`, after that user's tastes."""
        taste = rng.choice(len(TASTES), len(users), p=TASTES)
        cluster = favourites[users, taste]
        place = (positions[users, taste] + NEIGHBOURHOOD * rng.random(len(users))) % 1.0
        target = self.starts[cluster] + place * self.masses[cluster]
        exploring = rng.random(len(users)) < exploration
        target[exploring] = rng.random(int(exploring.sum())) * self.running[-1]
        found = np.searchsorted(self.running, target, side="right")
        return self.order[np.minimum(found, len(self.order) - 1)]


def _distinct(pairs: PointerArray) -> PointerArray:
    """Sort in place and drop repeats: several times as fast as `numpy.unique` at these sizes."""
    pairs.sort()
    distinct: PointerArray = pairs[np.diff(pairs, prepend=-1) != 0]
    return distinct


def _draw_tastes(
    catalogue: _Catalogue, users: int, rng: np.random.Generator
) -> tuple[RowArray, Float32Array]:
    """Favourite clusters of every user, and where in each the user's neighbourhood begins."""
    shares = catalogue.masses / catalogue.masses.sum()
    favourites = rng.choice(len(shares), (users, len(TASTES)), p=shares).astype(np.int32)
    own_group = catalogue.groups[favourites[:, 0]]
    for taste in range(1, len(TASTES)):
        stays = rng.random(users) < SAME_GROUP
        for group in np.unique(own_group):
            members = np.flatnonzero(catalogue.groups == group)
            rows = np.flatnonzero(stays & (own_group == group))
            favourites[rows, taste] = rng.choice(
                members, len(rows), p=shares[members] / shares[members].sum()
            )
    return favourites, rng.random((users, len(TASTES)), dtype=np.float32)


def _draw_activity(users: int, items: int, interactions: int, rng: np.random.Generator) -> PointerArray:
    """Number of interactions of every user: log-normal, at least one, at most a quarter of the catalogue."""
    activity = rng.lognormal(0.0, ACTIVITY_SIGMA, users)
    scaled = np.rint(activity * (interactions / activity.sum()))
    counts: PointerArray = np.clip(scaled, 1, max(1, items // 4)).astype(np.int64)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """Write a table as Parquet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--interactions", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    table = generate_interactions(
        users=options.users,
        items=options.items,
        interactions=options.interactions,
        rng=np.random.default_rng(options.seed),
    )
    pl.DataFrame(
        {
            "user_id": table.users,
            "item_id": table.items,
            "rating": table.values,
            "timestamp": table.timestamps,
        }
    ).write_parquet(options.out)
    print(f"{len(table.users):,} interactions in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
