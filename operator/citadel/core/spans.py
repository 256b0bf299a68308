"""What of an execution is told to traces: agents and calls of tools that have ended. Pure.

Names of steps, tools and agents, times and reasons; never what was asked, given or answered.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.agents import call_around
from citadel.core.instances import turns
from citadel.core.state import State

#: What ends a step.
_ENDING = (
    ev.AttemptSucceeded,
    ev.AttemptFailed,
    ev.StepRecalled,
    ev.StepCompleted,
    ev.StepSkipped,
    ev.StepFailed,
)


@dataclass(frozen=True)
class Ended:
    """Something that took its time."""

    operation: str
    """`invoke_workflow`, `invoke_agent` or `execute_tool`."""
    name: str
    """Of the Workflow, the Agent, or the tool as the agent calls it."""
    began: float
    ended: float
    step: str = ""
    """The instance; empty for the execution."""
    within: str = ""
    """The agent step that this is part of; empty where the execution is."""
    error: str | None = None
    """Reason of a failure."""
    version: str | None = None
    attributes: dict[str, str | int] = field(default_factory=dict)


def ended(state: State, events: Sequence[ev.Event]) -> Iterator[Ended]:
    """What has ended by these events, the last of those that the state is made of."""
    if state.plan is None:
        return
    named = {event.step for event in events if isinstance(event, _ENDING)}
    for name in sorted(named.union(*(_also(state, step) for step in named))):
        told = _of_step(state, name)
        if told is not None:
            yield told
    if state.finished is not None and any(isinstance(event, ev.Finished) for event in events):
        assert state.created is not None
        failed = None if state.finished.phase == "Succeeded" else state.finished.reason
        at = state.finished_at or state.created_at
        yield Ended("invoke_workflow", state.created.workflow, state.created_at, at, error=failed)


def _also(state: State, step: str) -> Iterator[str]:
    """What ends with a step without a word of its own: the call it is part of, and its calls if cut off."""
    for loop, number in turns(step):
        if (instance := f"{loop}[{number}]") in state.called:
            yield instance
            break
    calls, mine = state.calls.get(step), state.steps.get(step)
    for instance in calls.instances.values() if calls is not None else ():
        call = state.steps[instance]
        if mine is not None and call.status is StepStatus.CANCELLED and call.finished_at == mine.finished_at:
            yield instance


def _of_step(state: State, name: str) -> Ended | None:
    step = state.steps.get(name)
    if step is None or state.plan is None or not step.status.terminal or step.finished_at is None:
        return None
    began = step.started_at or step.finished_at
    error = None if step.status is StepStatus.SUCCEEDED else step.reason or str(step.status)
    compiled = state.plan.step(name)
    call = call_around(state, name)
    within = call.step if call is not None else ""
    if compiled.is_loop(name):
        return None
    if compiled.agent is not None and compiled.spec.agent is not None:
        agent = compiled.spec.agent.name
        about: dict[str, str | int] = {"attempt": step.attempt}
        return Ended(
            "invoke_agent", agent, began, step.finished_at, name, within, error, compiled.agent.version, about
        )
    made = state.called.get(name)
    if made is not None:
        return Ended("execute_tool", made.tool, began, step.finished_at, name, made.step, error)
    if compiled.spec.tool is not None and call is None:
        return Ended("execute_tool", compiled.spec.tool.name, began, step.finished_at, name, "", error)
    return None
