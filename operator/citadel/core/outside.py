"""Steps that wait for an answer from outside of sandboxes, of a model or a tool: what both have in common."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from citadel.core.compiled import CompiledStep
from citadel.core.state import State, StepState, awaits_answer
from citadel.core.values import Value

#: Seconds after the end of its time at which a call counts as lost, though nobody said what became of it.
ANSWER_GRACE = 5.0
#: Why a call gives nothing whose execution was stopped before it was made.
NOT_STARTED = "not started"
T = TypeVar("T")


@dataclass(frozen=True)
class Awaited:
    """A step that waits for an answer."""

    step: str
    attempt: int
    payload: Value
    until: float | None
    """When it is waited for no longer; seconds since the epoch."""
    since: float
    """When the step began."""
    compiled: CompiledStep


def asked_of(compiled: CompiledStep) -> str | None:
    """Whom a step asks, for people; None for a step that asks nobody."""
    if compiled.spec.llm is not None:
        return f"Model {compiled.spec.llm.model}"
    return None if compiled.spec.tool is None else f"Tool {compiled.spec.tool.name}"


def awaited(state: State, step: str) -> Awaited | None:
    """What a step waits for of a model or a tool; None when it waits for nothing of them."""
    found = state.steps.get(step)
    if found is None or not awaits_answer(found) or state.finished is not None:
        return None
    assert state.plan is not None
    compiled = state.plan.step(step)
    return None if asked_of(compiled) is None else _of(step, found, compiled)


def _of(step: str, found: StepState, compiled: CompiledStep) -> Awaited:
    assert found.payload is not None
    until = None if found.until is None else found.until - ANSWER_GRACE
    return Awaited(step, found.attempt, found.payload, until, found.started_at or 0.0, compiled)


def all_of(state: State, wanted_by: Callable[[State, str], T | None]) -> Iterator[T]:
    """Whatever steps that are under way want, of one kind."""
    if state.finished is not None or state.plan is None:
        return
    for step in state.active:
        call = wanted_by(state, step)
        if call is not None:
            yield call


def answer_until(compiled: CompiledStep, now: float) -> float | None:
    """When a call that is wanted now is waited for no longer."""
    return None if compiled.timeout is None else now + compiled.timeout + ANSWER_GRACE
