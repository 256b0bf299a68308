"""What a gateway counts for Prometheus. Labels come from closed sets: never a name."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class GatewayMetrics:
    """Requests of sandboxes, and how their attempts ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Histogram(
            "citadel_gateway_request_seconds",
            "From request to answer; poll and heartbeat are held on purpose",
            ["request", "status"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._attempts = Counter(
            "citadel_attempts_total",
            "Attempts whose end was recorded, by failure reason or Succeeded",
            ["outcome"],
            registry=registry,
        )

        self._claims = Histogram(
            "citadel_claim_seconds",
            "From the claim of a pool's member until it was told what to run",
            registry=registry,
            buckets=_SECONDS,
        )

    def told(self, seconds: float) -> None:
        """A member of a pool was told what it had been claimed for `seconds` before."""
        self._claims.observe(seconds)

    def answered(self, request: str, status: int, seconds: float) -> None:
        """A request was answered; `request` is register, poll, heartbeat, result, logs, blob or other."""
        self._requests.labels(request, str(status)).observe(seconds)

    def ended(self, outcome: str) -> None:
        """The end of an attempt was recorded."""
        self._attempts.labels(outcome).inc()
