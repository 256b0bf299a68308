"""An execution's steps as they are told to people: one plain record each, the same for every view."""

from collections.abc import Iterator
from dataclasses import dataclass

from citadel.api.reasons import StepStatus
from citadel.core.children import name_for
from citadel.core.compiled import FINALLY
from citadel.core.state import State, StepState, Try
from citadel.core.summary import step_words


@dataclass(frozen=True, slots=True)
class Told:
    """One step. Times are seconds since the epoch; what is not known is empty."""

    name: str
    status: str
    attempt: int = 0
    reason: str = ""
    message: str = ""
    started: float | None = None
    finished: float | None = None
    ready: float | None = None
    """From when on its last attempt waited for a sandbox."""
    began: float | None = None
    """When the code of its last attempt began, or what it waits for outside."""
    tries: tuple[Try, ...] = ()
    """What came to nothing before the last attempt."""
    index: int = 0
    """Where its definition stands among those beside it."""
    total: int | None = None
    """Of a loop: its items, or the iterations so far."""
    final: bool = False
    """Whether it is one of `finally`."""
    execution: str = ""
    """The execution that it waits for, or has waited for."""
    action: str = ""
    """What it does; `steps` also for a handler."""


def told(state: State, name: str, step: StepState) -> Told:
    """A step of this state."""
    assert state.plan is not None
    compiled = state.plan.step(name)
    reason, message = step_words(state, name)
    outside = not compiled.sandboxed
    began = step.started_at if compiled.is_loop(name) or compiled.children else step.delivered_at
    if outside and step.attempt and step.status is not StepStatus.BACKING_OFF:
        began = step.ready_at
    scope = state.scopes.get(name) if compiled.is_loop(name) else None
    return Told(
        name,
        step.status.value,
        step.attempt,
        str(reason or ""),
        message or "",
        step.started_at,
        step.finished_at,
        step.ready_at or None,
        began,
        step.tries,
        compiled.index,
        None if scope is None else scope.total,
        compiled.scope == FINALLY,
        name_for(state, name) or "",
        "steps" if compiled.children else compiled.spec.action,
    )


def news(before: State, state: State) -> Iterator[Told]:
    """The steps that differ from those of an earlier state of the same execution."""
    for name, step in state.steps.items():
        if before.steps.get(name) is not step or _counts(before, name) != _counts(state, name):
            yield told(state, name, step)


def _counts(state: State, name: str) -> int | None:
    scope = state.scopes.get(name)
    return None if scope is None else scope.total
