"""A fold over the events of an execution.

`apply` only records what an event says. It never evaluates an expression, never decides, and is total over
every event that `admissible` let into the log.
"""

from collections.abc import Iterable

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core import events as ev
from citadel.core.beginnings import (
    asks_outside,
    assigned,
    begun,
    born,
    called,
    created,
    handler_opened,
    opened,
    queued,
)
from citadel.core.copying import replace
from citadel.core.endings import calls_cut_off, concluded, cut_off, ended, freed, sandbox_ended, step_failed
from citadel.core.plan import Plan
from citadel.core.spending import add
from citadel.core.state import SandboxState, Signal, State, StepState, tried, with_sandbox, with_step


def apply(state: State, event: ev.Event, at: float, plan: Plan | None = None) -> State:
    """The state after `event`, which happened at `at`. `plan` is needed for Created alone."""
    return replace(_apply(state, event, at, plan), seq=state.seq + 1)


def fold(state: State, log: Iterable[tuple[ev.Event, float]], plan: Plan | None) -> State:
    """The state after all events of `log`."""
    for event, at in log:
        state = apply(state, event, at, plan)
    return state


def _apply(state: State, event: ev.Event, at: float, plan: Plan | None) -> State:
    match event:
        case ev.Created():
            assert plan is not None
            return created(state, event, at, plan)
        case ev.Rejected():
            finished = ev.Finished(Phase.FAILED, event.failure.reason, event.failure.message)
            return replace(state, rejected=event, created_at=at, finished=finished, finished_at=at)
        case ev.Queued():
            return queued(state, event, at)
        case ev.Admitted():
            assert state.admission is not None
            return replace(state, admission=replace(state.admission, admitted_at=at))
        case ev.StepReady():
            changed = StepState(
                StepStatus.READY, attempt=1, payload=event.payload, cache=event.cache, ready_at=at
            )
            return begun(state, event.step, changed)
        case ev.StepWaiting():
            changed = StepState(
                StepStatus.WAITING,
                attempt=1,
                payload=event.payload,
                ready_at=at,
                until=event.until,
                started_at=at,
            )
            return begun(state, event.step, changed)
        case ev.ChildWanted():
            return asks_outside(state, event, at)
        case ev.ModelWanted() | ev.ToolWanted():
            return asks_outside(state, event, at, event.cache)
        case ev.ToolCalled():
            return called(state, event)
        case ev.ModelAnswered():
            step = state.steps[event.step]
            step = replace(step, answer=event, usage=add(step.usage, event.usage))
            return replace(with_step(state, event.step, step), usage=add(state.usage, event.usage))
        case ev.StepOpened():
            return opened(state, event, at)
        case ev.HandlerOpened():
            return handler_opened(state, event, at)
        case ev.Assigned():
            return assigned(state, event, at)
        case ev.Delivered():
            return with_step(state, event.step, replace(state.steps[event.step], delivered_at=at))
        case ev.AttemptSucceeded():
            step = state.steps[event.step]
            changed = replace(
                step,
                status=StepStatus.SUCCEEDED,
                output=event.output,
                artifacts=event.artifacts,
                failure=None,
                usage=add(step.usage, event.usage),
            )
            state = replace(state, usage=add(state.usage, event.usage))
            return ended(freed(state, event.sandbox, at), event.step, changed, at)
        case ev.StepRecalled():
            return ended(born(state, event.step), event.step, _recalled(event), at)
        case ev.StepCompleted():
            state = born(state, event.step)
            changed = replace(
                state.steps[event.step],
                status=StepStatus.SUCCEEDED,
                output=event.output,
                failure=event.failure,
                undecided=False,
                answer=None,
            )
            if event.signal is not None:
                left = tuple(item for item in state.signals if item[0] != event.signal)
                state = replace(state, signals=left)
            return ended(state, event.step, changed, at)
        case ev.AttemptFailed():
            step = state.steps[event.step]
            usage = add(step.usage, event.usage)
            changed = replace(step, undecided=True, failure=event.failure, usage=usage)
            state = replace(state, usage=add(state.usage, event.usage))
            state = calls_cut_off(freed(state, event.sandbox, at), event.step, at)
            return with_step(state, event.step, changed)
        case ev.RetryScheduled():
            step = state.steps[event.step]
            failure = step.failure or (
                None
                if step.answer is None or isinstance(step.answer, ev.ApprovalDecided)
                else step.answer.failure
            )
            changed = replace(
                step,
                tries=tried(step, at, failure.reason if failure else ""),
                status=StepStatus.BACKING_OFF,
                attempt=event.attempt,
                placing=1,
                undecided=False,
                sandbox=None,
                delivered_at=None,
                ready_at=event.not_before,
                until=None,
                answer=None,
            )
            return with_step(state, event.step, changed)
        case ev.StepSkipped():
            changed = StepState(StepStatus.SKIPPED, reason=event.reason, message=event.message)
            return ended(born(state, event.step), event.step, changed, at)
        case ev.StepFailed():
            return step_failed(born(state, event.step), event, at)
        case ev.SignalReceived():
            return replace(
                state,
                signals=(*state.signals, (event.id, Signal(event.name, event.payload))),
                signal_ids=state.signal_ids | {event.id},
            )
        case ev.ApprovalDecided() | ev.ChildFinished() | ev.ToolAnswered():
            return with_step(state, event.step, replace(state.steps[event.step], answer=event))
        case ev.SandboxWanted():
            claimed = event.claimed
            sandbox = SandboxState(event.placement, at, claimed, registered=claimed, idle_since=at)
            return with_sandbox(state, event.sandbox, sandbox)
        case ev.SandboxRegistered():
            sandbox = replace(state.sandboxes[event.sandbox], registered=True, idle_since=at)
            return with_sandbox(state, event.sandbox, sandbox)
        case ev.SandboxReleased():
            return with_sandbox(state, event.sandbox, replace(state.sandboxes[event.sandbox], released=True))
        case ev.SandboxEnded():
            return sandbox_ended(state, event, at)
        case ev.StopRequested():
            # What is to follow an end, such as compensations, is not to wait for somebody to resume it.
            return replace(state, stop=event, stop_at=at, suspended=False)
        case ev.SuspendChanged():
            suspended = event.suspended and state.stop is None
            return replace(state, suspended=suspended, suspend_generation=event.generation)
        case ev.Concluded():
            return concluded(state, event, at)
        case ev.Finished():
            sandboxes = {name: replace(item, released=True) for name, item in state.sandboxes.items()}
            return replace(cut_off(state, at), finished=event, finished_at=at, sandboxes=sandboxes)
    raise TypeError(f"found {type(event).__name__}, expected an event of this version")


def _recalled(event: ev.StepRecalled) -> StepState:
    reason = {"execution": Reason.RECALLED, "cache": Reason.CACHED}.get(event.source)
    return StepState(
        StepStatus.SUCCEEDED,
        output=event.output,
        artifacts=event.artifacts,
        failure=event.failure,
        reason=reason,
        message=None if reason is None else f"from execution {event.origin}",
    )
