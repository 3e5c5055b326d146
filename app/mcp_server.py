"""The recommender as tools for language models, by the Model Context Protocol: ``python -m app.mcp_server``.

Over standard input and output, or over streamable HTTP. The answers are those of the HTTP service, each item
with its title. Needs the extra ``mcp``; the service itself never imports this module.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Annotated, Any, Final, TypeVar

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field, ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from app import logs
from app.access import Access, KeyRing
from app.answers.options import Body
from app.errors import UnauthorizedError, invalid
from app.holder import ModelHolder
from app.limits import Limits
from app.metrics import Metrics
from app.recommender import Recommender
from app.replaced import ReplacedModels
from app.schemas import requests
from app.schemas.ids import ItemId, UserId
from app.served import Served
from app.settings import Settings, settings_or_exit
from app.source import ArtifactDirectory
from models.errors import FoldrecError

_INSTRUCTIONS: Final = (
    "Recommendations from a catalogue of items. Find the ids of items that people name with search_items; "
    "recommend for a known user id, or fold_in what somebody likes; explain says why. A list whose source is "
    "popular is not personal: fallback_reason says why not."
)
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_Model = TypeVar("_Model", bound=BaseModel)

K = Annotated[int, Field(ge=1, description="how many items")]
Filter = Annotated[
    list[str],
    Field(
        description="over item metadata, all must hold: 'genres:Comedy', 'genres:Comedy|Romance' (or), "
        "'!genres:Horror' (not), 'year:>=1990'"
    ),
]


class Liked(BaseModel):
    """One thing that somebody had or rated."""

    item_id: ItemId
    value: Annotated[
        float | None,
        Field(description="a rating where the model predicts ratings; else 1, or below 0 for a dislike"),
    ] = None


class Tools:
    """What a language model may call. Every refusal is told to it as a text that says what to do."""

    def __init__(self, holder: ModelHolder, limits: Limits) -> None:
        self._holder = holder
        self._limits = limits

    def recommend(
        self,
        user_id: Annotated[UserId, Field(description="of a user of the training data")],
        k: K = 10,
        filter: Filter | None = None,  # noqa: A002 - what the HTTP service calls it
    ) -> Body:
        """Recommend items to a known user. An unknown one gets popular items, and a fallback_reason."""
        asked = self._checked(requests.RecommendQuery, user_id=user_id, k=k, filter=filter or [])
        return self._titled(lambda model: model.recommend(asked.user_id, asked.options()))

    def fold_in(
        self,
        liked: Annotated[list[Liked], Field(description="what somebody likes; search_items finds the ids")],
        k: K = 10,
        filter: Filter | None = None,  # noqa: A002
    ) -> Body:
        """Recommend items to anybody, from what they like. Nothing is stored."""
        interactions = [each.model_dump(exclude_none=True) for each in liked]
        asked = self._checked(requests.FoldInBody, interactions=interactions, k=k)
        options = replace(asked.options(), filter=tuple(filter) if filter else None)
        return self._titled(lambda model: model.fold_in(asked.interactions, options))

    def similar(
        self,
        item_ids: Annotated[list[ItemId], Field(description="one item, or several to be between")],
        k: K = 10,
    ) -> Body:
        """Find the items most like one or several items, by cosine of their factors."""
        asked = self._checked(requests.SimilarBody, item_ids=item_ids, k=k)
        return self._titled(lambda model: model.similar_basket(asked.seeds(), asked.options()))

    def explain(
        self,
        user_id: UserId,
        item_id: ItemId,
        top: Annotated[int, Field(ge=1, description="contributions")] = 5,
    ) -> Body:
        """Say why an item scores as it does for a user: what each item of the history adds to the score."""
        asked = self._checked(requests.ExplainQuery, user_id=user_id, item_id=item_id, explain_top=top)
        return self._answer(
            lambda model: model.recommender.explain(asked.user_id, asked.item_id, asked.explain_top)
        )

    def search_items(
        self, query: Annotated[str, Field(description="a title, or part of it")], k: K = 10
    ) -> Body:
        """Find items and their ids by title; small typos are tolerated."""
        asked = self._checked(requests.ItemsQuery, query=query, k=k)
        return self._answer(lambda model: model.recommender.search_items(asked.query, asked.k))

    def _checked(self, schema: type[_Model], **members: Any) -> _Model:  # noqa: ANN401 - checked here
        try:
            return schema.model_validate(members, context=self._limits)
        except ValidationError as error:
            raise ToolError(str(invalid(error, schema, "body"))) from None

    def _answer(self, ask: Callable[[Served], Body]) -> Body:
        served = self._holder.served
        if served is None:
            raise ToolError("no model is loaded yet: publish an artifact (python -m scripts.train)")
        try:
            return ask(served)
        except FoldrecError as error:
            raise ToolError(str(error)) from None

    def _titled(self, ask: Callable[[Served], Body]) -> Body:
        """An answer whose items have their titles."""

        def titled(served: Served) -> Body:
            answer = ask(served)
            for item in answer["items"]:
                item.update(_title(served.recommender, item["item_id"]))
            return answer

        return self._answer(titled)


def _title(recommender: Recommender, item_id: str) -> Body:
    metadata = recommender.item(item_id)["metadata"] or {}
    return {name: metadata[name] for name in ("title", "name", "year") if name in metadata}


def create_server(settings: Settings) -> tuple[MCPServer[Any], ModelHolder]:
    """Build the server and what loads its models; see `serving`."""
    holder = ModelHolder(
        ArtifactDirectory(settings.artifacts, lambda snapshot: snapshot), Metrics(), ReplacedModels(0, 0)
    )
    tools = Tools(holder, Limits(max_k=settings.max_k, max_body_bytes=settings.max_body_bytes))
    server: MCPServer[Any] = MCPServer("foldrec", version=version("foldrec"), instructions=_INSTRUCTIONS)
    for tool in (tools.recommend, tools.fold_in, tools.similar, tools.explain, tools.search_items):
        server.add_tool(tool, annotations=_READS)
    return server, holder


@asynccontextmanager
async def serving(holder: ModelHolder, seconds: float) -> AsyncIterator[None]:
    """Load the model, and look for newer ones until the block ends."""
    await holder.look()
    watcher = asyncio.create_task(holder.watch(seconds))
    try:
        yield
    finally:
        watcher.cancel()


class Guarded:
    """Asks for one of the service's API keys, where it has any."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what shows a key."""
        if scope["type"] == "http":
            try:
                self._keys.check(Access.KEY, dict(scope["headers"]))
            except UnauthorizedError as error:
                body = str(error).encode()
                headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
        await self._app(scope, receive, send)


async def serve(settings: Settings, *, http: bool) -> None:
    """Serve until standard input ends, or over HTTP until told to stop."""
    server, holder = create_server(settings)
    async with serving(holder, settings.reload_seconds):
        if not http:
            await server.run_stdio_async()
            return
        app = Guarded(
            server.streamable_http_app(host=settings.host, stateless_http=True, json_response=True),
            KeyRing(settings.api_keys, None),
        )
        config = uvicorn.Config(app, host=settings.host, port=settings.port, log_config=None)
        await uvicorn.Server(config).serve()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server."""
    parser = argparse.ArgumentParser(prog="python -m app.mcp_server", description=__doc__)
    parser.add_argument(
        "--http",
        action="store_true",
        help="streamable HTTP at /mcp on FOLDREC_HOST and FOLDREC_PORT instead of standard input and output",
    )
    http = parser.parse_args(argv).http
    settings = settings_or_exit()
    logs.configure(settings.log_level)
    asyncio.run(serve(settings, http=http))
    return 0


if __name__ == "__main__":
    sys.exit(main())
