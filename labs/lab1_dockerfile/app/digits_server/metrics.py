"""Count what the server does, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

# A prediction takes about a millisecond; the library's own buckets begin at five.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

disable_created_metrics()  # a second line for each figure that hides the first


class Metrics:
    """Hold one app's counters, in a registry of its own: two apps never share one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "digits_requests", "Requests answered.", ["path", "status"], registry=self.registry
        )  # fmt: skip
        self.predictions = Counter("digits_predictions", "Rows predicted.", ["digit"], registry=self.registry)
        self.seconds = Histogram(
            "digits_prediction_seconds", "Time the model took for a request.", buckets=SECONDS, registry=self.registry
        )
        self.ready = Gauge("digits_model_ready", "1 once the model is loaded.", registry=self.registry)
        for digit in range(10):
            self.predictions.labels(str(digit))  # so that a digit never seen shows as 0

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
