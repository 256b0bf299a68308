"""What the controller counts for Prometheus. Labels come from closed sets: never a name."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)


class ControllerMetrics:
    """Executions and sandboxes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._executions = Counter(
            "citadel_executions_total", "Executions that ended, by phase", ["phase"], registry=registry
        )
        self._seconds = Histogram(
            "citadel_execution_seconds",
            "From taken in to ended",
            ["phase"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._sandboxes = Gauge(
            "citadel_sandboxes", "Sandboxes that are not gone, by status", ["status"], registry=registry
        )

    def ended(self, phase: str, seconds: float) -> None:
        """An execution ended `seconds` after it was taken in."""
        self._executions.labels(phase).inc()
        self._seconds.labels(phase).observe(seconds)

    def sandboxes(self, statuses: list[str]) -> None:
        """The statuses of all open sandboxes, at a sweep."""
        for status in ("wanted", "live", "draining"):
            self._sandboxes.labels(status).set(statuses.count(status))
