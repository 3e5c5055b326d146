"""GET /items/{item_id}/users: who has an item, against a walk through every history."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers import item_users
from app.answers.item_users import entries_of
from app.main import create_app
from app.recommender import Recommender
from app.schemas.answers import ItemUsers
from app.settings import Settings
from models.artifact import publish
from models.dataset import Dataset
from models.errors import UnknownItemError
from models.ids import IdMap
from models.registry import configure
from models.row_solve import Rows
from models.training import TrainingPlan, train
from tests.app.conftest import running

ODD = ["plain", "with/slash", "with/slash/users", "/users", "users", "50 % & more?", "東京"]
"""Ids that would be other paths if they were not percent-encoded."""


def expected(recommender: Recommender, item: int) -> list[tuple[str, float, int | None]]:
    """Users, values and times of an item, by a walk through every history."""
    artifact = recommender.snapshot.artifact
    had = []
    for user in range(len(artifact.users)):
        row = artifact.histories.only(user)
        for position, each in enumerate(row.indices.tolist()):
            if each == item:
                time = None if row.times is None else int(row.times[position])
                had.append((artifact.users.external(user), float(row.values[position]), time))
    return sorted(had, key=lambda each: (-each[1], -(each[2] or 0)))


def test_users_are_those_of_the_histories(recommender: Recommender) -> None:
    """For every item of every family: everybody who has it, in order, as many as its popularity says."""
    artifact = recommender.snapshot.artifact
    for item in range(len(artifact.items)):
        answer = ItemUsers.model_validate(recommender.item_users(artifact.items.external(item), 1000))
        found = [(user.user_id, user.value, user.timestamp) for user in answer.users]
        assert found == expected(recommender, item)
        assert [user.rank for user in answer.users] == list(range(1, answer.total + 1))
        assert answer.total == len(found) == artifact.popularity[item]
        assert answer.shortfall == 1000 - answer.total


def test_first_k_are_the_first_of_all(recommender: Recommender) -> None:
    """A short list is the beginning of the long one and tells the same total."""
    everybody, few = (recommender.item_users("i00003", k) for k in (1000, 2))
    assert few["users"] == everybody["users"][:2]
    assert (few["total"], few["shortfall"]) == (everybody["total"], 0)


def test_unknown_item_is_refused(recommender: Recommender) -> None:
    """No item, no users."""
    with pytest.raises(UnknownItemError, match="'x9' is not among"):
        recommender.item_users("x9", 3)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 7))
def test_scan_in_pieces_finds_every_entry(indices: list[int], piece: int) -> None:
    """However the entries are cut into pieces, those of an item are found."""
    rows = Rows.one(np.array(indices, dtype=np.int32), np.ones(len(indices), dtype=np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_users, "_BLOCK", piece)
        found = entries_of(rows, 3)
    assert found.tolist() == [position for position, item in enumerate(indices) if item == 3]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service whose items have odd ids; the one user of each is called after it."""
    count = len(ODD)
    users, items = IdMap.build(f"fan of {item_id}" for item_id in ODD), IdMap.build(ODD)
    favourites = [users.external(user).removeprefix("fan of ") for user in range(count)]
    table = Dataset(
        users=users,
        items=items,
        histories=Rows(
            np.arange(count + 1, dtype=np.int64),
            items.to_internal(favourites, missing="raise"),
            np.ones(count, dtype=np.float32),
        ),
        has_values=False,
    )
    root = tmp_path_factory.mktemp("odd")
    publish(root, *train(table, TrainingPlan(family="popularity", config=configure("popularity", {}))))
    with running(create_app(Settings(artifacts=root))) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.mark.parametrize("item_id", ODD)
def test_any_id_has_its_own_paths(odd: httpx.Client, item_id: str) -> None:
    """Percent-encoded, an id is never taken for another path, nor `/users` for a part of it."""
    path = f"/items/{quote(item_id, safe='')}"
    assert odd.get(path).json()["item_id"] == item_id
    answer = odd.get(f"{path}/users").json()
    assert answer["item_id"] == item_id
    assert [user["user_id"] for user in answer["users"]] == [f"fan of {item_id}"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/items/x9/users", 404),
        ("/items/i1/users?k=0", 422),
        ("/items/i1/users?order=value", 422),
        ("/items/i1/users/", 404),
        ("/items/%ff/users", 422),
    ],
)
def test_refusals(fake: Any, path: str, status: int) -> None:
    """An unknown item, a wrong parameter, another path and bytes that are no text."""
    answer = fake.client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_other_methods_are_refused(fake: Any) -> None:
    """The path has GET and HEAD."""
    assert fake.client.head("/items/i1/users").status_code == 200
    refused = fake.client.post("/items/i1/users")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
