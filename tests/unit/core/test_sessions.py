"""Which sandboxes an execution wants, keeps and lets go, and which attempt a polling one gets."""

from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.sessions import IDLE_SECONDS, SPREAD_SECONDS, sandbox_name
from citadel.core.state import MAX_PLACINGS
from engine import Run, failure, plan, step

REFERENCE = {"valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}
big = {"runtime": "python", "code": "x", "resources": {"limits": {"memory": "1Gi"}}}


def wide(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [step(f"s{number}", needs=[], **fields) for number in range(count)]


def test_names_are_dns_labels_and_always_the_same() -> None:
    assert sandbox_name("0b9c4e3e-6b5b-4a5e", 3) == sandbox_name("0b9c4e3e-6b5b-4a5e", 3)
    assert sandbox_name("0b9c4e3e-6b5b-4a5e", 3) != sandbox_name("0b9c4e3e-6b5b-4a5f", 3)
    assert len(sandbox_name("x" * 253, 999_999)) <= 63


def test_one_sandbox_comes_first() -> None:
    assert len(Run(plan(*wide(10))).usable()) == 1


def test_steps_in_a_row_share_one_sandbox() -> None:
    run = Run(plan(step("a"), step("b"), step("c"))).finish()
    assert len(run.state.sandboxes) == 1
    assert next(iter(run.state.sandboxes.values())).served == 3


def test_others_come_when_attempts_have_waited_and_parallelism_allows() -> None:
    run = Run(plan(*wide(10), parallelism=4))
    run.register()
    run.sleep(SPREAD_SECONDS - 0.01)
    assert len(run.usable()) == 1
    run.sleep(0.01)
    assert len(run.usable()) == 4


def test_no_more_sandboxes_than_attempts_that_wait() -> None:
    run = Run(plan(*wide(3), parallelism=10))
    run.register()
    run.sleep(SPREAD_SECONDS)
    assert len(run.usable()) == 3


def test_the_longest_waiting_attempt_is_assigned_first() -> None:
    run = Run(plan(step("a"), step("late"), step("early", needs=[]), parallelism=1))
    assert run.register() == ["a"]
    run.now += 1
    assert run.end("a").step == "early"
    assert run.end("early").step == "late"


def test_polling_again_returns_the_same_assignment() -> None:
    run = Run(plan(*wide(2)))
    run.register()
    sandbox = run.usable()[0]
    before = run.state
    assert run.post(claim=sandbox).step == "s0"
    assert run.state == before


def test_an_idle_sandbox_goes_after_a_while() -> None:
    run = Run(plan(step("a"), step("slow", run=big), step("c", arguments={"x": "${steps.slow.output}"})))
    run.register()
    run.end("a")
    run.register()
    assert len(run.usable()) == 2
    run.sleep(IDLE_SECONDS - 0.01)
    assert len(run.usable()) == 2
    run.wake()
    assert len(run.usable()) == 1


def test_a_sandbox_that_no_step_needs_goes_at_once() -> None:
    run = Run(plan(step("a"), step("b", run=big)))
    run.register()
    run.end("a")
    assert [event.reason for event, _ in run.log if isinstance(event, ev.SandboxReleased)] == ["NoMoreSteps"]


def test_work_that_comes_when_idleness_ends_keeps_the_sandbox() -> None:
    retry = {"backoff": {"initial": f"{IDLE_SECONDS:.0f}s"}}
    run = Run(plan(step("a", retry=retry)))
    run.register()
    run.end("a", failure())
    run.sleep(IDLE_SECONDS)
    assert run.poll() == ["a"]
    assert len(run.state.sandboxes) == 1


def test_a_sandbox_that_does_not_take_its_work_is_replaced() -> None:
    run = Run(plan(step("a")))
    run.post(ev.SandboxRegistered(run.usable()[0]))
    run.sleep(IDLE_SECONDS)
    assert len(run.state.sandboxes) == 2
    assert run.finish().phase() == "Succeeded"


def test_an_exclusive_sandbox_serves_one_attempt() -> None:
    run = Run(plan(step("a", isolation="step", retry={}), step("b", isolation="step")))
    run.finish(lambda name, attempt: failure() if (name, attempt) == ("a", 1) else None)
    assert [sandbox.served for sandbox in run.state.sandboxes.values()] == [1, 1, 1]


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_placements_that_compete_for_room_do_not_push_each_other_out(parallelism: int) -> None:
    steps = wide(3) + [step(f"b{n}", needs=[], run=big) for n in range(3)]
    steps += [step(f"e{n}", needs=[], isolation="step") for n in range(3)]
    run = Run(plan(*steps, parallelism=parallelism)).finish()
    assert run.phase() == "Succeeded"
    assert len(run.state.sandboxes) <= 3 * parallelism + 3


def test_an_idle_sandbox_makes_room_for_another_placement() -> None:
    steps = [step("a"), step("b", run=big), step("c", arguments={"x": "${steps.b.output}"})]
    run = Run(plan(*steps, parallelism=1)).finish()
    released = [event.reason for event, _ in run.log if isinstance(event, ev.SandboxReleased)]
    assert released == ["MadeRoom", "NoMoreSteps"]


# ---- losses


def test_an_attempt_lost_before_delivery_is_placed_again_free() -> None:
    run = Run(plan(step("a", arguments={"x": REFERENCE})))
    for number in range(MAX_PLACINGS - 1):
        assert run.register() == ["a"]
        run.lose(run.usable()[0])
        assert run.statuses() == {"a": "Ready"}
        assert run.state.steps["a"].placing == number + 2
    assert run.finish().phase() == "Succeeded"
    assert run.state.steps["a"].attempt == 1


def test_but_not_for_ever() -> None:
    run = Run(plan(step("a", arguments={"x": REFERENCE})))
    for _ in range(MAX_PLACINGS):
        run.register()
        run.lose(run.usable()[0])
    assert run.state.finished is not None
    assert run.state.finished.reason == "SandboxLost"


def test_an_attempt_lost_after_delivery_fails() -> None:
    run = Run(plan(step("a")))
    run.register()
    run.lose(run.usable()[0])
    assert run.state.finished is not None
    assert run.state.finished.message == "step a: the sandbox is gone"


def test_and_runs_again_under_retry() -> None:
    run = Run(plan(step("a", retry={})))
    run.register()
    run.lose(run.usable()[0])
    run.finish()
    assert (run.phase(), run.state.steps["a"].attempt) == ("Succeeded", 2)


def test_the_result_of_a_lost_sandbox_is_refused() -> None:
    run = Run(plan(step("a", retry={})))
    run.register()
    late = run.result("a")
    run.lose(run.usable()[0])
    assert run.post(late).accepted == (False,)


def test_an_idle_sandbox_may_be_lost_without_harm() -> None:
    run = Run(plan(step("a"), step("b", run=big), step("c")))
    run.register()
    run.end("a")
    run.register()
    idle = next(name for name in run.usable() if run.state.sandboxes[name].step is None)
    run.lose(idle)
    assert run.finish().phase() == "Succeeded"


@pytest.mark.parametrize("reason", ["ImagePullFailed", "Unschedulable", "SandboxStartFailed"])
def test_a_sandbox_that_cannot_start_fails_the_attempt_that_waits_for_it(reason: str) -> None:
    run = Run(plan(step("a")))
    run.lose(run.usable()[0], reason)
    assert run.state.finished is not None
    assert (run.state.finished.reason, run.state.finished.step) == (reason, "a")
    assert len(run.state.sandboxes) == 1


def test_sandboxes_that_vanish_before_they_start_are_not_wanted_for_ever() -> None:
    run = Run(plan(step("a")))
    for _ in range(MAX_PLACINGS):
        run.lose(run.usable()[0], "Evicted")
    assert run.state.finished is not None
    assert run.state.finished.reason == "Evicted"


def test_a_second_sandbox_that_cannot_start_harms_nobody_while_the_first_serves() -> None:
    run = Run(plan(*wide(3), parallelism=2))
    run.register()
    run.sleep(SPREAD_SECONDS)
    _, second = run.usable()
    run.lose(second, "Unschedulable")
    assert run.finish().phase() == "Succeeded"


def test_a_released_sandbox_gets_nothing_and_its_end_is_noted() -> None:
    run = Run(plan(step("a"), step("b", run=big)))
    run.register()
    first = run.usable()[0]
    run.end("a")
    assert run.post(claim=first).step is None
    assert run.lose(first).accepted == (True,)
    assert run.lose(first).accepted == (False,)


def test_everything_is_released_at_the_end() -> None:
    run = Run(plan(*wide(3))).finish()
    assert run.usable() == []
