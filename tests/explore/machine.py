"""Explicit-state exploration of the engine: from each state every fact that the world may bring next.

Results come, fail, come twice, late, or from sandboxes that are not the step's any more; sandboxes start, are
lost, and ask for work; time passes; people cancel, terminate, suspend, send signals and decide. States that
differ only in times and digests are one.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.advance import Outcome, advance
from citadel.core.closing import not_undone
from citadel.core.decide import wake_at
from citadel.core.plan import Plan
from citadel.core.state import State
from citadel.core.values import Inline, Values

FAILURE = ev.Failure("Error", "boom")
_SATISFIED = (StepStatus.SUCCEEDED, StepStatus.SKIPPED)


class Violation(AssertionError):
    """A state or an event that must not be; `path` is how it came about."""

    def __init__(self, what: str, path: list[str]) -> None:
        super().__init__(f"{what} after {' · '.join(path)}")


@dataclass(frozen=True)
class Move:
    """What happens next: a fact, a poll, or time."""

    name: str
    facts: tuple[ev.Event, ...] = ()
    claim: str | None = None
    wait: bool = False


@dataclass
class Node:
    """A state, and how it came about."""

    state: State
    now: float
    above: "Node | None" = None
    by: str = ""

    @property
    def path(self) -> list[str]:
        """Names of the moves from the start."""
        found: list[str] = []
        node: Node | None = self
        while node is not None:
            found.append(node.by)
            node = node.above
        return [name for name in reversed(found) if name]


@dataclass
class Explorer:
    """Breadth first from the start of one workflow."""

    plan: Plan
    budget: int
    """Most states."""
    signals: tuple[str, ...] = ()
    seen: set[int] = field(default_factory=set)
    moves: int = 0
    ended: int = 0

    def run(self) -> "Explorer":
        """Explores; raises Violation."""
        start = self._advance(Node(State(), 1000.0), Move("", (self._created(),)))
        assert start is not None
        self.seen.add(key_of(start.state))
        queue = deque((start,))
        while queue and len(self.seen) < self.budget:
            node = queue.popleft()
            for move in self._moves(node):
                self.moves += 1
                found = self._advance(node, move)
                if found is None:
                    continue
                key = key_of(found.state)
                if key not in self.seen:
                    self.seen.add(key)
                    queue.append(found)
        return self

    def _created(self) -> ev.Created:
        return ev.Created("n", "ns", "u", "w", "d", Inline({}))

    def _moves(self, node: Node) -> Iterator[Move]:
        state = node.state
        if state.finished is not None:
            self.ended += 1
        for name, sandbox in state.sandboxes.items():
            if not sandbox.registered and sandbox.usable:
                yield Move(f"{name} starts", (ev.SandboxRegistered(name),), claim=name)
            if sandbox.registered and sandbox.usable:
                yield Move(f"{name} polls", claim=name)
            if not sandbox.ended:
                yield Move(f"{name} is lost", (ev.SandboxEnded(name, ev.Failure("SandboxLost", "gone")),))
            for given in sandbox.given:
                step, _, attempt = given.rpartition("/")
                done = ev.AttemptSucceeded(step, int(attempt), name, Inline(1))
                yield Move(f"{given} succeeds in {name}", (done,), claim=name)
                yield Move(f"{given} fails in {name}", (ev.AttemptFailed(step, int(attempt), name, FAILURE),))
        for name, step_state in state.steps.items():
            if step_state.status is StepStatus.WAITING:
                for approved in (True, False):
                    decided = ev.ApprovalDecided(name, approved, "jane", "", Inline(None), node.now)
                    yield Move(f"{name} is decided {approved}", (decided,))
        for number, signal in enumerate(self.signals):
            yield Move(f"signal {number}", (ev.SignalReceived(signal, f"k{number}", Inline(1)),))
        yield Move("cancel", (ev.StopRequested("Cancel", "CancelRequested", ""),))
        yield Move("terminate", (ev.StopRequested("Terminate", "Terminated", ""),))
        if state.suspend_generation < 2:
            generation = state.suspend_generation + 1
            yield Move("suspend", (ev.SuspendChanged(generation == 1, generation),))
        if wake_at(state, node.now) is not None:
            yield Move("time", wait=True)

    def _advance(self, node: Node, move: Move) -> Node | None:
        now = node.now
        if move.wait:
            wake = wake_at(node.state, now)
            assert wake is not None
            now = wake
        outcome = advance(node.state, move.facts, now, Values(), plan=self.plan, claim=move.claim)
        if not outcome.events:
            return None
        found = Node(outcome.state, now, node, move.name)
        self._check(node.state, outcome, found)
        return found

    def _check(self, before: State, outcome: Outcome, node: Node) -> None:
        state = outcome.state
        for event in outcome.events:
            what = self._wrong(before, state, event)
            if what is not None:
                raise Violation(what, node.path)
        ended = [name for name, step in before.steps.items() if step.status.terminal]
        for name in ended:
            if state.steps[name].status is not before.steps[name].status:
                raise Violation(f"{name} changed after its end", node.path)
        if state.finished is not None and state.concluded is not None and not _terminated(state):
            remains = not_undone(state)
            if (
                state.concluded.phase != "Succeeded"
                and remains
                and state.finished.reason != "CompensationFailed"
            ):
                raise Violation(f"not undone: {remains}", node.path)

    def _wrong(self, before: State, state: State, event: ev.Event) -> str | None:
        if before.finished is not None and not isinstance(event, ev.SandboxEnded):
            return f"{type(event).__name__} after the end"
        if not isinstance(event, ev.StepReady):
            return None
        name = event.step
        if name.endswith(".compensate"):
            undone = name.removesuffix(".compensate")
            if undone not in state.completed or state.steps[undone].status is not StepStatus.SUCCEEDED:
                return f"{name} though {undone} has not completed"
            return None
        compiled = self.plan.step(name)
        if "[" in name or compiled.spec.join != "all" or compiled.scope.startswith(":"):
            return None
        for path in compiled.after:
            other: Any = state.steps.get(self.plan.beside(name, path))
            if other is not None and other.status not in _SATISFIED:
                return f"{name} began while {path} is {other.status}"
        return None


def _terminated(state: State) -> bool:
    return state.stop is not None and state.stop.mode == "Terminate"


def key_of(state: State) -> int:
    """States of one key differ in times, digests and names of sandboxes only."""
    steps = frozenset(
        (name, step.status, step.attempt, step.placing, step.undecided, step.sandbox, step.answer is None)
        for name, step in state.steps.items()
    )
    sandboxes = frozenset(
        (name, box.registered, box.released, box.ended, box.step, box.served, box.given)
        for name, box in state.sandboxes.items()
    )
    rest = (
        frozenset((name, s.total, s.begun, s.ended, s.failed) for name, s in state.scopes.items()),
        state.signals, state.signal_ids, state.completed, state.suspended,
        state.suspend_generation, state.stop and state.stop.mode, state.concluded and state.concluded.phase,
        state.finished and (state.finished.phase, state.finished.reason),
    )  # fmt: skip
    return hash((steps, sandboxes, rest))
