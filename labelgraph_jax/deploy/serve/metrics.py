"""What a service counts, for Prometheus."""

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
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self.requests = Counter(
            "labelgraph_requests",
            "Requests answered, by path and status.",
            ["path", "code"],
            registry=registry,
        )
        self.seconds = Histogram(
            "labelgraph_request_seconds",
            "From the head of a request to the end of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self.rejected = Counter(
            "labelgraph_rejected",
            "Requests that were refused, by reason.",
            ["reason"],
            registry=registry,
        )
        self.documents = Counter(
            "labelgraph_documents", "Texts that were scored.", registry=registry
        )
        self.batch_texts = Histogram(
            "labelgraph_batch_texts",
            "Texts that were scored together.",
            buckets=SIZES,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "labelgraph_batch_seconds",
            "From a batch's tokens to what is written of it.",
            buckets=SECONDS,
            registry=registry,
        )
        self.waiting = Gauge(
            "labelgraph_waiting_texts", "Texts that wait.", registry=registry
        )
        self.before_ready = Gauge(
            "labelgraph_compilations_before_ready",
            "Programs compiled until the service was ready.",
            registry=registry,
        )
        Gauge(
            "labelgraph_compilations",
            "Programs compiled; beyond those before it was ready there are none.",
            registry=registry,
        ).set_function(lambda: Compilations.count)

    def text(self) -> bytes:
        """All of them as Prometheus reads them."""
        return generate_latest(self.registry)
