"""Vectors, graphs and oracles that the tests of retrieval share."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.index.certificate import GraphSetting
from models.index.hnsw import HnswIndex

NOTHING = np.empty(0, dtype=np.int32)


def ordered(scores, excluded=()):
    """Rows by descending score and ascending row, without the excluded: the oracle, by full sort."""
    rows = np.setdiff1d(np.arange(len(scores)), excluded)
    return rows[np.argsort(-np.asarray(scores)[rows], kind="stable")]


def clustered(n, d, rng, *, clusters=40, spread=0.5):
    """Unit-length centres with noise around them."""
    centres = rng.standard_normal((clusters, d)) / d**0.5
    noise = rng.standard_normal((n, d)) * spread / d**0.5
    return (centres[rng.integers(0, clusters, n)] + noise).astype(np.float32)


def skewed(n, d, rng, *, sigma=1.5):
    """Clustered directions with log-normal norms: a few vectors are hundreds of times as long as others."""
    return (clustered(n, d, rng) * rng.lognormal(0.0, sigma, (n, 1))).astype(np.float32)


def build(vectors, space, *, ef=100, m=16, seed=7):
    """A graph, the same one every time."""
    setting = GraphSetting(space=space, m=m, ef_construction=200, ef=ef)
    return HnswIndex.build(vectors, setting, seed=seed, threads=1)


@st.composite
def small_searches(draw, *, integers=True):
    """`(vectors, query, k, excluded)`; with integers, sums are exact and ties are many."""
    n = draw(st.integers(1, 30))
    d = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if integers:
        vectors = rng.integers(-2, 3, (n, d)).astype(np.float32)
        query = rng.integers(-2, 3, d).astype(np.float32)
    else:
        distinct = rng.standard_normal((max(1, n // 3), d)).astype(np.float32)
        vectors = distinct[rng.integers(0, len(distinct), n)]
        query = rng.standard_normal(d).astype(np.float32)
    k = draw(st.integers(1, n + 5))
    excluded = np.array(sorted(draw(st.sets(st.integers(0, n - 1)))), dtype=np.int32)
    return vectors, query, k, excluded
