"""Calls of models that steps want: which these are, and what they ask. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from citadel.api.actions import Llm
from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.compiled import CompiledStep
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.outputs import OutputSchema
from citadel.core.state import State, awaits_answer
from citadel.core.values import Value

#: Seconds after the end of its time at which a call counts as lost, though nobody said what became of it.
ANSWER_GRACE = 5.0


@dataclass(frozen=True)
class Wanted:
    """A call that a step waits for."""

    step: str
    attempt: int
    llm: Llm
    payload: Value
    until: float | None
    """When it is waited for no longer; seconds since the epoch."""
    since: float
    """When the step began."""
    schema: OutputSchema | None


@dataclass(frozen=True)
class Question:
    """What is asked."""

    prompt: str
    system: str | None = None


def wanted(state: State) -> Iterator[Wanted]:
    """The calls that steps wait for now."""
    if state.finished is not None or state.plan is None:
        return
    for step in state.active:
        call = wanted_by(state, step)
        if call is not None:
            yield call


def wanted_by(state: State, step: str) -> Wanted | None:
    """The call that a step waits for; None when it waits for none."""
    found = state.steps.get(step)
    if found is None or not awaits_answer(found):
        return None
    assert state.plan is not None
    compiled = state.plan.step(step)
    if state.finished is not None or compiled.spec.llm is None:
        return None
    assert found.payload is not None
    until = None if found.until is None else found.until - ANSWER_GRACE
    since = found.started_at or 0.0
    return Wanted(step, found.attempt, compiled.spec.llm, found.payload, until, since, compiled.schema)


def question_of(payload: Json) -> Question:
    """What a payload asks."""
    given: Any = payload
    return Question(given["llm"]["prompt"], given["llm"].get("system"))


def answer_until(compiled: CompiledStep, now: float) -> float | None:
    """When a call that is wanted now is waited for no longer."""
    return None if compiled.timeout is None else now + compiled.timeout + ANSWER_GRACE


def failed(
    call: Wanted, reason: Reason | str, message: str, usage: ev.Usage | None = None
) -> ev.ModelAnswered:
    """The fact that a call gives nothing."""
    return ev.ModelAnswered(call.step, call.attempt, None, Failure.cut(reason, message), usage)
