"""What the model gateway counts, as it is scraped."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from citadel.core.spending import DOLLAR
from citadel.llm.asked import Told
from citadel.models.metrics import MOST_MODELS, DoorMetrics, ModelMetrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scraped(registry: CollectorRegistry) -> set[str]:
    return set(generate_latest(registry).decode().splitlines())


def test_calls_of_providers_are_counted_by_outcome_with_what_they_took(registry: CollectorRegistry) -> None:
    metrics = ModelMetrics(registry)
    metrics.told(Told("writer", "openai", "ok", 0.2, tokens=45, cost=DOLLAR // 4))
    metrics.told(Told("writer", "openai", "ok", 2.0, tokens=5, cost=DOLLAR // 2))
    metrics.told(Told("writer", "openai", "ModelUnavailable", 31.0))
    assert scraped(registry) >= {
        'citadel_model_calls_total{model="writer",outcome="ok",provider="openai"} 2.0',
        'citadel_model_calls_total{model="writer",outcome="ModelUnavailable",provider="openai"} 1.0',
        'citadel_model_tokens_total{model="writer",provider="openai"} 50.0',
        'citadel_model_cost_dollars_total{model="writer",provider="openai"} 0.75',
        'citadel_model_call_seconds_bucket{le="0.3",model="writer",provider="openai"} 1.0',
        'citadel_model_call_seconds_bucket{le="3.0",model="writer",provider="openai"} 2.0',
        'citadel_model_call_seconds_count{model="writer",provider="openai"} 3.0',
        'citadel_model_call_seconds_sum{model="writer",provider="openai"} 33.2',
    }


def test_looks_for_an_answer_in_the_cache_are_counted(registry: CollectorRegistry) -> None:
    metrics = ModelMetrics(registry)
    for outcome in ("miss", "hit", "hit"):
        metrics.looked(outcome)
    assert scraped(registry) >= {
        'citadel_model_cache_total{outcome="hit"} 2.0',
        'citadel_model_cache_total{outcome="miss"} 1.0',
    }


def test_what_is_so_now_is_asked_for_when_it_is_scraped(registry: CollectorRegistry) -> None:
    metrics, now = ModelMetrics(registry), {"under way": 0, "open": 0}
    metrics.under_way.set_function(lambda: now["under way"])
    metrics.left_alone.set_function(lambda: now["open"])
    now |= {"under way": 7, "open": 2}
    assert scraped(registry) >= {"citadel_model_calls_under_way 7.0", "citadel_model_breakers_open 2.0"}


def test_models_beyond_the_most_share_one_series_and_those_before_keep_theirs(
    registry: CollectorRegistry,
) -> None:
    metrics = ModelMetrics(registry)
    for number in range(MOST_MODELS + 2):
        metrics.told(Told(f"m{number}", "openai", "ok", 0.1))
    metrics.told(Told("m0", "openai", "ok", 0.1))
    lines = scraped(registry)
    assert lines >= {
        'citadel_model_calls_total{model="other",outcome="ok",provider="openai"} 2.0',
        'citadel_model_calls_total{model="m0",outcome="ok",provider="openai"} 2.0',
    }
    assert sum(line.startswith("citadel_model_calls_total{") for line in lines) == MOST_MODELS + 1


def test_what_comes_to_the_door_is_counted_by_outcome(registry: CollectorRegistry) -> None:
    metrics = DoorMetrics(registry)
    metrics.answered("answered", 0.02)
    metrics.answered("recorded", 0.004)
    assert scraped(registry) >= {
        'citadel_model_door_requests_total{outcome="answered"} 1.0',
        'citadel_model_door_seconds_bucket{le="0.03",outcome="answered"} 1.0',
        'citadel_model_door_seconds_count{outcome="recorded"} 1.0',
    }
