"""Counters of a service, for Prometheus."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from labelgraph_jax.deploy.serve.compilations import Compilations

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
Kind = TypeVar("Kind", Counter, Gauge, Histogram)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)

        def add(
            kind: Callable[..., Kind],
            name: str,
            about: str,
            *labels: str,
            **options: Sequence[float],
        ) -> Kind:
            name = f"labelgraph_{name}"
            return kind(name, about, labels, registry=registry, **options)

        # Requests, the texts in them, and batches of texts.
        about = "Requests answered, by path and status."
        self.requests: Counter = add(Counter, "requests", about, "path", "code")
        about = "From the head of a request to the end of its answer."
        self.seconds: Histogram = add(
            Histogram, "request_seconds", about, "path", buckets=SECONDS
        )
        about = "Requests that were refused, by reason."
        self.rejected: Counter = add(Counter, "rejected", about, "reason")
        about = "Texts that were scored."
        self.documents: Counter = add(Counter, "documents", about)
        about = "Texts that were scored together."
        self.batch_texts: Histogram = add(
            Histogram, "batch_texts", about, buckets=SIZES
        )
        about = "From a batch's tokens to what is written of it."
        self.batch_seconds: Histogram = add(
            Histogram, "batch_seconds", about, buckets=SECONDS
        )
        self.waiting: Gauge = add(Gauge, "waiting_texts", "Texts that wait.")
        # What was compiled, and when.
        about = "Programs compiled until the service was ready."
        self.before_ready: Gauge = add(Gauge, "compilations_before_ready", about)
        about = "Programs compiled; beyond those before it was ready there are none."
        add(Gauge, "compilations", about).set_function(lambda: Compilations.count)

    def text(self) -> bytes:
        """Return all of them as Prometheus reads them."""
        return generate_latest(self.registry)
