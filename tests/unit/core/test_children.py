"""Executions within executions: what a step wants, what it is called, and what its end is to the step."""

import pytest

from citadel.api.reasons import Phase
from citadel.core import events as ev
from citadel.core.children import child_name, ended, name_for, wanted
from citadel.core.state import State
from citadel.core.values import Inline, Values
from engine import Run, failure, plan, step

CALL = {"name": "call", "workflow": {"name": "other"}, "with": {"x": 1}}


def names(run: Run) -> list[str]:
    return sorted(child.name for child in wanted(run.state))


def test_each_attempt_and_item_is_an_execution_of_its_own() -> None:
    loop = {**CALL, "forEach": {"items": [1, 2]}, "retry": {"attempts": 2}}
    run = Run(plan(loop))
    first = [child_name("run", "uid-1", f"call[{number}]", 1) for number in (0, 1)]
    assert names(run) == sorted(first)
    assert name_for(run.state, "call") is None
    run.post(ev.ChildFinished("call[0]", 1, "Failed", None, failure("ChildFailed")))
    assert names(run) == [first[1]]
    run.wake()
    assert names(run) == sorted((first[1], child_name("run", "uid-1", "call[0]", 2)))


def test_one_that_does_not_end_in_time_is_followed_by_another() -> None:
    run = Run(plan({**CALL, "timeout": "1m", "retry": {"attempts": 2}}))
    run.wake()
    assert run.state.steps["call"].status == "BackingOff"
    run.wake()
    assert names(run) == [child_name("run", "uid-1", "call", 2)]
    run.wake()
    assert run.state.finished is not None
    assert run.state.finished.reason == "Timeout"


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        ("Error", True),
        ("Rejected", False),
        ("InvalidInputs", False),
        ("BudgetExceeded", False),
        ("Timeout", True),
    ],
)
def test_one_that_would_fail_again_is_not_made_again(reason: str, again: bool) -> None:
    run = Run(plan({**CALL, "retry": {"attempts": 3}}))
    (child,) = wanted(run.state)
    run.post(ended(run.state, child, State(finished=ev.Finished(Phase.FAILED, reason, "")), None, Values()))
    assert (run.state.finished is None) == again
    if run.state.finished is not None:
        # Nor is the one that it is within.
        outer = Run(plan({**CALL, "retry": {"attempts": 3}}))
        (child,) = wanted(outer.state)
        outer.post(ended(outer.state, child, run.state, None, Values()))
        assert outer.phase() == "Failed"


def test_one_that_somebody_cancels_is_not_made_again() -> None:
    run = Run(plan({**CALL, "retry": {"attempts": 3}}))
    run.post(ev.ChildFinished("call", 1, "Cancelled", None, failure("ChildFailed")))
    assert run.phase() == "Failed"


def test_names_are_apart_and_those_of_objects() -> None:
    found = {
        child_name(parent, uid, step, attempt)
        for parent in ("a", "n" * 253)
        for uid in ("u", "v")
        for step in ("s", "s[1]")
        for attempt in (1, 2)
    }
    assert len(found) == 16
    assert max(map(len, found)) < 253
    assert child_name("n" * 199 + "." + "n" * 53, "u", "s", 1).startswith("n" * 199 + "-")


@pytest.mark.parametrize(
    ("phase", "reason", "message", "told"),
    [
        (Phase.FAILED, "Error", "step a: boom", "failed: Error: step a: boom"),
        (
            Phase.CANCELLED,
            "Cancelled",
            "spec.stop is Cancel",
            "was cancelled: Cancelled: spec.stop is Cancel",
        ),
        (Phase.TIMED_OUT, "DeadlineExceeded", "", "timed out: DeadlineExceeded"),
    ],
)
@pytest.mark.parametrize("stopping", [False, True])
def test_an_end_without_success_names_the_execution_and_its_reason(
    phase: Phase, reason: str, message: str, told: str, stopping: bool
) -> None:
    run = Run(plan(CALL))
    (child,) = wanted(run.state)
    if stopping:
        run.post(ev.StopRequested("Cancel", "Cancelled", "enough"))
    end = State(finished=ev.Finished(phase, reason, message))
    fact = ended(run.state, child, end, None, Values())
    assert fact.failure is not None
    assert fact.failure.message == f"Execution {child.name} (Workflow other) {told}"
    cancelled = stopping and phase is Phase.CANCELLED
    assert fact.failure.reason == ("Cancelled" if cancelled else "ChildFailed")
    run.post(fact)
    assert run.phase() == ("Cancelled" if stopping else "Failed")
    assert list(wanted(run.state)) == []


def test_a_compensation_may_be_another_workflow_also_when_cancelled() -> None:
    undo = {"workflow": {"name": "refund"}, "with": {"id": "${output}"}}
    run = Run(plan(step("book", compensate=undo), {"name": "wait", "wait": {"signal": "go"}}))
    run.register()
    run.end("book", 7)
    run.post(ev.StopRequested("Cancel", "Cancelled", "enough"))
    (child,) = wanted(run.state)
    assert (child.step, child.workflow) == ("book.compensate", "refund")
    end = State(finished=ev.Finished("Succeeded", "Completed", "", Inline({})))
    run.post(ended(run.state, child, end, {}, Values()))
    assert run.phase() == "Cancelled"
    assert run.state.finished is not None
    assert run.state.finished.reason == "Cancelled"


@pytest.mark.parametrize(("output", "phase"), [({"n": 1}, "Succeeded"), ({"n": "one"}, "Failed")])
def test_its_outputs_are_what_the_schema_of_the_step_says(output: dict[str, object], phase: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    run = Run(plan({**CALL, "outputSchema": schema}))
    (child,) = wanted(run.state)
    run.post(ended(run.state, child, State(finished=ev.Finished("Succeeded", "", "")), output, Values()))
    assert run.phase() == phase
    if phase == "Failed":
        assert run.state.finished is not None
        assert run.state.finished.message == 'step call: output.n: found "one", expected integer'
