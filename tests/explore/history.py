"""What has happened on one path, kept by nobody but the explorer: the engine's state is held against it."""

from dataclasses import dataclass, replace

from citadel.core import events as ev
from citadel.core.state import State

#: Events with which a step is over.
ENDS = (ev.AttemptSucceeded, ev.StepRecalled, ev.StepCompleted, ev.StepSkipped, ev.StepFailed)


@dataclass(frozen=True)
class History:
    """Everything that was recorded, in the few words that laws are about."""

    facts: frozenset[str] = frozenset()
    """Keys of facts."""
    ended: frozenset[str] = frozenset()
    """Steps that are over."""
    completed: tuple[str, ...] = ()
    """Steps that have something to undo, in the order they completed."""
    undone: frozenset[str] = frozenset()
    """Those of them whose compensation has succeeded."""
    taken: frozenset[str] = frozenset()
    """Steps whose results were recorded by an execution before this one."""

    def after(self, before: State, event: ev.Event) -> "History":
        """The history with an event more; `before` is the state that it met."""
        found = self
        if event.key is not None:
            found = replace(found, facts=found.facts | {event.key})
        if isinstance(event, ENDS):
            found = replace(found, ended=found.ended | {event.step})
            if _completes(before, event):
                found = replace(found, completed=(*found.completed, event.step))
            if isinstance(event, ev.AttemptSucceeded | ev.StepCompleted) and event.step.endswith(
                ".compensate"
            ):
                found = replace(found, undone=found.undone | {event.step.removesuffix(".compensate")})
        if isinstance(event, ev.Concluded | ev.Finished):
            found = replace(found, ended=found.ended | before.active | before.open)
        return found


def _completes(before: State, event: ev.Event) -> bool:
    """Whether a step with a compensation ends well by itself: not by a handler, nor as a loop of others."""
    if isinstance(event, ev.StepSkipped | ev.StepFailed):
        return False
    if isinstance(event, ev.StepCompleted | ev.StepRecalled) and event.failure is not None:
        return False
    assert before.plan is not None
    step = before.plan.step(event.step)  # type: ignore[attr-defined]
    return step.spec.compensate is not None and not step.is_loop(event.step)  # type: ignore[attr-defined]
