"""Statuses: what people see, kept small whatever happened, with transition times that mean something."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine
from citadel.api.conditions import Condition
from citadel.api.execution import ExecutionStatus
from citadel.api.reasons import Phase, StepStatus
from citadel.core import events as ev
from citadel.core.failures import Failure, shorten
from citadel.core.folding import apply
from citadel.core.state import State
from citadel.render.status import (
    OUTPUTS_LIMIT,
    Isolation,
    Observed,
    execution_status,
    rejected_status,
    timestamp,
)

LIMIT = 20_000


def wide(count: int) -> engine.Run:
    """A run of steps that are all ready at once."""
    return engine.Run(engine.plan(*(engine.step(f"s{n}", needs=[]) for n in range(count)), parallelism=64))


def status_of(run: engine.Run, **observed: Any) -> dict[str, Any]:
    found = execution_status(Observed(run.state, 3, **observed))
    ExecutionStatus.model_validate_json(json.dumps(found))
    assert size(found) < LIMIT
    return found


def size(status: dict[str, Any]) -> int:
    """Bytes of the status as the API server keeps it."""
    return len(json.dumps(status, separators=(",", ":"), ensure_ascii=False).encode())


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


def pending() -> engine.Run:
    return engine.Run(engine.plan(engine.step("a"), engine.step("b")))


def running() -> engine.Run:
    run = pending()
    run.register()
    return run


def succeeded() -> engine.Run:
    return pending().finish(lambda name, attempt: 1)


def failed() -> engine.Run:
    trace = Failure.cut("Error", "ValueError: no rows", "line 1\nline 2", 1, "the end")
    return pending().finish(lambda name, attempt: trace)


def cancelling() -> engine.Run:
    run = running()
    run.post(ev.StopRequested("Cancel", "Cancelled", "spec.stop is Cancel"))
    return run


def cancelled() -> engine.Run:
    run = running()
    run.post(ev.StopRequested("Terminate", "Terminated", "spec.stop is Terminate"))
    return run


def suspended() -> engine.Run:
    run = pending()
    run.post(ev.SuspendChanged(True, 2))
    return run


def timed_out() -> engine.Run:
    return engine.Run(engine.plan(engine.step("a"), timeout="1m")).finish(
        lambda name, attempt: engine.failure()
    )


RUNS = {
    "pending": (pending, "Pending", "Accepted", ("Unknown", "False"), "0/2"),
    "running": (running, "Running", "Running", ("Unknown", "False"), "0/2"),
    "succeeded": (succeeded, "Succeeded", "Completed", ("True", "True"), "2/2"),
    "failed": (failed, "Failed", "Error", ("False", "True"), "1/2"),
    "cancelling": (cancelling, "Running", "CancelRequested", ("Unknown", "False"), "0/2"),
    "cancelled": (cancelled, "Cancelled", "Terminated", ("False", "True"), "1/2"),
    "suspended": (suspended, "Suspended", "Suspended", ("Unknown", "False"), "0/2"),
}


@pytest.mark.parametrize("name", RUNS)
def test_phase_reason_conditions_and_progress(name: str) -> None:
    run, phase, reason, (succeeded, finished), progress = RUNS[name]
    status = status_of(run())
    assert (status["phase"], status["reason"]) == (phase, reason)
    aside = {"Stalled": ("True", reason)} if phase == "Failed" else {}
    assert conditions(status) == {
        "Succeeded": (succeeded, reason),
        "Finished": (finished, reason),
        "NetworkIsolated": ("Unknown", "NotProven"),
        **(aside if finished == "True" else {"Reconciling": ("True", reason)}),
    }
    assert (status["progress"]["text"], status["observedGeneration"]) == (progress, 3)
    assert ("finishedAt" in status, "duration" in status) == (finished == "True",) * 2
    assert status["startedAt"] == timestamp(1000.0)


def test_a_deadline_that_has_passed() -> None:
    run = engine.Run(engine.plan(engine.step("a"), timeout="1m"))
    run.sleep(61)
    status = status_of(run)
    assert (status["phase"], status["reason"]) == ("TimedOut", "DeadlineExceeded")
    assert conditions(status)["Finished"] == ("True", "DeadlineExceeded")
    assert status["duration"] == "1m1s"


def test_a_failure_names_step_attempt_reason_message_and_log() -> None:
    assert status_of(failed())["failure"] == {
        "step": "a",
        "attempt": 1,
        "reason": "Error",
        "message": "ValueError: no rows\nline 1\nline 2",
        "logTail": "the end",
    }


@pytest.mark.parametrize(
    ("waiting", "run", "phase", "reason"),
    [
        pytest.param("SandboxLimit: 40 are live", pending, "Waiting", "SandboxLimit", id="nothing runs yet"),
        pytest.param("Unschedulable: no: room", pending, "Waiting", "Unschedulable", id="with a colon"),
        pytest.param("SandboxLimit: 40 are live", running, "Running", "Running", id="something runs"),
        pytest.param("SandboxLimit: 40 are live", suspended, "Suspended", "Suspended", id="suspended"),
        pytest.param("SandboxLimit: 40 are live", failed, "Failed", "Error", id="over"),
    ],
)
def test_why_it_waits_is_said_while_nothing_runs(waiting: str, run: Any, phase: str, reason: str) -> None:
    status = status_of(run(), waiting=waiting)
    assert (status["phase"], status["reason"]) == (phase, reason)


def test_outputs_are_shown_while_they_are_small_and_named_when_not() -> None:
    assert status_of(succeeded(), outputs={"rows": [1, "é"]})["outputs"] == {"rows": [1, "é"]}
    assert "outputs" not in status_of(succeeded())
    large = status_of(succeeded(), outputs={"rows": "x" * OUTPUTS_LIMIT})
    assert "outputs" not in large
    assert large["largeOutputs"]["size"] == OUTPUTS_LIMIT + len('{"rows":""}')


def test_at_most_20_steps_are_named_the_noteworthy_first() -> None:
    run = wide(100)
    run.sleep(1)
    run.register()
    failed, *others = run.running()
    for _ in range(2):
        run.register()
    run.post(run.result(failed, engine.failure()))
    status = status_of(run)
    named = [(step["status"], step["name"]) for step in status["steps"]]
    assert named[0] == ("Failed", failed)
    assert len(named) == 20
    assert {found for found, _ in named[1:]} == {"Running"}
    assert len(others) >= 19
    assert status["progress"]["total"] == 100


hostile = st.text(st.characters(), max_size=300) | st.sampled_from(
    [character * 2000 for character in ("\0", '"', "\\", "\ud800", "🔥", "\x01", "é", "\u2028")]
)
AWKWARD = [character * 8000 for character in ('"', "\\", "🔥", "\x01", "é", "\u2028")]


def all_at_once(message: str, trace: str, tail: str) -> State:
    """500 steps with long names, of which 30 have failed and the rest is ready."""
    names = [f"{'s' * 58}{number}" for number in range(500)]
    state = HUGE.state
    failure = Failure.cut("Error", message, trace, 1, tail)
    failed = {
        name: replace(state.steps[name], status=StepStatus.FAILED, failure=failure) for name in names[:30]
    }
    top = replace(state.top, failed=names[0])
    return replace(state, steps=state.steps.update(failed), scopes=state.scopes.set("", top), failing=True)


HUGE = engine.Run(
    engine.plan(*(engine.step(f"{'s' * 58}{number}", needs=[]) for number in range(500)), parallelism=64)
)


@settings(deadline=None)
@given(message=hostile, trace=hostile, tail=hostile, waiting=hostile)
def test_500_steps_with_hostile_texts_stay_small(message: str, trace: str, tail: str, waiting: str) -> None:
    state = all_at_once(message, trace, tail)
    over = ev.Finished(Phase.FAILED, "Error", shorten(message), step=state.top.failed)
    for found in (
        execution_status(Observed(state, 1, waiting=f"Unschedulable: {waiting}")),
        execution_status(Observed(apply(state, over, 1002.0), 1)),
        rejected_status(1, (), Phase.FAILED, "InvalidSpec", message, 1000.0),
    ):
        ExecutionStatus.model_validate_json(json.dumps(found))
        assert size(found) < LIMIT


def test_outputs_of_a_thousand_awkward_kinds_stay_small() -> None:
    for output in (*AWKWARD, {"\\" * 9: [[[[]]] * 99]}, list(range(4000))):
        status_of(succeeded(), outputs={"x": output})


def condition(kind: str, status: str, at: str) -> Condition:
    return Condition.model_validate(
        {"type": kind, "status": status, "reason": "X", "lastTransitionTime": at, "observedGeneration": 1}
    )


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    old = "2020-01-01T00:00:00Z"
    before = (
        condition("Succeeded", "Unknown", old),
        condition("Finished", "False", old),
        condition("Reconciling", "True", old),
        condition("NetworkIsolated", "True", old),
    )
    isolated = Isolation(proven=1)
    times = {
        item["type"]: item["lastTransitionTime"]
        for item in status_of(running(), conditions=before, isolation=isolated)["conditions"]
    }
    assert times == {"Succeeded": old, "Finished": old, "Reconciling": old, "NetworkIsolated": old}
    after = status_of(succeeded(), conditions=before)["conditions"]
    assert {item["lastTransitionTime"] for item in after} == {timestamp(1000.0)}
    assert {item["reason"] for item in after} == {"Completed", "NotProven"}


@pytest.mark.parametrize(
    ("found", "status", "reason", "says"),
    [
        (Isolation(), "Unknown", "NotProven", "no sandbox yet"),
        (Isolation(proven=2), "True", "Proven", "2 of 2 sandboxes reached the gateway, and nothing"),
        (Isolation(proven=2, unknown=1), "Unknown", "NotProven", "1 of 3 sandboxes have not proven it"),
        (
            Isolation(proven=2, unknown=1, broken=1, answered=("apiserver", "kubelet")),
            "False",
            "ForbiddenAnswered",
            "1 of 4 sandboxes got an answer from apiserver, kubelet",
        ),
    ],
)
def test_isolation_is_what_all_sandboxes_found(found: Isolation, status: str, reason: str, says: str) -> None:
    written = status_of(succeeded(), isolation=found)
    (item,) = (item for item in written["conditions"] if item["type"] == "NetworkIsolated")
    assert (item["status"], item["reason"]) == (status, reason)
    assert item["message"].startswith(says)


def test_the_same_state_gives_the_same_status() -> None:
    run = failed()
    first = status_of(run)
    known = tuple(Condition.model_validate(item) for item in first["conditions"])
    assert status_of(run, conditions=known) == first


def test_an_execution_that_waits_for_its_workflow_has_not_started() -> None:
    status = rejected_status(2, (), Phase.PENDING, "WorkflowNotFound", "none", 1000.0)
    assert conditions(status) == {
        "Succeeded": ("Unknown", "WorkflowNotFound"),
        "Finished": ("False", "WorkflowNotFound"),
        "Reconciling": ("True", "WorkflowNotFound"),
    }
    assert "startedAt" not in status
    assert "finishedAt" not in status


def test_a_lost_journal_is_an_end() -> None:
    status = rejected_status(2, (), Phase.FAILED, "JournalLost", "lost", 1000.0)
    assert conditions(status)["Finished"] == ("True", "JournalLost")
    assert status["finishedAt"] == timestamp(1000.0)


def test_a_rejected_execution_says_why() -> None:
    failure = Failure.cut("InvalidInputs", "inputs.region: expected a string")
    state = apply(State(), ev.Rejected("run", "team", "uid", "flow", failure), 1000.0)
    status = execution_status(Observed(state, 1))
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidInputs")
    assert status["failure"] == {"reason": "InvalidInputs", "message": "inputs.region: expected a string"}
    assert conditions(status)["Finished"] == ("True", "InvalidInputs")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (10, "10s"),
        (59.9, "59s"),
        (60, "1m0s"),
        (3599, "59m59s"),
        (90061, "25h1m1s"),
    ],
)
def test_durations_are_short(seconds: float, shown: str) -> None:
    run = pending()
    run.sleep(seconds)
    state = apply(run.state, ev.Finished(Phase.FAILED, "Error", ""), 1000.0 + seconds)
    assert execution_status(Observed(state, 1))["duration"] == shown


ASKS = {"approvers": {"users": ["ann"], "groups": ["finance"]}}


@pytest.mark.parametrize(
    ("step", "reason", "message"),
    [
        ({"approval": ASKS}, "WaitingForApproval", "for approval by ann, group finance"),
        ({"wait": {"signal": "payment"}}, "WaitingForSignal", "for signal payment"),
        ({"wait": {"until": "2030-01-31T08:00:00Z"}}, "WaitingForTime", "until 2030-01-31T08:00:00Z"),
    ],
)
def test_what_an_execution_waits_for_is_said(step: dict[str, Any], reason: str, message: str) -> None:
    run = engine.Run(engine.plan({"name": "x", **step}))
    status = status_of(run)
    assert (status["phase"], status["reason"]) == ("Waiting", reason)
    assert status["message"] == f"step x waits {message}"
    assert status["steps"] == [
        {"name": "x", "status": "Waiting", "reason": reason, "message": f"waits {message}", "attempt": 1}
    ]


def test_an_execution_in_which_something_runs_does_not_wait() -> None:
    run = engine.Run(engine.plan({"name": "x", "wait": {"signal": "s"}}, engine.step("a", needs=[])))
    run.register()
    status = status_of(run)
    assert status["phase"] == "Running"
    assert {step["name"]: step["status"] for step in status["steps"]} == {"x": "Waiting", "a": "Running"}


def test_of_many_steps_that_wait_the_first_is_named_and_the_others_are_counted() -> None:
    waits = [{"name": f"w{n}", "needs": [], "wait": {"signal": "s"}} for n in range(30)]
    status = status_of(engine.Run(engine.plan(*waits)))
    assert status["message"] == "step w0 waits for signal s (and 29 more)"
    assert len(status["steps"]) == 20
