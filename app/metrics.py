"""What the service counts and times, in Prometheus's form. No user or item id is ever a label."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue

from app.snapshot import INDEXES

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

_REQUEST_SECONDS = (
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
_KERNEL_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0)

Observe = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _RequestSeries:
    count: Callable[[], None]
    seconds: Observe


@dataclass(frozen=True, slots=True)
class SharedCounts:
    """Where the workers of one service keep their counters and histograms, for any of them to add up.

    Attributes:
        directory: has a file for each worker and type of metric.
        slot: this worker's number; the counts of a dead worker go on in its successor.
    """

    directory: Path
    slot: int

    def keep(self) -> None:
        """Have metrics that this process makes from now on keep their values there."""
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.directory)
        values.ValueClass = MultiProcessValue(lambda: self.slot)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        """Add up the counters and histograms of all workers."""
        files = [*self.directory.glob("counter_*.db"), *self.directory.glob("histogram_*.db")]
        merged = MultiProcessCollector.merge([str(file) for file in files])  # type: ignore[no-untyped-call]
        return cast("Iterable[Metric]", merged)


class Metrics:
    """The metrics of one service, in registries of their own.

    Args:
        shared: the counts of all workers, where there are several. Gauges are of the worker that is asked.
    """

    def __init__(self, shared: SharedCounts | None = None) -> None:
        registry, gauges = CollectorRegistry(), CollectorRegistry()
        self._rendered = [registry, gauges]
        if shared is not None:
            shared.keep()
            everybodys = CollectorRegistry()
            everybodys.register(shared)
            self._rendered = [everybodys, gauges]
        self._requests = Counter(
            "foldrec_requests_total", "Requests answered.", ["route", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "foldrec_request_duration_seconds",
            "From the first byte of the head to the answer handed over.",
            ["route"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._retrieval = Histogram(
            "foldrec_retrieval_seconds",
            "One list from stored factors, by the index that searched.",
            ["index"],
            buckets=_KERNEL_SECONDS,
            registry=registry,
        )
        self._fold_in = Histogram(
            "foldrec_fold_in_seconds",
            "One posted history: solved, and its list retrieved.",
            buckets=_KERNEL_SECONDS,
            registry=registry,
        )
        self._fallbacks = Counter(
            "foldrec_fallback_total", "Lists that are not what was asked for.", ["reason"], registry=registry
        )
        self._shortfalls = Counter(
            "foldrec_shortfall_total", "Lists shorter than k: too few eligible items.", registry=registry
        )
        self._recall = Gauge(
            "foldrec_recall_estimate",
            "Mean recall of the last thousand lists that were answered again exactly.",
            ["index"],
            registry=gauges,
        )
        self._recall_samples = Counter(
            "foldrec_recall_samples_total",
            "Lists drawn to be answered again, by what came of it.",
            ["index", "result"],
            registry=registry,
        )
        self._recall_falls = Counter(
            "foldrec_recall_falls_total",
            "Falls of the recall below its certificate: from then on the index answers exactly.",
            ["index"],
            registry=registry,
        )
        self._model = Gauge(
            "foldrec_model_info", "What is being served.", ["version", "family"], registry=gauges
        )
        self._load_seconds = Gauge(
            "foldrec_model_load_seconds", "Loading the model being served.", registry=gauges
        )
        self._age = Gauge(
            "foldrec_model_age_seconds", "Since the model being served was trained.", registry=gauges
        )
        self._in_flight = Gauge(
            "foldrec_in_flight", "Requests whose body arrives or that are being answered.", registry=gauges
        )
        self._heavy_in_flight = Gauge(
            "foldrec_heavy_in_flight", "Heavy requests that run or wait for a thread.", registry=gauges
        )
        self._reloads = Counter(
            "foldrec_reload_total",
            "New artifacts looked at, by what came of it.",
            ["result"],
            registry=registry,
        )
        for result in ("loaded", "refused"):
            self._reloads.labels(result)
        for index in INDEXES:
            self._recall_falls.labels(index)
        self._series: dict[tuple[str, int], _RequestSeries] = {}
        self._serving: tuple[str, str] | None = None

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one request. ``route`` is a template, so the number of series is bounded."""
        series = self._series.get((route, status))
        if series is None:
            series = self._series[route, status] = _RequestSeries(
                self._requests.labels(route, status).inc, self._request_seconds.labels(route).observe
            )
        series.count()
        series.seconds(seconds)

    def retrieval(self, index: str) -> Observe:
        """Return what observes ``retrieval_seconds`` of one kind of index."""
        return self._retrieval.labels(index).observe

    @property
    def fold_in(self) -> Observe:
        """What observes ``fold_in_seconds``."""
        return self._fold_in.observe

    def answered_list(self, answer: Mapping[str, Any]) -> None:
        """Count what is unusual about one list of items or users."""
        if answer.get("fallback_reason"):
            self._fallbacks.labels(answer["fallback_reason"]).inc()
        if answer["shortfall"]:
            self._shortfalls.inc()

    def recall_checked(self, index: str, estimate: float) -> None:
        """Show the recall that a graph is found to have."""
        self._recall.labels(index).set(estimate)
        self._recall_samples.labels(index, "checked").inc()

    def recall_dropped(self, index: str) -> None:
        """Count a list that was not answered again because too many waited."""
        self._recall_samples.labels(index, "dropped").inc()

    def recall_fell(self, index: str) -> None:
        """Count a switch to the exact scan, whose recall is 1."""
        self._recall.labels(index).set(1)
        self._recall_falls.labels(index).inc()

    def in_flight(self, everything: Callable[[], float], heavy: Callable[[], float]) -> None:
        """Show what these return as the requests in flight."""
        self._in_flight.set_function(everything)
        self._heavy_in_flight.set_function(heavy)

    def model_loaded(self, *, version: str, family: str, created_at: datetime, seconds: float) -> None:
        """Say what is served from now on."""
        if self._serving is not None:
            self._model.remove(*self._serving)
            self._recall.clear()
        self._serving = version, family
        self._model.labels(*self._serving).set(1)
        self._load_seconds.set(seconds)
        self._age.set_function(lambda: time.time() - created_at.timestamp())
        self._reloads.labels("loaded").inc()

    def artifact_refused(self) -> None:
        """Count an artifact that was not taken."""
        self._reloads.labels("refused").inc()

    def render(self) -> bytes:
        """Return everything in the text format."""
        return b"".join(generate_latest(registry) for registry in self._rendered)
