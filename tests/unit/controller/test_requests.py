"""What an Execution's spec asks of the journal, and when it is over: as tables."""

from dataclasses import replace
from typing import Any

import pytest

import engine
from citadel.api.execution import ExecutionSpec
from citadel.controller.objects import is_finished, parse_time
from citadel.controller.wishes import requests, wishes
from citadel.core import events as ev
from citadel.core.state import State

CANCEL = ev.StopRequested("Cancel", "Cancelled", "spec.stop is Cancel")
TERMINATE = ev.StopRequested("Terminate", "Terminated", "spec.stop is Terminate")


def execution(generation: int = 2, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "citadel.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": "run", "namespace": "team", "generation": generation},
        "spec": {"workflowRef": {"name": "flow"}, **spec},
    }


def state(**fields: Any) -> State:
    return replace(engine.Run(engine.plan(engine.step("a"))).state, **fields)


FINISHED = ev.Finished("Failed", "Error", "boom")


@pytest.mark.parametrize(
    ("obj", "known", "facts"),
    [
        pytest.param(execution(), state(), [], id="nothing is asked"),
        pytest.param(execution(suspend=False), state(), [], id="not to suspend what runs"),
        pytest.param(execution(suspend=True), state(), [ev.SuspendChanged(True, 2)], id="suspend"),
        pytest.param(execution(suspend=True), state(suspended=True), [], id="suspended already"),
        pytest.param(execution(3), state(suspended=True), [ev.SuspendChanged(False, 3)], id="go on"),
        pytest.param(execution(stop="Cancel"), state(), [CANCEL], id="cancel"),
        pytest.param(execution(stop="Cancel"), state(stop=CANCEL), [], id="cancelled already"),
        pytest.param(execution(stop="Terminate"), state(stop=CANCEL), [TERMINATE], id="escalate"),
        pytest.param(execution(stop="Cancel"), state(stop=TERMINATE), [], id="terminated already"),
        pytest.param(execution(stop="Terminate"), state(stop=TERMINATE), [], id="terminated twice"),
        pytest.param(
            execution(stop="Cancel", suspend=True), state(), [ev.SuspendChanged(True, 2), CANCEL], id="both"
        ),
        pytest.param(execution(stop="Cancel", suspend=True), state(finished=FINISHED), [], id="it is over"),
        pytest.param(execution(stop="Maybe"), state(), [], id="a spec that does not parse"),
        pytest.param({**execution(), "spec": "garbage"}, state(), [], id="no spec"),
    ],
)
def test_requests_are_what_the_journal_does_not_say_yet(
    obj: Any, known: State, facts: list[ev.Event]
) -> None:
    assert requests(obj, known) == facts


@pytest.mark.parametrize(
    ("spec", "facts"),
    [
        ({}, []),
        ({"suspend": True}, [ev.SuspendChanged(True, 7)]),
        ({"stop": "Terminate"}, [TERMINATE]),
        ({"suspend": True, "stop": "Cancel"}, [ev.SuspendChanged(True, 7), CANCEL]),
    ],
)
def test_an_execution_may_start_with_wishes(spec: dict[str, Any], facts: list[ev.Event]) -> None:
    parsed = ExecutionSpec.model_validate({"workflowRef": {"name": "flow"}, **spec})
    assert wishes(parsed, 7) == facts


@pytest.mark.parametrize(
    ("status", "over"),
    [
        (None, False),
        ({}, False),
        ({"phase": "Succeeded"}, False),
        ({"conditions": None}, False),
        ({"conditions": [{"type": "Finished", "status": "False"}]}, False),
        ({"conditions": [{"type": "Succeeded", "status": "True"}]}, False),
        (
            {
                "conditions": [
                    {"type": "Succeeded", "status": "False"},
                    {"type": "Finished", "status": "True"},
                ]
            },
            True,
        ),
        ({"conditions": ["garbage", {"type": "Finished", "status": "True"}]}, True),
        ({"conditions": [None, 7]}, False),
        ({"conditions": "garbage"}, False),
        ({"conditions": [{"type": "Finished", "status": "True", "of": "a later version"}]}, True),
        ("garbage", False),
    ],
)
def test_an_execution_is_over_when_its_condition_says_so(status: Any, over: bool) -> None:
    assert is_finished({**execution(), "status": status}) is over


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T01:00:10+01:00", 10.0),
        ("1970-01-01T00:00:10.500000Z", 10.5),
    ],
)
def test_times_are_seconds_since_the_epoch(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds
