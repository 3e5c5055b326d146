"""A cluster of two workers for all tests here, and a session with it for those that need no command line."""

from __future__ import annotations

import pytest

from tests.spark.standalone import SETTINGS, missing, standalone

_PY4J = ("ignore::ResourceWarning", "ignore:.*socket:pytest.PytestUnraisableExceptionWarning")
"""It leaves closing its sockets to the garbage collector."""


def pytest_collection_modifyitems(items):
    """Skip with a clear word where there is no Spark; only tests of this directory use a cluster."""
    lacking = missing()
    for item in items:
        if "tests/spark/" in item.nodeid:
            item.add_marker(pytest.mark.spark)
            item.add_marker(pytest.mark.timeout(600))
            for warning in _PY4J:
                item.add_marker(pytest.mark.filterwarnings(warning))
            if lacking is not None:
                item.add_marker(pytest.mark.skip(reason=lacking))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A master and two workers of one core each."""
    with standalone(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def space(cluster, tmp_path_factory):
    """A session with the cluster."""
    from models.engines.spark.cluster import Cluster, workspace  # noqa: PLC0415 - an extra

    with workspace(Cluster(cluster.url, tmp_path_factory.mktemp("work"), SETTINGS)) as opened:
        yield opened
