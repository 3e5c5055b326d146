"""Opening hnswlib's files: hnswlib's own `load_index` is the oracle."""

from __future__ import annotations

import hnswlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ArtifactError
from models.index.hnsw_file import among_inner_products, open_graph

WIDTH = 9


def written(path, n_vectors, *, m=5, seed=0, space="ip", spare=0):
    """The vectors of a graph that hnswlib has written to `path`."""
    vectors = np.random.default_rng(seed).standard_normal((n_vectors, WIDTH), dtype=np.float32)
    graph = hnswlib.Index(space=space, dim=WIDTH)
    graph.init_index(max_elements=max(1, n_vectors + spare), M=m, ef_construction=20, random_seed=seed)
    graph.add_items(vectors, np.random.default_rng(seed).permutation(n_vectors), num_threads=1)
    graph.save_index(str(path))
    return vectors


@given(
    n_vectors=st.sampled_from([1, 2, 3, 40, 400]) | st.integers(1, 200),
    m=st.integers(2, 9),
    seed=st.integers(0, 1000),
    spare=st.sampled_from([0, 7]),
)
def test_it_is_the_graph_that_hnswlib_loads(tmp_path_factory, n_vectors, m, seed, spare):
    """The same answers, and saved again the same file, whatever the graph."""
    directory = tmp_path_factory.mktemp("graph")
    vectors = written(directory / "graph", n_vectors, m=m, seed=seed, spare=spare)
    theirs = hnswlib.Index(space="ip", dim=WIDTH)
    theirs.load_index(str(directory / "graph"))
    ours = open_graph(directory / "graph", dimensions=WIDTH, n_vectors=n_vectors)
    for ef in (1, 30):
        theirs.set_ef(ef)
        ours.set_ef(ef)
        # k = 1: with few links hnswlib's walk may not reach more.
        for expected, found in zip(theirs.knn_query(vectors, 1), ours.knn_query(vectors, 1), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert (ours.element_count, ours.M, ours.ef_construction) == (n_vectors, m, theirs.ef_construction)
    ours.save_index(str(directory / "again"))
    theirs.save_index(str(directory / "theirs"))
    assert (directory / "again").read_bytes() == (directory / "theirs").read_bytes()


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 24, 25, 400])
def test_a_file_that_ends_too_early_is_refused(cut, tmp_path):
    """However little of the links at the end is missing, hnswlib is not asked to read it."""
    written(tmp_path / "graph", 300, m=4)
    whole = (tmp_path / "graph").read_bytes()
    (tmp_path / "graph").write_bytes(whole[:-cut])
    with pytest.raises(ArtifactError, match="not a whole graph"):
        open_graph(tmp_path / "graph", dimensions=WIDTH, n_vectors=300)


def test_a_file_that_goes_on_is_refused(tmp_path):
    """Bytes that no node accounts for are no part of a graph."""
    written(tmp_path / "graph", 300, m=4)
    with (tmp_path / "graph").open("ab") as file:
        file.write(bytes(24))
    with pytest.raises(ArtifactError, match="not a whole graph"):
        open_graph(tmp_path / "graph", dimensions=WIDTH, n_vectors=300)


@given(n_vectors=st.sampled_from([1, 2, 40, 400]), m=st.integers(4, 9), seed=st.integers(0, 1000))
def test_without_its_last_coordinate_a_graph_is_walked_by_inner_products(
    tmp_path_factory, n_vectors, m, seed
):
    """Of points at equal distance from the origin, a walk by L2 and one by inner products find the same."""
    path = tmp_path_factory.mktemp("graph") / "graph"
    points = np.random.default_rng(seed).standard_normal((n_vectors, WIDTH))
    points = (points / np.linalg.norm(points, axis=1)[:, np.newaxis] * 1024).astype(np.float32)
    graph = hnswlib.Index(space="l2", dim=WIDTH)
    graph.init_index(max_elements=n_vectors, M=m, ef_construction=50, random_seed=seed)
    graph.add_items(points, np.random.default_rng(seed).permutation(n_vectors), num_threads=1)
    without = among_inner_products(graph)
    without.save_index(str(path))
    opened = open_graph(path, dimensions=WIDTH - 1, n_vectors=n_vectors)
    queries = np.random.default_rng(seed + 1).standard_normal((20, WIDTH)).astype(np.float32)
    queries[:, -1] = 0
    for each in graph, without, opened:
        each.set_ef(30)
    expected, squares = graph.knn_query(queries, 1)
    for each in without, opened:
        found, distances = each.knn_query(queries[:, :-1], 1)
        np.testing.assert_array_equal(found, expected)
        # |q − x|² = |q|² + |x|² − 2 q·x
        lengths = np.sum(queries**2, axis=1, keepdims=True) + 1024**2
        np.testing.assert_allclose(lengths + 2 * (distances - 1), squares, rtol=1e-5)


def test_a_graph_of_longer_vectors_is_refused(tmp_path):
    """Such as one of augmented vectors that still has the coordinate that was added."""
    written(tmp_path / "graph", 300, m=4)
    with pytest.raises(ArtifactError, match="vectors of length 9, but the model's have 8"):
        open_graph(tmp_path / "graph", dimensions=WIDTH - 1, n_vectors=300)
