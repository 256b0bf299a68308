"""What the world may do next to an execution: all of it, at any time, in any order, again, and too late."""

from collections.abc import Iterator
from dataclasses import dataclass

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.decide import wake_at
from citadel.core.failures import Failure
from citadel.core.state import State
from citadel.core.values import Inline
from explore.history import History

FAILURE = Failure("Error", "boom")
CHILD_FAILED = Failure("ChildFailed", "it failed")
TOOL_FAILED = Failure("ToolFailed", "no")
LOST = Failure("SandboxLost", "gone")


@dataclass(frozen=True)
class Move:
    """What happens next: facts in one advance, a poll, or time."""

    name: str
    facts: tuple[ev.Event, ...] = ()
    claim: str | None = None
    wait: bool = False
    room: bool = False
    """Whether there is room for it in its concurrency group."""


def moves(state: State, now: float, history: History, signals: tuple[str, ...]) -> Iterator[Move]:
    """Everything that may come next. All that has come before comes again, at once."""
    stale: list[ev.Event] = []
    for move in _all(state, now, signals):
        news = [fact for fact in move.facts if fact.key not in history.facts]
        if news or not move.facts:
            yield move
        else:
            stale += move.facts
    if stale:
        yield Move("all of it again", tuple(stale))


def _all(state: State, now: float, signals: tuple[str, ...]) -> Iterator[Move]:
    for name in state.sandboxes:
        yield from _of_sandbox(state, name)
    for name, step in state.steps.items():
        yield from _from_outside(state, name, step.attempt, step.status, now)
    for number, signal in enumerate(signals):
        yield Move(f"signal {number}", (ev.SignalReceived(signal, f"k{number}", Inline(1)),))
    yield Move("cancel", (ev.StopRequested("Cancel", "CancelRequested", ""),))
    yield Move("terminate", (ev.StopRequested("Terminate", "Terminated", ""),))
    if state.suspend_generation < 2:
        generation = state.suspend_generation + 1
        yield Move("suspend", (ev.SuspendChanged(generation == 1, generation),))
    else:
        yield Move("suspend, too late", (ev.SuspendChanged(True, 1),))
    if wake_at(state, now) is not None:
        yield Move("time", wait=True)
    if state.admission is not None and state.admission.admitted_at is None:
        yield Move("room", room=True)


def _of_sandbox(state: State, name: str) -> Iterator[Move]:
    sandbox = state.sandboxes[name]
    end = ev.SandboxEnded(name, LOST)
    if not sandbox.claimed:
        claim = name if not sandbox.registered else None
        yield Move(f"{name} starts", (ev.SandboxRegistered(name),), claim)
    if sandbox.registered and sandbox.usable:
        yield Move(f"{name} polls", claim=name)
    yield Move(f"{name} is lost", (end,))
    for given in sorted(sandbox.given):
        step, _, text = given.rpartition("/")
        attempt = int(text)
        found = state.steps[step]
        if found.delivered_at is None and found.sandbox == name:
            yield Move(f"{given} is sealed", (ev.Delivered(step, attempt, found.placing),))
            continue
        yield from _calls(state, step, attempt)
        done = ev.AttemptSucceeded(step, attempt, name, Inline(1))
        failed = ev.AttemptFailed(step, attempt, name, FAILURE)
        yield Move(f"{given} succeeds in {name}", (done,), claim=name)
        yield Move(f"{given} fails in {name}", (failed,))
        if found.sandbox == name and found.status is StepStatus.RUNNING:
            # What is on its way at once may arrive in either order.
            yield Move(f"{given} succeeds, {name} is lost", (done, end))
            yield Move(f"{name} is lost, {given} succeeds", (end, done))


def _calls(state: State, step: str, attempt: int) -> Iterator[Move]:
    """An agent calls each of its tools, and one that it does not have."""
    assert state.plan is not None
    if state.plan.step(step).agent is None:
        return
    for tool in (*state.plan.step(step).tools, "rm"):
        fact = ev.ToolCalled(step, attempt, tool, tool, Inline({"text": "a"}))
        yield Move(f"{step} calls {tool} ({attempt})", (fact,))


def _from_outside(state: State, name: str, attempt: int, status: StepStatus, now: float) -> Iterator[Move]:
    """Answers to what a step waits for, or has ever waited for."""
    assert state.plan is not None
    spec = state.plan.step(name).spec
    if spec.approval is not None and status is not StepStatus.PENDING:
        for approved in (True, False):
            fact = ev.ApprovalDecided(name, approved, "jane", "", Inline(None), now)
            yield Move(f"{name} is decided {approved}", (fact,))
    if spec.tool is not None:
        answered = ev.ToolAnswered(name, 1, Inline(1))
        yield Move(f"the tool of {name} answers", (answered,))
        yield Move(f"the tool of {name} fails", (ev.ToolAnswered(name, 1, None, TOOL_FAILED),))
    if spec.workflow is not None:
        for tried in range(1, attempt + 1):
            done = ev.ChildFinished(name, tried, "Succeeded", Inline({"n": 1}))
            failed = ev.ChildFinished(name, tried, "Failed", None, CHILD_FAILED)
            yield Move(f"what {name} wants succeeds ({tried})", (done,))
            yield Move(f"what {name} wants fails ({tried})", (failed,))
