"""The fold: which facts count, and that the log alone gives the state back."""

import json
from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core import records
from citadel.core.facts import admissible
from citadel.core.failures import Failure, shorten
from citadel.core.folding import apply
from citadel.core.jsonvalues import canonical
from citadel.core.records import from_json, to_json
from citadel.core.state import State
from citadel.core.summary import summarise
from citadel.core.values import Content, Inline, Stored
from engine import Run, failure, plan, step

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def run() -> Run:
    started = Run(plan(step("a", retry={}), step("b")))
    started.register()
    return started


def test_a_second_result_changes_nothing(run: Run) -> None:
    first, second = run.result("a", 1), run.result("a", failure())
    run.post(first)
    state = run.state
    assert run.post(first).accepted == (False,)
    assert run.post(second).accepted == (False,)
    assert run.state == state


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param(ev.AttemptSucceeded("a", 2, "SANDBOX", Inline(1)), id="an attempt that has not begun"),
        pytest.param(ev.AttemptSucceeded("a", 1, "cx-other", Inline(1)), id="another sandbox"),
        pytest.param(ev.AttemptSucceeded("b", 1, "SANDBOX", Inline(1)), id="a step that does not run"),
        pytest.param(ev.AttemptFailed("ghost", 1, "SANDBOX", failure()), id="a step that does not exist"),
        pytest.param(ev.Delivered("ghost", 1, 1), id="delivered to a step that does not exist"),
        pytest.param(ev.Delivered("b", 1, 1), id="delivered to a step that does not run"),
        pytest.param(ev.Delivered("a", 1, 1), id="delivered again"),
        pytest.param(ev.Assigned("ghost", 1, 1, "SANDBOX", True), id="assigned a step that does not exist"),
        pytest.param(ev.Assigned("a", 1, 1, "SANDBOX", True), id="assigned again"),
        pytest.param(ev.SandboxRegistered("cx-other"), id="an unknown sandbox"),
        pytest.param(ev.SandboxEnded("cx-other", failure()), id="the end of an unknown sandbox"),
        pytest.param(ev.Created("run", "default", "uid-1", "flow", DIGEST, Inline({})), id="created again"),
    ],
)
def test_facts_that_do_not_count(run: Run, fact: ev.Event) -> None:
    sandbox = run.usable()[0]
    data = {key: sandbox if value == "SANDBOX" else value for key, value in to_json(fact).items()}
    assert not admissible(run.state, from_json(type(fact).__name__, data))


def test_an_old_attempt_is_refused_once_it_was_superseded(run: Run) -> None:
    old = run.result("a", "late")
    run.end("a", failure())
    run.wake()
    run.poll()
    assert run.running() == ["a"]
    assert run.post(old).accepted == (False,)


def test_nothing_counts_before_it_was_created() -> None:
    assert not admissible(State(), ev.StopRequested("Cancel", "CancelRequested", ""))


def test_nothing_but_the_end_of_sandboxes_counts_after_the_end(run: Run) -> None:
    late = run.result("a")
    sandbox = run.usable()[0]
    run.post(ev.StopRequested("Terminate", "Terminated", ""))
    outcome = run.post(
        late, ev.SandboxRegistered(sandbox), ev.SuspendChanged(True, 9), ev.SandboxEnded(sandbox, failure())
    )
    assert outcome.accepted == (False, False, False, True)


def test_the_log_gives_the_state_back_at_every_point() -> None:
    steps = [step("a", retry={}), step("b", when="steps.a.output > 1"), step("c", join="finished")]
    run = Run(plan(*steps))
    while run.state.finished is None:
        run.register()
        run.poll()
        for name in run.running():
            run.end(name, failure() if run.state.steps[name].attempt == 1 else 5)
            assert run.replayed() == run.state
        if run.state.finished is None and not run.running():
            run.wake()
    assert run.replayed() == run.state


def test_seq_counts_events(run: Run) -> None:
    assert run.state.seq == len(run.log)


def test_an_event_of_another_version_is_refused() -> None:
    class Foreign(ev.Event):
        pass

    with pytest.raises(TypeError, match="found Foreign"):
        apply(State(), Foreign(), 0.0)
    with pytest.raises(KeyError):
        from_json("Foreign", {})


# ---- events


