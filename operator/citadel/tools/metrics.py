"""What the process counts. Neither namespaces nor names of Tools are labels: both are users' to make."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from citadel.tools.working import Told


class ToolMetrics:
    """The counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "citadel_tool_calls_total", "Calls of tools, and checks.", ("kind", "outcome"), registry=registry
        )
        self._seconds = Histogram(
            "citadel_tool_call_seconds",
            "How long calls took.",
            ("kind",),
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=registry,
        )
        self.under_way = Gauge("citadel_tool_calls_under_way", "Calls under way.", registry=registry)

    def told(self, told: Told) -> None:
        """A call or check has ended."""
        self._calls.labels(told.kind, told.outcome).inc()
        self._seconds.labels(told.kind).observe(told.seconds)
