"""What the model gateway counts. Names of Models are bounded; namespaces are no labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from citadel.core.spending import DOLLAR
from citadel.llm.asked import Told

#: Names of Models that have series of their own; those beyond share one.
MOST_MODELS = 100


class ModelMetrics:
    """The counters of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: set[str] = set()
        labels = ("model", "provider")
        self._calls = Counter(
            "citadel_model_calls_total", "Calls of providers.", (*labels, "outcome"), registry=registry
        )
        self._tokens = Counter("citadel_model_tokens_total", "Tokens.", labels, registry=registry)
        self._cost = Counter("citadel_model_cost_dollars_total", "Dollars.", labels, registry=registry)
        self._seconds = Histogram(
            "citadel_model_call_seconds",
            "How long calls took.",
            labels,
            buckets=(0.05, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=registry,
        )
        self.under_way = Gauge("citadel_model_calls_under_way", "Calls under way.", registry=registry)
        self.left_alone = Gauge(
            "citadel_model_breakers_open",
            "Models that are left alone for a while, as they failed again and again.",
            registry=registry,
        )
        self._cache = Counter(
            "citadel_model_cache_total", "Looks for an answer in the cache.", ("outcome",), registry=registry
        )

    def told(self, told: Told) -> None:
        """One attempt to ask a provider has ended."""
        model = told.model if told.model in self._models or len(self._models) < MOST_MODELS else "other"
        self._models.add(model)
        self._calls.labels(model, told.provider, told.outcome).inc()
        self._tokens.labels(model, told.provider).inc(told.tokens)
        self._cost.labels(model, told.provider).inc(told.cost / DOLLAR)
        self._seconds.labels(model, told.provider).observe(told.seconds)

    def looked(self, outcome: str) -> None:
        """The cache was asked: `hit` or `miss`."""
        self._cache.labels(outcome).inc()


class DoorMetrics:
    """What comes to the door of one process. Outcomes are `answered`, `recorded` and reasons."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "citadel_model_door_requests_total", "Calls of agents.", ("outcome",), registry=registry
        )
        self._seconds = Histogram(
            "citadel_model_door_seconds",
            "How long calls of agents took, their models included.",
            ("outcome",),
            buckets=(0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
            registry=registry,
        )
        self.under_way = Gauge(
            "citadel_model_door_under_way", "Calls of agents under way.", registry=registry
        )

    def answered(self, outcome: str, seconds: float) -> None:
        """One request has ended."""
        self._requests.labels(outcome).inc()
        self._seconds.labels(outcome).observe(seconds)
