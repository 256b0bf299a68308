"""Cancel, terminate, suspend: what people ask of a running execution."""

import pytest

from citadel.core import events as ev
from citadel.core.closing import CANCEL_LIMIT
from engine import Run, failure, plan, step

S, F, K, P, C = "Succeeded", "Failed", "Skipped", "Pending", "Cancelled"

a, b = step("a"), step("b", needs=[])


def stop(mode: str) -> ev.StopRequested:
    return ev.StopRequested(mode, "CancelRequested" if mode == "Cancel" else "Terminated", f"stop: {mode}")


def test_cancel_before_anything_runs_ends_at_once() -> None:
    run = Run(plan(a))
    run.post(stop("Cancel"))
    assert run.phase() == C


def test_cancel_waits_for_what_runs_and_starts_nothing() -> None:
    run = Run(plan(a, b, step("c"), parallelism=2))
    run.register()
    run.sleep(0.3)
    run.register()
    run.post(stop("Cancel"))
    assert run.running() == ["a", "b"]
    run.end("a", "still counts")
    run.end("b", failure("Cancelled"))
    assert run.phase() == C
    assert run.statuses() == {"a": S, "b": C, "c": P}


def test_cancel_is_not_retried() -> None:
    run = Run(plan(step("a", retry={})))
    run.register()
    run.post(stop("Cancel"))
    run.end("a", failure())
    assert (run.phase(), run.statuses()) == (C, {"a": F})


def test_cancel_ends_without_those_who_do_not_answer() -> None:
    run = Run(plan(a))
    run.register()
    run.post(stop("Cancel"))
    run.sleep(CANCEL_LIMIT - 0.1)
    assert run.state.finished is None
    run.wake()
    assert run.phase() == C


def test_terminate_does_not_wait() -> None:
    run = Run(plan(a))
    run.register()
    run.post(stop("Terminate"))
    assert run.phase() == C
    assert run.state.finished == ev.Finished(C, "Terminated", "stop: Terminate")


def test_what_never_begins_within_what_ended_counts_as_ended() -> None:
    group = {"name": "g", "steps": [step("x"), step("y")], "output": 1}
    loop = {**group, "forEach": {"items": [1, 2, 3], "parallelism": 1, "failFast": False}}
    for given in (
        loop,
        {**group, "onError": {"output": 2}},
        {**group, "onError": {"steps": [a], "output": 2}},
    ):
        run = Run(plan(given)).finish(lambda name, _: failure() if name.endswith(".x") else None)
        assert run.phase() == S
        assert run.state.ended_steps == run.state.total_steps


def test_after_the_end_nothing_looks_as_if_it_went_on() -> None:
    group = {"name": "g", "output": 1, "steps": [{"name": "w", "wait": {"for": "1h"}}], "needs": []}
    for spec, fact in (({}, stop("Terminate")), ({"timeout": "1m"}, None)):
        run = Run(plan(a, group, step("c"), **spec))
        run.register()
        run.post(fact) if fact is not None else run.sleep(60)
        assert run.statuses() == {"a": C, "g": C, "g.w": C, "c": P}
        assert (run.state.ended_steps, run.state.total_steps) == (3, 4)
        assert run.replayed() == run.state


def test_cancel_escalates_but_never_back() -> None:
    run = Run(plan(a))
    run.register()
    assert run.post(stop("Cancel")).accepted == (True,)
    assert run.post(stop("Cancel")).accepted == (False,)
    assert run.post(stop("Terminate")).accepted == (True,)
    assert run.post(stop("Cancel")).accepted == (False,)


def test_a_lost_attempt_under_cancel_is_not_placed_again() -> None:
    run = Run(plan(step("a", arguments={"x": {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}})))
    run.register()
    run.post(stop("Cancel"))
    run.lose(run.usable()[0])
    assert run.phase() == C


def test_suspended_nothing_is_wanted_or_assigned_and_what_runs_goes_on() -> None:
    run = Run(plan(a, step("b")))
    run.register()
    run.post(ev.SuspendChanged(True, 2))
    run.end("a")
    assert run.statuses() == {"a": S, "b": "Pending"}
    run.sleep(100)
    assert run.usable() == []
    run.post(ev.SuspendChanged(False, 3))
    assert run.finish().phase() == S


@pytest.mark.parametrize(
    ("changes", "suspended"),
    [
        pytest.param([(False, 1)], False, id="no news at first"),
        pytest.param([(True, 1)], True, id="suspended from the start"),
        pytest.param([(True, 2), (False, 3)], False, id="in order"),
        pytest.param([(False, 3), (True, 2)], False, id="the older one comes late"),
        pytest.param([(True, 2), (True, 2), (False, 1)], True, id="repeated, and an older one"),
    ],
)
def test_suspension_follows_the_newest_generation(changes: list[tuple[bool, int]], suspended: bool) -> None:
    run = Run(plan(a))
    for change in changes:
        run.post(ev.SuspendChanged(*change))
    assert run.state.suspended is suspended


# ---- values


UNDO = {"run": {"runtime": "python", "code": "x"}}


@pytest.mark.parametrize("suspended_first", [True, False], ids=["suspended, then cancelled", "the reverse"])
def test_what_is_cancelled_is_undone_and_cleaned_up_though_it_was_suspended(suspended_first: bool) -> None:
    run = Run(plan(step("a", compensate=UNDO), step("b"), **{"finally": [step("f")]}))
    run.register()
    run.end("a", 1)
    asked: list[ev.Event] = [ev.SuspendChanged(True, 2), stop("Cancel")]
    for fact in asked if suspended_first else reversed(asked):
        run.post(fact)
    run.end("b", failure("Cancelled"))
    run.finish()
    assert (run.phase(), run.statuses()) == (C, {"a": S, "a.compensate": S, "b": C, "f": S})


def test_compensations_of_what_failed_wait_while_it_is_suspended() -> None:
    run = Run(plan(step("a", compensate=UNDO), step("b")))
    run.register()
    run.end("a", 1)
    run.post(ev.SuspendChanged(True, 2))
    run.end("b", failure())
    run.sleep(60)
    assert run.statuses() == {"a": S, "b": F}
    run.post(ev.SuspendChanged(False, 3))
    run.finish()
    assert run.statuses() == {"a": S, "a.compensate": S, "b": F}
