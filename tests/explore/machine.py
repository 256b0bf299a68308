"""Explicit-state exploration of the engine: from each state every fact that the world may bring next.

After each commit the process may die: another one reads the log, and everything that it was told comes again.
From each end the execution is run again, from the beginning or from any step. States that differ only in
times and digests are one.
"""

import gc
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from citadel.core import events as ev
from citadel.core.advance import Outcome, advance
from citadel.core.decide import wake_at
from citadel.core.folding import apply, fold
from citadel.core.members import Members, MemberWanted
from citadel.core.plan import Plan
from citadel.core.records import from_json, to_json
from citadel.core.reruns import CannotRerun, take_over
from citadel.core.state import State
from citadel.core.tickets import Holder, Standing
from citadel.core.values import Inline, Values
from explore.history import History
from explore.laws import of_event, of_state
from explore.moves import Move, moves

FULL = Standing((Holder("uid-2", "other"),))


class Violation(AssertionError):
    """A state or an event that must not be, and how it came about."""


@dataclass(frozen=True)
class Path:
    """How a state came about, by the names of moves."""

    name: str
    above: "Path | None" = None

    def __str__(self) -> str:
        return self.name if self.above is None else f"{self.above} · {self.name}"


@dataclass(frozen=True)
class Node:
    """A state on its path."""

    state: State
    now: float
    history: History
    path: Path | None = None


@dataclass
class Explorer:
    """Breadth first from the start of one workflow."""

    plan: Plan
    budget: int
    """Most states."""
    signals: tuple[str, ...] = ()
    pool: bool = False
    """Whether every other sandbox comes from a warm pool."""
    seen: set[int] = field(default_factory=set)
    moves: int = 0
    ended: int = 0
    reruns: int = 0
    """Executions that took over something of one before."""

    def run(self) -> "Explorer":
        """Explores; raises Violation."""
        # Nothing here has cycles, and hundreds of thousands of states are a long way for the collector.
        gc.disable()
        try:
            self._explore()
        finally:
            gc.enable()
        return self

    def _explore(self) -> None:
        queue = deque([self._start()])
        while queue and len(self.seen) < self.budget:
            node = queue.popleft()
            if node.state.finished is not None:
                self.ended += 1
                queue.extend(self._again(node))
            for move in moves(node.state, node.now, node.history, self.signals):
                self.moves += 1
                found = self._advance(node, move)
                if found is not None:
                    queue.append(found)

    def _start(self, taken: dict[str, object] | None = None, path: Path | None = None) -> Node:
        recalled = None if taken is None else Inline(taken)
        created = ev.Created("n", "ns", "u", "w", "d", Inline({}), recalled, None if taken is None else "m")
        node = Node(State(), 1000.0, History(taken=frozenset(taken or ())), path)
        found = self._advance(node, Move("created", (created,)))
        return node if found is None else found

    def _again(self, node: Node) -> Iterator[Node]:
        """Reruns of what has ended: of what failed, and from each step."""
        if node.history.taken:
            return
        for point in (None, *(name for name in node.state.steps if "." not in name)):
            try:
                taken = take_over(node.state, self.plan, point)
            except CannotRerun:
                continue
            for name, step in taken.steps.items():
                if name not in node.history.ended or name in node.history.undone or step.output is None:
                    what = f"a rerun takes over {name}, which is {step.status}"
                    raise Violation(f"{what} after {node.path}")
            if taken.steps:
                again = self._start(taken.payload(), Path(f"rerun from {point}", node.path))
                if again.state.known:
                    self.reruns += 1
                    yield again

    def _advance(self, node: Node, move: Move) -> Node | None:
        """The state after a move; None if it is none, or known."""
        now = node.now
        if move.wait:
            wake = wake_at(node.state, now)
            assert wake is not None
            now = wake
        path = Path(move.name, node.path)
        try:
            outcome = self._outcome(node.state, move, now)
        except (LookupError, AssertionError, TypeError, ValueError) as error:
            raise Violation(f"{error!r} after {path}") from error
        again = any(fact.key in node.history.facts for fact in outcome.events)
        if again:
            raise Violation(f"something was recorded again after {path}")
        if not outcome.events:
            return None
        history = self._check(node, outcome, now, path)
        key = key_of(outcome.state, history)
        if key in self.seen:
            return None
        self.seen.add(key)
        self._dies(node.state, outcome, move, now, path)
        return Node(outcome.state, now, history, path)

    def _outcome(self, state: State, move: Move, now: float) -> Outcome:
        values = Values(standing=Standing() if move.room else FULL)
        if not self.pool:
            return advance(state, move.facts, now, values, plan=self.plan, claim=move.claim)
        claimed: dict[str, str | None] = {}
        while True:
            members = Members(claimed)
            try:
                return advance(
                    state, move.facts, now, Values(), plan=self.plan, claim=move.claim, members=members
                )
            except MemberWanted as asked:
                number = len(state.sandboxes) + len(claimed)
                claimed[asked.wish.sandbox] = None if number % 2 else f"warm-{number}"

    def _check(self, node: Node, outcome: Outcome, now: float, path: Path) -> History:
        """Holds each event against the state that it met, and the end of it against the beginning."""
        state, history = node.state, node.history
        for event in outcome.events:
            for what in of_event(state, event, history):
                raise Violation(f"{what} after {path}")
            history = history.after(state, event)
            state = apply(state, event, now, self.plan)
        for what in of_state(node.state, outcome.state):
            raise Violation(f"{what} after {path}")
        return history

    def _dies(self, before: State, outcome: Outcome, move: Move, now: float, path: Path) -> None:
        """The process dies after its commit: another one reads the log, and is told the same again."""
        log = []
        for event in outcome.events:
            data = json.loads(json.dumps(to_json(event)))
            log.append((from_json(type(event).__name__, data), now))
        state = fold(before, log, self.plan)
        if state != outcome.state and not outcome.state.behind:
            raise Violation(f"the log tells another state after {path}")
        told = self._outcome(state, move, now)
        if any(told.accepted) or (move.claim is None and told.events):
            raise Violation(f"what was told again changed something after {path}")


def key_of(state: State, history: History) -> int:
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
        state.finished and (state.finished.phase, state.finished.reason), history.taken,
        state.begun, "admitted" in history.facts,
    )  # fmt: skip
    return hash((steps, sandboxes, rest))
