"""What the controller counts for Prometheus. Labels come from closed sets, but for the Runtimes of pools."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from citadel.controller.pools import Pool, Size
from citadel.store.sandboxes import Demand

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)


class PoolMetrics:
    """Warm pools, by their Runtime."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._size = Gauge(
            "citadel_pool_size",
            "Members of warm pools that wait (ready), start (starting), or shall be (wanted)",
            ["runtime", "namespace", "state"],
            registry=registry,
        )
        runtime = ["runtime", "namespace"]
        self._claims = Counter(
            "citadel_pool_claims_total", "Sandboxes that a warm pool had ready", runtime, registry=registry
        )
        self._misses = Counter(
            "citadel_pool_misses_total", "Sandboxes that a warm pool lacked", runtime, registry=registry
        )
        self._seen: dict[tuple[str, str, int], Demand] | None = None

    def sizes(self, sizes: Mapping[Pool, Size]) -> None:
        """The sizes of all pools there are."""
        self._size.clear()
        for pool, size in sizes.items():
            for state in ("ready", "starting", "wanted"):
                self._size.labels(pool.runtime, pool.namespace, state).set(getattr(size, state))

    def asked(self, pools: Sequence[Pool], demand: Sequence[Demand]) -> None:
        """What was asked of pools lately; what came since the last time is counted."""
        seen = {(item.pool, item.namespace, item.window): item for item in demand}
        before, self._seen = self._seen, seen
        for key, item in seen.items():
            pool = next((pool for pool in pools if pool.meets(item)), None)
            if before is None or pool is None:
                continue
            old = before.get(key)
            labels = (pool.runtime, pool.namespace)
            self._claims.labels(*labels).inc(max(0, item.claimed - (old.claimed if old else 0)))
            self._misses.labels(*labels).inc(max(0, item.missed - (old.missed if old else 0)))


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
        self.pools = PoolMetrics(registry)
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
