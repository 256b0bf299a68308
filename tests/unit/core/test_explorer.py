"""The explorer finds what is wrong: each of these engines breaks one promise, and is caught."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

import citadel.core.advance
import citadel.core.closing
import citadel.core.decide
import citadel.core.endings
import citadel.core.folding
import citadel.core.reruns
import citadel.core.sessions
import citadel.core.waiting
from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.state import State, with_sandbox
from engine import plan, step
from explore.machine import Explorer, Violation
from explore.workflows import WORLDS, World

#: States within which each is caught.
BUDGET = 3000
SMALL = World(plan(step("a", compensate={"run": {"runtime": "python", "code": "x"}}), step("b")))


@dataclass(frozen=True)
class Mutant:
    """An engine with a mistake: `made` takes a function of a module and gives the one that is wrong."""

    module: Any
    name: str
    made: Callable[[Any], Any]
    world: str
    words: str


def takes_late_results(admissible: Any) -> Any:
    def found(state: State, fact: ev.Event) -> bool:
        late = isinstance(fact, ev.AttemptSucceeded) and fact.step in state.steps and state.finished is None
        return (late and not state.steps[fact.step].status.terminal) or bool(admissible(state, fact))

    return found


def records_again(admissible: Any) -> Any:
    def found(state: State, fact: ev.Event) -> bool:
        return (isinstance(fact, ev.SignalReceived) and state.finished is None) or bool(
            admissible(state, fact)
        )

    return found


def goes_on_after_the_end(admissible: Any) -> Any:
    def found(state: State, fact: ev.Event) -> bool:
        over = state.finished is not None and state.stop is None
        return (over and isinstance(fact, ev.StopRequested)) or bool(admissible(state, fact))

    return found


def waits_for_nothing(_: Any) -> Any:
    return lambda state, name: False


def undoes_what_failed(ended: Any) -> Any:
    def found(state: State, name: str, step: Any, at: float) -> State:
        after: State = ended(state, name, step, at)
        if step.status is StepStatus.FAILED and state.plan and state.plan.step(name).compensation:
            return replace(after, completed=(*after.completed, name))
        return after

    return found


def undoes_in_order(not_undone: Any) -> Any:
    return lambda state: not_undone(state)[::-1]


def forgets_to_undo(not_undone: Any) -> Any:
    return lambda state: not_undone(state)[1:]


def gives_a_busy_sandbox_more(next_ready: Any) -> Any:
    def found(state: State, placement: str, now: float) -> str | None:
        running = (name for name, step in state.steps.items() if step.status is StepStatus.RUNNING)
        return next_ready(state, placement, now) or next(running, None)

    return found


def forgets_who_is_busy(assigned: Any) -> Any:
    def found(state: State, event: ev.Assigned, at: float) -> State:
        after: State = assigned(state, event, at)
        return with_sandbox(after, event.sandbox, replace(after.sandboxes[event.sandbox], step=None))

    return found


def retries_for_ever(_: Any) -> Any:
    return lambda retry, attempt, reason, seed="": 1.0


def cuts_nothing_off(_: Any) -> Any:
    return lambda state, step, at: state


def runs_undone_steps_over(search: Any) -> Any:
    class Search(search):  # type: ignore[misc]
        def _runs_again(self, compiled: Any, instance: str) -> bool:
            return False

    return Search


core = citadel.core
MUTANTS = {
    "a late result is taken": Mutant(
        core.advance, "admissible", takes_late_results, "retry and join", "not under way"
    ),
    "a signal is recorded twice": Mutant(
        core.advance, "admissible", records_again, "waits", "told again changed something"
    ),
    "it goes on after the end": Mutant(
        core.advance, "admissible", goes_on_after_the_end, "one to undo", "after the end"
    ),
    "a step does not wait": Mutant(core.decide, "_waits", waits_for_nothing, "retry and join", "began while"),
    "a failed step is undone": Mutant(
        core.endings, "ended", undoes_what_failed, "compensation and finally", "has not completed"
    ),
    "what came first is undone first": Mutant(
        core.closing, "not_undone", undoes_in_order, "compensation and finally", "is undone before"
    ),
    "something is not undone": Mutant(
        core.closing, "not_undone", forgets_to_undo, "one to undo", "not undone"
    ),
    "an attempt runs twice": Mutant(
        core.sessions, "next_ready", gives_a_busy_sandbox_more, "loops", "recorded again"
    ),
    "a sandbox has two attempts": Mutant(
        core.folding, "assigned", forgets_who_is_busy, "retry and join", "runs in"
    ),
    "it is tried for ever": Mutant(
        core.waiting, "next_delay", retries_for_ever, "retry and join", "more than there may be"
    ),
    "calls outlive the attempt that made them": Mutant(
        core.endings, "calls_cut_off", cuts_nothing_off, "agents", "the attempt that called it is over"
    ),
    "a rerun takes over what was undone": Mutant(
        core.reruns, "_Search", runs_undone_steps_over, "one to undo", "takes over a"
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_engine_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    world = SMALL if mutant.world == "one to undo" else WORLDS[mutant.world]
    monkeypatch.setattr(mutant.module, mutant.name, mutant.made(getattr(mutant.module, mutant.name)))
    with pytest.raises(Violation, match=mutant.words):
        Explorer(world.plan, BUDGET, world.signals, world.pool).run()
