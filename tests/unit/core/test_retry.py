"""When a failed attempt is followed by another."""

import pytest

from citadel.api.modifiers import Retry
from citadel.core.retry import next_delay


@pytest.mark.parametrize(
    ("retry", "attempt", "reason", "delay"),
    [
        pytest.param(None, 1, "Error", None, id="without retry there is one attempt"),
        pytest.param({"attempts": 1}, 1, "Error", None, id="attempts counts all of them"),
        pytest.param({}, 1, "Error", 1.0, id="the first pause is a second"),
        pytest.param({}, 2, "Error", 2.0, id="the next is twice as long"),
        pytest.param({}, 3, "Error", None, id="three attempts are the default"),
        pytest.param({}, 1, "InvalidCode", None, id="what cannot pass by itself is not retried"),
        pytest.param({}, 1, "Evicted", 1.0, id="an eviction is retried by default"),
        pytest.param({}, 1, "ChildFailed", 1.0, id="another workflow that failed is run again"),
        pytest.param({"reasons": ["Evicted"]}, 1, "Evicted", 1.0, id="reasons that are named"),
        pytest.param({"reasons": ["Evicted"]}, 1, "Error", None, id="reasons that are not named"),
        pytest.param(
            {"attempts": 50, "backoff": {"initial": "100ms", "factor": 1.5, "max": "1s"}},
            3,
            "Error",
            0.225,
            id="factor and initial multiply",
        ),
        pytest.param(
            {"attempts": 100, "backoff": {"max": "30s"}}, 99, "Error", 30.0, id="max bounds the pause"
        ),
        pytest.param(
            {"attempts": 100, "backoff": {"factor": 100, "max": "1h"}},
            99,
            "Error",
            3600.0,
            id="huge factors too",
        ),
    ],
)
def test_pauses(retry: dict[str, object] | None, attempt: int, reason: str, delay: float | None) -> None:
    parsed = None if retry is None else Retry.model_validate(retry)
    assert next_delay(parsed, attempt, reason) == (None if delay is None else pytest.approx(delay))
