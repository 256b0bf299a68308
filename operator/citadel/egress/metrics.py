"""What the egress proxy counts for Prometheus. Labels come from closed sets: never a host."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class EgressMetrics:
    """Connections of sandboxes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._opened = Histogram(
            "citadel_egress_connect_seconds",
            "From a sandbox's request to the connection it asked for",
            registry=registry,
            buckets=_SECONDS,
        )
        self._open = Gauge("citadel_egress_connections", "Connections that are open", registry=registry)
        self._refused = Counter(
            "citadel_egress_refused_total",
            "Requests that were refused, by status; limit: before they were read",
            ["status"],
            registry=registry,
        )
        self._bytes = Counter(
            "citadel_egress_bytes_total", "Bytes from and to sandboxes", ["direction"], registry=registry
        )

    def opened(self, seconds: float) -> None:
        """A connection was made."""
        self._opened.observe(seconds)
        self._open.inc()

    def closed(self, sent: int, received: int) -> None:
        """A connection has ended."""
        self._open.dec()
        self._bytes.labels("sent").inc(sent)
        self._bytes.labels("received").inc(received)

    def refused(self, status: str) -> None:
        """A request was refused."""
        self._refused.labels(status).inc()
