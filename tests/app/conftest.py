"""A service on a real socket: uvicorn in a thread, around any app."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import pytest
import uvicorn

from app.main import create_app
from app.posted_history import Interaction
from app.recommender import Options, Recommender
from app.settings import Settings
from models.artifact import publish
from models.dataset import Dataset
from models.errors import ArtifactError, NoArtifactError, UnknownItemError, UnknownUserError
from models.ids import IdMap
from models.registry import configure
from models.row_solve import Rows
from models.training import TrainingPlan, train
from tests.app.families import RECIPES, published

API_KEY = "a-key-for-tests"
ADMIN_KEY = "an-admin-key-for-tests"
FIRST = "20260101T000000Z-0001"


@contextlib.contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an app on a free port of the loopback interface; yields its base URL."""
    config = uvicorn.Config(
        app,
        port=0,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive(), "the server did not stop"


class FakeRecommender:
    """Answers by the contract, from ten users ``u0``.. and ten items ``i0``..; ``boom`` breaks it."""

    def __init__(self, version: str) -> None:
        manifest = SimpleNamespace(
            family="ials",
            created_at=datetime.now(UTC),
        )
        self.snapshot = SimpleNamespace(
            version=version, state=version, manifest=manifest, recommend=SimpleNamespace(method="hnsw")
        )
        self.asked: list[tuple[Any, ...]] = []
        self.release = threading.Event()

    def recommend(self, user_id: str, options: Options) -> dict[str, Any]:
        """A list for a user, popular for one that is unknown."""
        self.asked.append(("recommend", user_id, options))
        if user_id == "boom":
            raise RuntimeError("secret internals")
        if user_id == "slow":
            self.release.wait(10)
        known = user_id in {f"u{n}" for n in range(10)}
        if not known and options.on_unknown == "error":
            raise UnknownUserError(f"user {user_id!r} is not known; POST /fold-in takes a history")
        about = {"source": "factors", "fallback_reason": None}
        if not known:
            about = {"source": "popular", "fallback_reason": "unknown_user"}
        return {**self._items(options), **about, "user_id": user_id, "ignored_items": []}

    looked_up = None
    searched = recommend

    def recommend_many(self, user_ids: Sequence[str], options: Options) -> Iterator[dict[str, Any]]:
        """A list for each."""
        return (self.recommend(user_id, options) for user_id in user_ids)

    def similar_users(self, user_id: str, k: int) -> dict[str, Any]:
        """Nobody is like anybody; ``slow`` takes its time to find out."""
        self.asked.append(("similar_users", user_id, k))
        if user_id == "slow":
            self.release.wait(10)
        return {
            "model_version": self.snapshot.version, "user_id": user_id, "k": k, "shortfall": k, "users": [],
        }  # fmt: skip

    def fold_in(self, interactions: Sequence[Interaction], options: Options) -> dict[str, Any]:
        """A list for a history."""
        self.asked.append(("fold_in", interactions, options))
        return {**self._items(options), "source": "fold_in", "fallback_reason": None, "ignored_items": []}

    def similar(self, item_id: str, options: Options) -> dict[str, Any]:
        """A list for an item."""
        self.item(item_id)
        return {**self._items(options), "item_id": item_id}

    def item(self, item_id: str) -> dict[str, Any]:
        """An item without metadata."""
        if item_id not in {f"i{n}" for n in range(10)}:
            raise UnknownItemError(f"item {item_id!r} is not known; GET /model lists its size")
        return {
            "model_version": self.snapshot.version,
            "item_id": item_id,
            "interactions": 1,
            "metadata": None,
        }

    def item_users(self, item_id: str, k: int) -> dict[str, Any]:
        """Nobody has any item."""
        self.asked.append(("item_users", item_id, k))
        about = self.item(item_id)
        return {
            "model_version": about["model_version"],
            "item_id": item_id,
            "total": 0,
            "k": k,
            "shortfall": k,
            "users": [],
        }

    def _items(self, options: Options) -> dict[str, Any]:
        ids = [f"i{n}" for n in range(10) if f"i{n}" not in options.exclude][: options.k]
        return {
            "model_version": self.snapshot.version,
            "k": options.k,
            "shortfall": options.k - len(ids),
            "items": [{"item_id": each, "score": 1 / rank, "rank": rank} for rank, each in enumerate(ids, 1)],
        }


@dataclass
class FakeSource:
    """A source whose model a test replaces, breaks or takes away."""

    recommender: FakeRecommender | None = None
    refuse: str | None = None
    _edition: Iterator[int] = field(default_factory=itertools.count)
    _marker: int = 0

    def publish(self, version: str, *, refuse: str | None = None) -> None:
        """Put another model in place; with `refuse` it cannot be served."""
        self.recommender, self.refuse, self._marker = FakeRecommender(version), refuse, next(self._edition)

    def marker(self) -> int | None:
        """Look."""
        return None if self.recommender is None else self._marker

    def version(self) -> str:
        """Name the model."""
        if self.recommender is None:
            raise NoArtifactError("CURRENT: no such file; train a model first")
        return cast("str", self.recommender.snapshot.version)

    def load(self) -> Recommender:
        """Load it."""
        if self.refuse is not None:
            raise ArtifactError(self.refuse)
        return cast("Recommender", self.recommender)


@dataclass
class FakeService:
    """A running service around a fake model."""

    url: str
    source: FakeSource
    client: httpx.Client


ServiceFactory = Callable[..., FakeService]


@pytest.fixture(scope="session")
def api_key() -> str:
    """The API key of a service that asks for one."""
    return API_KEY


@pytest.fixture(scope="session")
def admin_key() -> str:
    """The admin key of a service that has one."""
    return ADMIN_KEY


@pytest.fixture
def start() -> Iterator[ServiceFactory]:
    """Start services around fake models; they stop with the test. Keywords are settings."""
    with contextlib.ExitStack() as stack:

        def _start(*, ready: bool = True, **settings: Any) -> FakeService:
            source = FakeSource()
            if ready:
                source.publish(FIRST)
            url = stack.enter_context(running(create_app(Settings(**settings), source=source)))
            client = stack.enter_context(httpx.Client(base_url=url, timeout=20))
            return FakeService(url, source, client)

        yield _start


@pytest.fixture
def fake(start: ServiceFactory) -> FakeService:
    """One service around a fake model, with the settings' defaults."""
    return start()


@pytest.fixture
def serve() -> Iterator[Callable[..., httpx.Client]]:
    """Serve what settings say; services stop with the test."""
    with contextlib.ExitStack() as stack:

        def _serve(**settings: Any) -> httpx.Client:
            url = stack.enter_context(running(create_app(Settings(**settings))))
            return stack.enter_context(httpx.Client(base_url=url, timeout=20))

        yield _serve


Publish = Callable[..., str]


@pytest.fixture(scope="session")
def publish_small() -> Publish:
    """Train a model on sixty users and forty items and publish it; returns the version."""

    def _publish(root: Path, *, family: str = "ials", seed: int = 0) -> str:
        rng = np.random.default_rng(seed)
        histories = [np.flatnonzero(rng.random(40) < 0.2).astype(np.int32) for _ in range(60)]
        indices = np.concatenate(histories)
        dataset = Dataset(
            users=IdMap.build(f"u{n}" for n in range(60)),
            items=IdMap.build(f"i{n}" for n in range(40)),
            histories=Rows(
                np.cumsum([0, *map(len, histories)], dtype=np.int64),
                indices,
                rng.integers(1, 6, len(indices)).astype(np.float32),
            ),
            has_values=True,
            metadata={
                f"i{n}": {
                    "title": f"Title {n}",
                    "year": 1990 + n,
                    "genres": ["Drama", "Comedy"] if n % 3 else ["Horror"],
                    "released": f"{1990 + n}-05-17",
                    "colour": n % 2 == 0,
                }
                for n in range(39)
            },
        )
        plan = TrainingPlan(family=family, config=configure(family, {"factors": 4}), seed=seed)
        return publish(root, *train(dataset, plan))

    return _publish


@pytest.fixture(scope="session")
def recommenders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recommender]:
    """A published, loaded model of every family."""
    return {name: published(name, tmp_path_factory.mktemp(name)) for name in RECIPES}


@pytest.fixture(params=list(RECIPES))
def recommender(request: pytest.FixtureRequest, recommenders: dict[str, Recommender]) -> Recommender:
    """One family's recommender."""
    return recommenders[request.param]


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory, publish_small: Publish) -> Path:
    """A directory with one published model of implicit feedback. Not to be changed."""
    root = tmp_path_factory.mktemp("artifacts")
    publish_small(root)
    return root


@pytest.fixture(scope="session")
def real(artifacts: Path) -> Iterator[httpx.Client]:
    """A client of a service that serves that model. Its body limit is beyond what schemathesis sends."""
    settings = Settings(artifacts=artifacts, max_body_bytes=2**26)
    with running(create_app(settings)) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def real_ratings(tmp_path_factory: pytest.TempPathFactory, publish_small: Publish) -> Iterator[httpx.Client]:
    """A client of a service that serves a model of ratings."""
    root = tmp_path_factory.mktemp("ratings")
    publish_small(root, family="als")
    with (
        running(create_app(Settings(artifacts=root))) as url,
        httpx.Client(base_url=url, timeout=20) as client,
    ):
        yield client
