"""Times that steps wait for: whatever an expression gives is a time, or a failure that says what it was."""

from typing import Any

import pytest

from citadel.core.events import StepWaiting
from citadel.core.summary import waits_for
from engine import Run, plan

OPEN = {"type": "object", "additionalProperties": True}


def waiting(given: Any, **field: str) -> Run:
    """An execution of one step that waits by its input `at`."""
    return Run(plan({"name": "a", "wait": field}, inputs=OPEN), inputs={"at": given})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "wait.for: found null, expected a duration such as 1h30m"),
        (True, "wait.for: found true (boolean), expected a duration such as 1h30m"),
        (
            "30",
            "wait.for: found '30', expected a duration such as 500ms, 30s or 1h30m, or a number of seconds",
        ),
    ],
)
def test_what_is_no_duration_fails_the_step_in_words(given: Any, told: str) -> None:
    ended = waiting(given, **{"for": "${inputs.at}"}).state.finished
    assert ended is not None
    assert ended.reason == "ExpressionError"
    assert ended.message.startswith(f"step a, {told}")


@pytest.mark.parametrize("given", [20300131, ["x"], "tomorrow", "2030-02-30T00:00:00Z", "2030-W05-1", ""])
def test_what_is_no_time_fails_the_step_in_words(given: Any) -> None:
    ended = waiting(given, until="${inputs.at}").state.finished
    assert ended is not None
    assert ended.reason == "ExpressionError"
    assert "step a, wait.until: found" in ended.message
    assert ended.message.endswith("expected a time such as 2030-01-31T08:00:00Z")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (10**400, "for"),
        (1e308, "for"),
        ("9999999d9999999d9999999d9999999d", "for"),
        ("9" * 1000 + "d", "for"),
        ("9999-12-31T23:59:59-23:00", "until"),
    ],
)
def test_a_time_beyond_all_calendars_is_waited_for_and_can_be_told(given: Any, field: str) -> None:
    found = waiting(given, **{field: "${inputs.at}"})
    (event,) = (event for event, _ in found.log if isinstance(event, StepWaiting))
    assert event.until is not None
    assert event.until > found.now + 99 * 365 * 86400
    assert " until " in f" {waits_for(found.state, 'a')[1]}"


@pytest.mark.parametrize(
    ("given", "field"),
    [(-5, "for"), ("1969-02-28", "until"), ("0001-01-01T00:00:00+23:00", "until"), ("1970-01-01", "until")],
)
def test_a_time_that_has_passed_is_not_waited_for(given: Any, field: str) -> None:
    assert waiting(given, **{field: "${inputs.at}"}).phase() == "Succeeded"


def test_a_time_without_an_offset_is_utc() -> None:
    for given in ("1970-01-01T01:00:00", "1970-01-01T03:00:00+02:00", "1970-01-01t01:00:00z"):
        assert waiting(given, until="${inputs.at}").state.steps["a"].until == 3600
