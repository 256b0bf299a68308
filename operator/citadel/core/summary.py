"""An execution in a few words: phase, reason and message for people."""

from dataclasses import dataclass
from datetime import UTC, datetime

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core.admission import awaits_turn, turn_of
from citadel.core.agents import busy, made_words
from citadel.core.children import name_for
from citadel.core.closing import not_undone
from citadel.core.events import Usage
from citadel.core.failures import shorten
from citadel.core.outside import asked_of
from citadel.core.spending import dollars
from citadel.core.state import State, compiled_of, position


@dataclass(frozen=True)
class Summary:
    """What a row of `kubectl get executions` says."""

    phase: Phase
    reason: str
    message: str


def summarise(state: State) -> Summary:
    """The summary of a state, as far as the journal alone can tell."""
    if state.finished is not None:
        return Summary(Phase(state.finished.phase), state.finished.reason, state.finished.message)
    if not state.known:
        return Summary(Phase.PENDING, Reason.ACCEPTED, "")
    running = [name for name in state.active if _runs(state, name)]
    if state.calls:
        # An agent that waits for what it has called does nothing itself.
        running = [name for name in running if not busy(state, name)]
    if state.stop is not None and state.concluded is None:
        return Summary(Phase.RUNNING, Reason.CANCEL_REQUESTED, state.stop.message)
    if state.suspended and not running:
        return Summary(Phase.SUSPENDED, Reason.SUSPENDED, "spec.suspend is true")
    if state.concluded is not None:
        undoing = state.concluded.phase != Phase.SUCCEEDED and not_undone(state)
        reason = Reason.COMPENSATING if undoing else Reason.FINALIZING
        return Summary(Phase.RUNNING, reason, state.concluded.message)
    if awaits_turn(state):
        return Summary(Phase.PENDING, Reason.CONCURRENCY_LIMIT, f"waits {turn_of(state)}")
    waiting = _waiting(state) if not running else None
    if waiting is not None:
        return waiting
    if state.ended_steps == 0 and not running:
        return Summary(Phase.PENDING, Reason.ACCEPTED, "")
    return Summary(Phase.RUNNING, Reason.RUNNING, "")


def _runs(state: State, name: str) -> bool:
    """Whether something of a step is under way: also where a model or a tool is asked."""
    status = state.steps[name].status
    asks = status is StepStatus.WAITING and asked_of(compiled_of(state, name)) is not None
    return status is StepStatus.RUNNING or asks


def _waiting(state: State) -> Summary | None:
    """What it waits for, when it waits for nothing but what comes from outside."""
    waiting = [name for name in state.active if state.steps[name].status is StepStatus.WAITING]
    if not waiting or state.plan is None:
        return None
    name = min(waiting, key=lambda name: position(state.plan, name))  # type: ignore[arg-type]
    reason, what = waits_for(state, name)
    more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
    return Summary(Phase.WAITING, reason, f"step {name} waits {what}{more}")


def step_words(state: State, name: str) -> tuple[str | None, str | None]:
    """Why a step is as it is: reason and message, where there is anything to say."""
    step = state.steps[name]
    if step.status is StepStatus.WAITING:
        reason, what = waits_for(state, name)
        return reason, f"waits {what}"
    if step.failure is not None:
        return step.failure.reason, step.failure.message
    if step.cache is not None and step.reason is None:
        assert state.created is not None
        why = "spec.noCache is true" if state.created.no_cache else "no output is known for these inputs"
        return Reason.CACHE_MISS, why
    message = step.message
    if message is None:
        parts = (made_words(state, name), None if step.usage is None else used(step.usage))
        message = "; ".join(part for part in parts if part) or None
    if message is None and (child := name_for(state, name)) is not None:
        message = f"Execution {child}"
    return step.reason, message


def used(usage: Usage) -> str:
    """What models took: `Model writer (scripted): 312 tokens, $0.0021`."""
    scripted = " (scripted)" if usage.provider == "scripted" else ""
    tokens = usage.input_tokens + usage.output_tokens
    most = "at most " if usage.estimated else ""
    return f"Model {usage.model}{scripted}: {most}{tokens} tokens, ${dollars(usage.cost)}"


def waits_for(state: State, name: str) -> tuple[Reason, str]:
    """What a step that waits is waiting for: the reason, and the words that follow `waits`."""
    assert state.plan is not None
    spec, until = state.plan.step(name).spec, state.steps[name].until
    at = "" if until is None else f" until {datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if spec.approval is not None:
        groups = (f"group {group}" for group in spec.approval.approvers.groups)
        named = ", ".join([*spec.approval.approvers.users, *groups])
        return Reason.WAITING_FOR_APPROVAL, f"for approval by {shorten(named, 256)}{at}"
    if spec.workflow is not None:
        what = f"for Execution {name_for(state, name)} of workflow {spec.workflow.name}{at}"
        return Reason.WAITING_FOR_EXECUTION, what
    if (asked := asked_of(state.plan.step(name))) is not None:
        reason = Reason.WAITING_FOR_MODEL if spec.llm is not None else Reason.WAITING_FOR_TOOL
        return reason, f"for {asked}{at}"
    if spec.wait is not None and spec.wait.signal is not None:
        return Reason.WAITING_FOR_SIGNAL, f"for signal {spec.wait.signal}{at}"
    return Reason.WAITING_FOR_TIME, at.lstrip() or "for its time"
