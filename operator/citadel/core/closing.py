"""How an execution ends: its verdict, then compensations in reverse order, then `finally`."""

from collections.abc import Iterator
from itertools import accumulate, takewhile

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core import events as ev
from citadel.core.admission import awaits_turn
from citadel.core.compiled import FINALLY
from citadel.core.evaluating import View, output
from citadel.core.expressions import ExpressionError
from citadel.core.failures import Failure, shorten
from citadel.core.instances import COMPENSATE
from citadel.core.jsonvalues import MAX_BYTES, Json
from citadel.core.opening import due
from citadel.core.state import State
from citadel.core.values import Stored, Value, Values

#: Seconds that running steps get after `stop: Cancel`, and after which it ends without them.
CANCEL_GRACE = 10.0
CANCEL_LIMIT = 30.0


def conclude(
    state: State,
    phase: Phase,
    reason: str,
    message: str,
    step: str | None = None,
    outputs: Value | None = None,
) -> ev.Event:
    """The verdict: the end itself where nothing is to follow it."""
    assert state.plan is not None
    undo = phase is not Phase.SUCCEEDED and bool(state.completed)
    # Where nothing could begin, `finally` could not either, or must not.
    begins = not awaits_turn(state) and reason != Reason.PENDING_TIMEOUT
    follows = undo or (begins and state.plan.workflow.spec.finally_steps)
    kind = ev.Concluded if follows else ev.Finished
    return kind(phase, reason, shorten(message), outputs, step)


def verdict(state: State, values: Values) -> Iterator[ev.Event]:
    """Nothing is under way and nothing can start: the main part is over. Raises MissingValues."""
    assert state.plan is not None
    top = state.top
    if top.failed is not None:
        failure = state.steps[top.failed].failure
        assert failure is not None
        step = _origin(state, top.failed)
        yield conclude(state, Phase.FAILED, failure.reason, _told(step, failure), step=step)
        return
    if top.ended < top.total:
        return
    outputs: dict[str, Json] = {}
    view = View(state, "", {name: name for name in state.plan.steps})
    name = ""
    try:
        for name, template in state.plan.workflow.outputs.items():
            outputs[name] = values.get(output(view, template, values))
    except ExpressionError as error:
        yield conclude(state, Phase.FAILED, Reason.EXPRESSION_ERROR, f"outputs.{name}: {error}")
        return
    result = values.put(outputs)
    if isinstance(result, Stored) and result.size > MAX_BYTES:
        message = f"outputs: found {result.size} bytes of JSON in all, expected at most {MAX_BYTES}"
        yield conclude(state, Phase.FAILED, Reason.OUTPUT_TOO_LARGE, message)
        return
    yield conclude(state, Phase.SUCCEEDED, Reason.COMPLETED, "", outputs=result)


def _origin(state: State, name: str) -> str:
    """The innermost step whose failure is that of a step: who looks for the cause finds it there."""
    while (scope := state.scopes.get(name)) is not None and scope.failed is not None:
        if state.steps[scope.failed].failure != state.steps[name].failure:
            break
        name = scope.failed
    return name


def _told(step: str, failure: Failure) -> str:
    # What an expression, a compiler or a call of a model says names its step already.
    named = failure.message.startswith((f"step {step}, ", f"step {step}: "))
    return failure.message if named else f"step {step}: {failure.message}"


def compensate(state: State, now: float, values: Values) -> Iterator[ev.Event] | None:
    """What undoes the next step; None when nothing is left to undo, or what is left cannot be."""
    name = _being_undone(state)
    if name is None:
        return None
    undo = f"{name}.{COMPENSATE}"
    if undo in state.steps or state.suspended:
        return iter(())
    event = due(state, undo, values, now)
    return iter(() if event is None else (event,))


def end(state: State) -> ev.Finished | None:
    """The end, once `finally` is over too."""
    verdict, final = state.concluded, state.scopes[FINALLY]
    assert verdict is not None
    if final.ended < final.total:
        return None
    phase, reason, message, step = verdict.phase, verdict.reason, verdict.message, verdict.step
    if final.failed is not None and phase == Phase.SUCCEEDED:
        failure = state.steps[final.failed].failure
        assert failure is not None
        phase, reason, step = Phase.FAILED, failure.reason, _origin(state, final.failed)
        message = f"finally, {_told(step, failure)}"
    # Nothing is undone for a failure in `finally`.
    if (remains := not_undone(state)) and verdict.phase != Phase.SUCCEEDED:
        reason = Reason.COMPENSATION_FAILED
        message = f"{_brief(message, 300)}; {_remaining(state, remains)}"
    return ev.Finished(phase, reason, shorten(message), verdict.outputs, step)


def _remaining(state: State, remains: list[str]) -> str:
    """What is not undone, and why, in so few words that all of it is told."""
    undo = state.steps.get(f"{remains[0]}.{COMPENSATE}")
    why = undo.message or "" if undo is not None else ""
    named = list(takewhile(lambda names: len(names) <= 400, accumulate(remains, "{}, {}".format)))
    left = len(remains) - max(1, len(named))
    told = (named[-1] if named else _brief(remains[0], 400)) + (f" and {left} more" if left else "")
    return f"compensation of step {_brief(remains[0], 80)} failed: {_brief(why, 160)}; not undone: {told}"


def _brief(text: str, limit: int) -> str:
    """The text in at most so many bytes of JSON; what is cut is marked."""
    cut = shorten(text, limit)
    return text if cut == text else f"{cut}…"


def not_undone(state: State) -> list[str]:
    """Completed steps that have not been compensated, the last first."""
    return [name for name in reversed(state.completed) if not _is_undone(state, name)]


def _is_undone(state: State, name: str) -> bool:
    undo = state.steps.get(f"{name}.{COMPENSATE}")
    return undo is not None and undo.status is StepStatus.SUCCEEDED


def _being_undone(state: State) -> str | None:
    """The step to compensate next, or being compensated; None when there is none, or when one has failed."""
    assert state.concluded is not None
    remains = not_undone(state) if state.concluded.phase != Phase.SUCCEEDED else []
    if not remains:
        return None
    undo = state.steps.get(f"{remains[0]}.{COMPENSATE}")
    return None if undo is not None and undo.status.terminal else remains[0]