EVENTS = [
    ev.Created("n", "ns", "u", "w", DIGEST, Stored(DIGEST, 5000)),
    ev.Created("n", "ns", "u", "w", DIGEST, Inline({}), since=1.5, around=("u0",), among="ns/u0"),
    ev.Rejected("n", "ns", "u", "w", failure()),
    ev.Queued("größe", 3),
    ev.Admitted(),
    ev.Assigned("a", 1, 1, "cx-1", True),
    ev.Delivered("a", 1, 1),
    ev.AttemptSucceeded("a", 1, "cx-1", Inline({"a": [1, 2.5, None, "ü"]})),
    ev.AttemptSucceeded("a", 1, "cx-1", Inline(None), {"src": Content(DIGEST, 2**40)}),
    ev.AttemptFailed("a", 1, "cx-1", Failure("Error", "m", "t", 3, "l")),
    ev.SandboxRegistered("cx-1"),
    ev.SandboxEnded("cx-1", failure()),
    ev.StopRequested("Cancel", "CancelRequested", "m"),
    ev.SuspendChanged(True, 3),
    ev.SignalReceived("paid", "key-1", Stored(DIGEST, 5000)),
    ev.ApprovalDecided("a", True, "jane", "fine", Inline({"limit": 3}), 1.5),
    ev.ChildFinished("a", 1, "Succeeded", Inline({})),
    ev.ChildFinished("a", 2, "Failed", None, failure()),
    ev.StepOpened("a", Stored(DIGEST, 5000), 3),
    ev.StepWaiting("a", 1.5, Inline({"arguments": {}})),
    ev.ModelAnswered("a", 1, Inline("x"), None, ev.Usage("m", "scripted", 1, 2, 3)),
    ev.ModelWanted("a", 1, Inline({"llm": {"prompt": "x"}})),
    ev.ToolCalled("a", 1, "c0ffee", "search", Inline({"text": "größe"})),
    ev.ToolWanted("a", 1, Inline({"arguments": {}}), 5.0),
    ev.ToolAnswered("a", 1, Inline([1])),
    ev.ToolAnswered("a", 2, None, failure("ToolFailed")),
    ev.ChildWanted("a", 1, Inline({"arguments": {}})),
    ev.StepCompleted("a", Inline([1]), failure(), "key-1"),
    ev.HandlerOpened("a", failure()),
    ev.Concluded("Failed", "Error", "m", step="a"),
    ev.StepReady("a", Inline({"arguments": {}, "env": []}), True),
    ev.StepRecalled("a", Inline({"a": 1}), {"program": Content(DIGEST, 1)}),
    ev.StepSkipped("a", "ConditionFalse", "m"),
    ev.StepFailed("a", failure()),
    ev.RetryScheduled("a", 2, 1.5),
    ev.SandboxWanted("cx-1", "p"),
    ev.SandboxReleased("cx-1", "Idle"),
    ev.Finished("Succeeded", "Completed", "", Inline({})),
    ev.Finished("Failed", "Error", "m", step="a"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_survive_json(event: ev.Event) -> None:
    data = json.loads(json.dumps(to_json(event)))
    assert from_json(type(event).__name__, data) == event


def test_every_kind_of_event_is_in_that_table() -> None:
    assert {type(event).__name__ for event in EVENTS} == {
        name for name in records.EVENTS if name != "Foreign"
    }


@pytest.mark.parametrize("text", ["x", '"', "\\", "\n", "\x01", "ü", "漢", "😀", "\ud800", "\0"])
def test_events_stay_small_whatever_the_texts(text: str) -> None:
    long = text * 5000
    found = Failure.cut(long, long, long, -(2**31), long)
    name, uid, label = "n" * 253, "u" * 36, "w" * 63
    for event in (
        ev.Rejected(name, label, uid, name, found),
        ev.AttemptFailed(label, 100, label, found),
        ev.StepFailed(label, found),
        ev.SandboxEnded(label, found),
        ev.Finished("Failed", "Error", shorten(long), step=label),
    ):
        assert len(canonical(to_json(event))) <= 4096


def test_short_texts_are_not_changed_and_long_ones_keep_what_matters() -> None:
    assert Failure.cut("Error", "ü" * 10, "t" * 20) == Failure("Error", "ü" * 10, "t" * 20)
    found = Failure.cut("Error", "begin" + "x" * 2000, "x" * 2000 + "end", None, "x" * 2000 + "last line")
    assert found.message.startswith("begin")
    assert found.traceback.endswith("end")
    assert found.log_tail.endswith("last line")


def test_hostile_arguments_stay_out_of_events() -> None:
    arguments = {f"argument_{number:02}_{'x' * 50}": "y" * 1000 for number in range(64)}
    env = [{"name": f"V{number}", "value": "z" * 1000} for number in range(64)]
    hostile = {"name": "s" * 63, "run": {"runtime": "python", "code": "x", "env": env}, "with": arguments}
    run = Run(plan(hostile))
    assert run.payload("s" * 63)["arguments"] == arguments


def test_a_long_condition_is_cut() -> None:
    run = Run(plan(step("a", when=f"'{'ü' * 4000}' == 'x'"))).finish()
    assert run.statuses() == {"a": "Skipped"}


# ---- summary


def test_summary(run: Run) -> None:
    def said() -> tuple[Any, ...]:
        found = summarise(run.state)
        return found.phase, found.reason

    assert summarise(State()).phase == "Pending"
    assert said() == ("Running", "Running")
    run.post(ev.SuspendChanged(True, 2))
    assert said() == ("Running", "Running")
    run.end("a")
    assert said() == ("Suspended", "Suspended")
    run.post(ev.StopRequested("Cancel", "CancelRequested", "by hand"))
    assert said() == ("Cancelled", "CancelRequested")
