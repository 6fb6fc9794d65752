"""What a server tells Prometheus: counts and times, and never who or what was said."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from modersmal.serve.engine.engine import Engine

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """The counters of one server."""

    def __init__(self, engine: "Engine") -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(_OfEngine(engine))
        self._requests = Counter(
            "modersmal_requests", "Requests that were answered.", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "modersmal_request_seconds", "Seconds until a request was answered.", ["route"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count an answer; a `status` of 499: its client had left."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(took_s)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)


class _OfEngine(Collector):
    """How the engine stands when it is asked."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def describe(self) -> list[Metric]:
        return []  # else registering would ask the engine

    def collect(self) -> Iterator[Metric]:
        state = self._engine.state()
        for name, says, value in (
            ("ready", "1 while a model answers.", float(state.ready)),
            ("trouble", "1 while a newer release cannot be served.", float(bool(state.trouble))),
            ("waiting_seconds", "Seconds of speech that wait.", state.waiting_s),
        ):
            yield GaugeMetricFamily(f"modersmal_{name}", says, value)
        release = GaugeMetricFamily(
            "modersmal_release", "1 for the release that answers.", labels=["release"]
        )
        release.add_metric([state.release or ""], 1.0)
        yield release
        for name, says, value in (
            ("speech_seconds", "Seconds of speech that were transcribed.", state.speech_s),
            ("batches", "Batches that were transcribed.", float(state.batches)),
            ("swaps", "Releases that took over.", float(state.swaps)),
            ("restarts", "Times that the model's process was started again.", state.restarts),
        ):
            yield CounterMetricFamily(f"modersmal_{name}", says, value)
