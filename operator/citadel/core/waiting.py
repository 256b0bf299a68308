"""Steps that wait: for a time, a signal, people, or another execution."""

from datetime import UTC, datetime

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core import events as ev
from citadel.core.compiled import CompiledStep
from citadel.core.failing import completed, failed
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.outside import answer_until, asked_of
from citadel.core.retry import next_delay
from citadel.core.state import State, StepState, blocker, compiled_of
from citadel.core.values import Inline, Values

#: Actions that go on outside until they end: for nothing else that fails are they given up.
OUTSIDE = frozenset(("workflow", "llm", "tool"))


def attend(state: State, name: str, now: float, values: Values) -> ev.Event | None:
    """What follows for a step that waits; None as long as it does. Raises MissingValues."""
    compiled, step = compiled_of(state, name), state.steps[name]
    match step.answer:
        case ev.ApprovalDecided() as decision:
            return _decided(state, name, decision, values)
        case ev.ChildFinished() as end:
            return _child_ended(state, name, compiled, end, now, values)
        case ev.ModelAnswered() | ev.ToolAnswered() as answer:
            return _answered(state, name, compiled, answer, now, values)
    action = compiled.spec.action
    if action not in OUTSIDE and (failing := blocker(state, name)) is not None:
        message = f"not waited for any longer, because step {failing} failed"
        return ev.StepSkipped(name, Reason.EXECUTION_FAILED, message)
    wait = compiled.spec.wait
    if wait is not None and wait.signal is not None:
        for id_, signal in state.signals:
            if signal.name == wait.signal:
                return completed(state, name, signal.payload, values, signal=id_)
    if step.until is None or now < step.until:
        return None
    if (asked := asked_of(compiled)) is not None:
        lost = Failure.cut(Reason.TIMEOUT, f"{asked} has not answered within {compiled.spec.timeout}")
        return _failed_outside(state, name, compiled, lost, now, values)
    return _time_is_up(state, name, compiled, now, values)


def _time_is_up(state: State, name: str, compiled: CompiledStep, now: float, values: Values) -> ev.Event:
    wait, limit = compiled.spec.wait, compiled.spec.timeout
    if wait is not None and wait.signal is None:
        return ev.StepCompleted(name, Inline(None))
    if wait is not None:
        message = f"no signal {wait.signal} within {limit}"
    elif compiled.spec.approval is None:
        assert compiled.spec.workflow is not None
        message = f"workflow {compiled.spec.workflow.name} has not finished within {limit}"
    elif compiled.spec.on_timeout == "approve":
        until = state.steps[name].until
        assert until is not None
        given = _outcome("", "nobody decided in time", None, until)
        return completed(state, name, values.put(given), values)
    else:
        message = f"nobody decided within {limit}"
    failure = Failure.cut(Reason.TIMEOUT, message)
    return retried(state, name, compiled, failure, now) or failed(state, name, failure, values)


def _decided(state: State, name: str, decision: ev.ApprovalDecided, values: Values) -> ev.Event:
    if decision.approved:
        given = _outcome(decision.by, decision.reason, values.get(decision.form), decision.at)
        return completed(state, name, values.put(given), values)
    why = f": {decision.reason}" if decision.reason else ""
    failure = Failure.cut(Reason.REJECTED, f"{decision.by} rejected it{why}")
    return failed(state, name, failure, values)


def _outcome(by: str, reason: str, form: Json, at: float) -> dict[str, Json]:
    """Output of an approved approval."""
    told = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"approved": True, "by": by, "reason": reason, "form": form, "at": told}


def _child_ended(
    state: State, name: str, compiled: CompiledStep, end: ev.ChildFinished, now: float, values: Values
) -> ev.Event:
    if end.phase == Phase.SUCCEEDED:
        return completed(state, name, end.outputs or Inline({}), values)
    failure = end.failure or Failure(Reason.CHILD_FAILED, f"ended {end.phase}")
    # Whoever cancels one does not want another.
    again = None if end.phase == Phase.CANCELLED else retried(state, name, compiled, failure, now)
    return again or failed(state, name, failure, values)


def _answered(
    state: State,
    name: str,
    compiled: CompiledStep,
    answer: ev.ModelAnswered | ev.ToolAnswered,
    now: float,
    values: Values,
) -> ev.Event:
    if answer.failure is None:
        return completed(state, name, answer.output or Inline(None), values)
    return _failed_outside(state, name, compiled, answer.failure, now, values)


def _failed_outside(
    state: State, name: str, compiled: CompiledStep, failure: Failure, now: float, values: Values
) -> ev.Event:
    return retried(state, name, compiled, failure, now) or failed(state, name, failure, values)


def retried(
    state: State, name: str, compiled: CompiledStep, failure: Failure, now: float
) -> ev.RetryScheduled | None:
    """The attempt after the one that failed; None where there is none."""
    if failure.final or blocker(state, name) is not None:
        return None
    attempt = state.steps[name].attempt
    assert state.created is not None
    delay = next_delay(compiled.spec.retry, attempt, failure.reason, f"{state.created.uid}/{name}")
    return None if delay is None else ev.RetryScheduled(name, attempt + 1, now + delay)


def start_again(state: State, name: str, now: float) -> ev.Event | None:
    """The next execution of another workflow, or call of a model or a tool, when its time has come."""
    compiled, step = compiled_of(state, name), state.steps[name]
    if now < step.ready_at:
        return None
    assert step.payload is not None
    if compiled.spec.llm is not None:
        return ev.ModelWanted(name, step.attempt, step.payload, answer_until(compiled, now), step.cache)
    if compiled.spec.tool is not None:
        return ev.ToolWanted(name, step.attempt, step.payload, answer_until(compiled, now), step.cache)
    until = None if compiled.timeout is None else now + compiled.timeout
    return ev.ChildWanted(name, step.attempt, step.payload, until)


def is_outside(step: StepState, compiled: CompiledStep) -> bool:
    """Whether the next attempt of a step is another execution or a model's, not one in a sandbox."""
    return step.status is StepStatus.BACKING_OFF and not compiled.sandboxed
