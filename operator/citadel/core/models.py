"""Calls of models that steps want: which these are, and what they ask. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from citadel.api.actions import Llm
from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.outputs import OutputSchema
from citadel.core.outside import all_of, awaited
from citadel.core.state import State
from citadel.core.values import Value


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
    return all_of(state, wanted_by)


def wanted_by(state: State, step: str) -> Wanted | None:
    """The call that a step waits for; None when it waits for none."""
    found = awaited(state, step)
    if found is None or found.compiled.spec.llm is None:
        return None
    llm, schema = found.compiled.spec.llm, found.compiled.schema
    return Wanted(step, found.attempt, llm, found.payload, found.until, found.since, schema)


def question_of(payload: Json) -> Question:
    """What a payload asks."""
    given: Any = payload
    return Question(given["llm"]["prompt"], given["llm"].get("system"))


def failed(
    call: Wanted, reason: Reason | str, message: str, usage: ev.Usage | None = None
) -> ev.ModelAnswered:
    """The fact that a call gives nothing."""
    return ev.ModelAnswered(call.step, call.attempt, None, Failure.cut(reason, message), usage)
