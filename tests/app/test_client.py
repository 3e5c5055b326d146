"""docs/examples/client.py, against a real service."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.service_process import ROOT, running

KEY = "a-key-for-tests"


@pytest.fixture(scope="module")
def module() -> ModuleType:
    """The client's module, imported from its file as a copy of it would be."""
    spec = importlib.util.spec_from_file_location("client", ROOT / "docs" / "examples" / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["client"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def client(module: ModuleType, tmp_path: Path, publish_small: Callable[..., str]) -> Iterator[Any]:
    """A client of a service that asks for a key and has a model."""
    publish_small(tmp_path / "artifacts")
    with (
        running(tmp_path / "artifacts", tmp_path / "log", api_keys=KEY) as service,
        module.Foldrec(f"http://127.0.0.1:{service.port}", api_key=KEY) as client,
    ):
        yield client


def test_every_method_gets_an_answer(client: Any) -> None:
    """Each method is answered, and the answers agree with one another."""
    listed = client.recommend("u1", k=3, explain=True, filter={"must_not": [{"field": "year", "gte": 2025}]})
    assert [item["rank"] for item in listed["items"]] == [1, 2, 3]
    assert client.recommend_many(["u1", "u2"], k=3)[0]["user_id"] == "u1"
    best = listed["items"][0]
    assert sum(part["contribution"] for part in best["because"]) + best["intercept"] == pytest.approx(
        best["score"], rel=1e-5
    )
    assert client.predict("u1", best["item_id"]) == pytest.approx(best["score"], rel=1e-5)
    assert client.explain("u1", best["item_id"])["score"] == pytest.approx(best["score"], rel=1e-5)
    assert client.fold_in([{"item_id": "i1", "value": 2.0}], k=2)["source"] == "fold_in"
    assert client.similar(["i1", "i2"], k=2)["k"] == 2
    assert client.item("i1")["metadata"]["title"] == "Title 1"
    users = client.item_users("i1", k=2)
    assert users["total"] == client.item("i1")["interactions"]
    assert len(users["users"]) == 2
    assert client.model()["family"] == "ials"


def test_pages_are_the_whole_list(client: Any) -> None:
    """All pages of a history's list together have every other item once."""
    pages = list(client.fold_in_pages([{"item_id": "i1"}], k=7))
    items = [item["item_id"] for page in pages for item in page["items"]]
    assert len(pages) == 6
    assert sorted(items) == sorted({f"i{n}" for n in range(40)} - {"i1"})


def test_refusals_are_exceptions(client: Any, module: ModuleType) -> None:
    """A refusal carries the problem's kind, its detail and its fields."""
    with pytest.raises(module.ProblemError) as unknown:
        client.predict("nobody", "i1")
    assert (unknown.value.status, unknown.value.kind) == (404, "unknown-user")
    assert "nobody" in unknown.value.detail
    with pytest.raises(module.ProblemError) as invalid:
        client.recommend("u1", k=0)
    assert invalid.value.errors[0]["field"] == "k"
    with (
        module.Foldrec(str(client._http.base_url)) as without_key,
        pytest.raises(module.ProblemError, match="unauthorized"),
    ):
        without_key.model()
