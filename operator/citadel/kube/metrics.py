"""Prometheus metrics of this package, on a registry that the process hands in.

The rest of the package only sees plain callables, so the CLI works without prometheus-client.
Labels come from fixed sets: never a name or a namespace.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of requests, queues, leadership and events; make one per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "citadel_kube_requests_total",
            "Requests to the API server, each try counted",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self._depth = Gauge("citadel_queue_depth", "Keys ready to be worked on", ["queue"], registry=registry)
        self._waits = Histogram(
            "citadel_queue_wait_seconds",
            "From ready to started",
            ["queue"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._work = Histogram(
            "citadel_queue_work_seconds", "Handler's time", ["queue"], registry=registry, buckets=_SECONDS
        )
        self._failures = Counter(
            "citadel_queue_failures_total", "Handler runs that raised", ["queue"], registry=registry
        )
        self._leading = Gauge("citadel_leading", "1 while this process holds the Lease", registry=registry)
        self._events = Counter(
            "citadel_kube_events_total",
            "Kubernetes events by what became of them: posted, repeated, limited, dropped, refused",
            ["result"],
            registry=registry,
        )

    def request(self, verb: str, resource: str, code: str) -> None:
        """Count one request; `code` is the HTTP status or "error"."""
        self._requests.labels(verb, resource, code).inc()

    def queue_depth(self, queue: str, depth: int) -> None:
        """Set how many keys are ready."""
        self._depth.labels(queue).set(depth)

    def queue_done(self, queue: str, waited: float, worked: float, failed: bool) -> None:
        """Count one handler run; times in seconds."""
        self._waits.labels(queue).observe(waited)
        self._work.labels(queue).observe(worked)
        if failed:
            self._failures.labels(queue).inc()

    def leading(self, leads: bool) -> None:
        """Set whether this process leads."""
        self._leading.set(1 if leads else 0)

    def event(self, result: str) -> None:
        """Count one Kubernetes event."""
        self._events.labels(result).inc()
