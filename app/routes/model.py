"""What is being served, and what it is doing."""

from typing import Final

from fastapi import APIRouter, Security
from starlette.responses import HTMLResponse, PlainTextResponse

from app import metrics
from app.access import api_key
from app.answers.options import Body as Answer
from app.dependencies import CurrentModel, Holder, ServiceMetrics
from app.errors import Header, Kind, NoReportError
from app.openapi import refusals
from app.operation import Operation, Reply
from app.schemas import service

router = APIRouter(route_class=Operation, dependencies=[Security(api_key)], tags=["service"])

# One file with inline styles and data URIs: nothing else is loaded, nothing runs, whatever is in it.
_REPORT_POLICY: Final = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'; sandbox"
)
_REPORT_HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _REPORT_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"private, no-cache"),
)


@router.get("/model", response_model=service.ServedModel)
async def model(model: CurrentModel, holder: Holder) -> Answer:
    """Show version, family, config, dataset, metrics, and the certificates of recall and fold-in."""
    comparison = holder.comparison
    return {**model.recommender.model(), "compared": comparison and comparison.card()}


@router.get(
    "/model/report", response_model=None, response_class=HTMLResponse, responses=refusals(Kind.NO_REPORT)
)
def report(model: CurrentModel) -> Reply:
    """Show the report of `scripts.evaluate` on the model, as a page, if one is kept with it."""
    page = model.recommender.report()
    if page is None:
        raise NoReportError(model.version)
    return Reply(page, _REPORT_HEADERS)


@router.get("/metrics", response_model=None, response_class=PlainTextResponse)
async def prometheus(service: ServiceMetrics) -> Reply:
    """Show the metrics in Prometheus's text format."""
    return Reply(service.render(), ((b"content-type", metrics.CONTENT_TYPE),))
