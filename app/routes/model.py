"""What is being served, and what it is doing."""

from fastapi import APIRouter, Security
from starlette.responses import PlainTextResponse

from app import metrics
from app.access import api_key
from app.answers.options import Body as Answer
from app.dependencies import CurrentModel, Holder, ServiceMetrics
from app.operation import Operation, Reply
from app.schemas import service

router = APIRouter(route_class=Operation, dependencies=[Security(api_key)], tags=["service"])


@router.get("/model", response_model=service.ServedModel)
async def model(model: CurrentModel, holder: Holder) -> Answer:
    """Show version, family, config, dataset, metrics, and the certificates of recall and fold-in."""
    comparison = holder.comparison
    return {**model.recommender.model(), "compared": comparison and comparison.card()}


@router.get("/metrics", response_model=None, response_class=PlainTextResponse)
async def prometheus(service: ServiceMetrics) -> Reply:
    """Show the metrics in Prometheus's text format."""
    return Reply(service.render(), ((b"content-type", metrics.CONTENT_TYPE),))
