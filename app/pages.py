"""Lists by the model that is asked for, and page by page.

The first page is for an empty cursor, each next one for the cursor that the last one gave.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends, Request

from app.answers.options import Body, Options
from app.answers.pages import GOES_ON
from app.cursors import CursorSigner, Place
from app.dependencies import SERVED, model_holder
from app.errors import CursorExpiredError, FieldError, InvalidRequestError, Location, UnknownModelError
from app.schemas.parameters import PagedRequest
from app.served import Served

Answering = Callable[[Served, Options], Body]
_START: Final = ""
_ONE_PAGE: Final = ("diversity", "explore", "what_if")


class PagedLists:
    """Answers one request, by the model that it names, or that its cursor is of."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def answer(self, asked: PagedRequest, model: Served, answering: Answering) -> Body:
        """Answer with a list, or with a page of it where there is a cursor.

        Raises:
            UnknownModelError: the model that is asked for is not loaded.
            InvalidRequestError: the cursor is not one of this question.
            CursorExpiredError: its model is no longer kept.
        """
        if asked.model_version is not None:
            model = self._named(asked.model_version, model)
        options = asked.options()
        if asked.cursor is None:
            return answering(model, options)
        self._check(asked)
        signer: CursorSigner = self._request.app.state.signer
        question = _question(asked)
        first = Place(model.version, page=0)
        place = first if asked.cursor == _START else signer.place(asked.cursor, question)
        if place is None:
            raise self._refusal(
                f"{asked.cursor[:80]!r} is not one that this service gave for this question: send the "
                "next_cursor of the page before, all other parameters unchanged, or an empty cursor to start "
                "again"
            )
        model = self._model(place.version, model)
        answer = answering(model, replace(options, page=place.page))
        if answer.pop(GOES_ON, False):
            answer["next_cursor"] = signer.cursor(replace(place, page=place.page + 1), question)
        return answer

    def _check(self, asked: PagedRequest) -> None:
        """Refuse a cursor where there are no pages."""
        for member in _ONE_PAGE:
            if getattr(asked, member, None):
                raise self._refusal(f"a list with {member} has one page: leave out {member} or the cursor")

    def _refusal(self, detail: str) -> InvalidRequestError:
        location: Location = "query" if self._request.method in {"GET", "HEAD"} else "body"
        return InvalidRequestError([FieldError(location, "cursor", f"cursor: {detail}")])

    def _named(self, version: str, current: Served) -> Served:
        """The model of a version that is asked for, which answers this request from now on."""
        compared = model_holder(self._request).compared
        if version == current.version:
            return current
        if compared is None or version != compared.version:
            beside = "nothing is" if compared is None else f"{compared.version} is"
            raise UnknownModelError(
                f"model {version!r} is not loaded here: {current.version} is served, and {beside} compared "
                "with it (FOLDREC_COMPARE_WITH)"
            )
        self._request.scope[SERVED] = compared
        return compared

    def _model(self, version: str, current: Served) -> Served:
        """The model of a version, which is the one that answers this request from now on."""
        if version == current.version:
            return current
        kept = model_holder(self._request).kept(version)
        if kept is None:
            raise CursorExpiredError(
                f"the cursor is of model {version}, which was replaced by {current.version} and is no longer "
                "kept (FOLDREC_CURSOR_SECONDS, FOLDREC_CURSOR_MODELS): start again with an empty cursor"
            )
        self._request.scope[SERVED] = kept
        return kept


def _question(asked: PagedRequest) -> bytes:
    """All that is asked but the page, the same for every spelling of it."""
    return type(asked).__name__.encode() + asked.model_dump_json(exclude={"cursor"}).encode()


Pages = Annotated[PagedLists, Depends(PagedLists)]
