"""What follows from where an execution stands: `decide(state, now, values) -> events`.

Pure, and level-triggered: it looks at the state, never at how the state came about, so facts may arrive in
any order, twice, or late. It is called until it has nothing more to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core import events as ev
from citadel.core.admission import awaits_turn, deadline, enter, not_begun, pending_deadline
from citadel.core.agents import exceeded
from citadel.core.closing import CANCEL_LIMIT, compensate, conclude, end, verdict
from citadel.core.compiled import FINALLY, CompiledStep
from citadel.core.containers import go_on, next_iteration_at
from citadel.core.copying import replace
from citadel.core.failing import failed
from citadel.core.failures import Failure, shorten
from citadel.core.folding import apply
from citadel.core.members import Members
from citadel.core.opening import due
from citadel.core.sessions import scale, wake_times
from citadel.core.state import State, StepState, blocker, compiled_of, is_over, is_running, position
from citadel.core.values import Values
from citadel.core.waiting import OUTSIDE, attend, is_outside, retried, start_again

#: Seconds after its own timeout at which an attempt counts as timed out even if its sandbox says nothing.
TIMEOUT_GRACE = 30.0
#: Seconds within which a sandbox claimed from a pool takes what it was claimed for.
TAKE_LIMIT = 15.0
#: Events after which the rest is left to the next advance: one transaction stays short.
MAX_EVENTS = 500


@dataclass(frozen=True)
class Decision:
    """Events that follow, and the state after them."""

    events: tuple[ev.Event, ...]
    state: State


def decide(state: State, now: float, values: Values, members: Members | None = None) -> Decision:
    """Everything that follows at `now`. Raises MissingValues when a value must be loaded first.

    With `members` sandboxes are taken from pools where they can be; raises MemberWanted to ask one.
    """
    events: list[ev.Event] = []
    state = replace(state, behind=False) if state.behind else state
    while state.created is not None and state.finished is None:
        found = list(_step(state, now, values, members))
        if not found:
            break
        for event in found:
            state = apply(state, event, now)
        events += found
        if len(events) > MAX_EVENTS:
            state = replace(state, behind=True)
            break
    return Decision(tuple(events), state)


def wake_at(state: State, now: float) -> float | None:
    """The earliest time after `now` at which `decide` may have something new to say without a new fact."""
    plan = state.plan
    if plan is None or state.finished is not None:
        return None
    if state.behind:
        return now
    times = [at for at in (deadline(state), pending_deadline(state)) if at is not None]
    if state.stopping:
        times.append(state.stop_at + CANCEL_LIMIT)
    else:
        times += wake_times(state, now)
        times += (at for name in state.open if (at := next_iteration_at(state, name)) is not None)
        for name in state.active:
            step = state.steps[name]
            if step.status is StepStatus.BACKING_OFF:
                times.append(step.ready_at)
            elif step.status is StepStatus.WAITING:
                times += () if step.until is None else (step.until,)
            elif (overdue := _overdue_at(state, step, plan.step(name))) is not None:
                times.append(overdue)
    return min((time for time in times if time > now), default=None)


def _step(state: State, now: float, values: Values, members: Members | None) -> Iterator[ev.Event]:
    """One round of decisions: each only from what the state says before the round."""
    assert state.plan is not None
    if state.stop is not None and state.stop.mode == "Terminate":
        yield ev.Finished(Phase.CANCELLED, state.stop.reason, shorten(state.stop.message))
        return
    over_at, begin_by = deadline(state), pending_deadline(state)
    if over_at is not None and now >= over_at:
        message = f"not finished within {state.plan.workflow.spec.timeout}"
        yield conclude(state, Phase.TIMED_OUT, Reason.DEADLINE_EXCEEDED, message)
        return
    if begin_by is not None and now >= begin_by:
        yield conclude(state, Phase.TIMED_OUT, Reason.PENDING_TIMEOUT, not_begun(state))
        return
    if state.stopping:
        yield from _stopping(state, now, values)
        return
    if awaits_turn(state):
        yield from enter(state, values)
        return
    for stage in (_attempts, _closing if state.concluded is not None else _starting):
        found = list(stage(state, now, values))
        if found:
            yield from found
            return
    over: list[ev.Event] = []
    if not (state.active or state.open):
        if state.concluded is None:
            over = list(verdict(state, values))
        elif compensate(state, now, values) is None and (finished := end(state)) is not None:
            over = [finished]
    yield from over or scale(state, now, members)


def _attempts(state: State, now: float, values: Values) -> Iterator[ev.Event]:
    """What follows for steps that are under way."""
    plan = state.plan
    assert plan is not None
    changing = (name for name in state.active if state.failing or not _is_calm(state.steps[name]))
    for name in sorted(changing, key=lambda name: position(plan, name)):
        event = _attempt(state, name, now, values)
        if event is not None:
            yield event
            if isinstance(event, ev.StepCompleted) and event.signal is not None:
                return  # It is taken: the next one to wait for it must see that.


def _is_calm(step: StepState) -> bool:
    """Whether nothing follows for a step by itself: it waits for a sandbox."""
    return step.status is StepStatus.READY and not step.undecided


def _attempt(state: State, name: str, now: float, values: Values) -> ev.Event | None:
    step, compiled = state.steps[name], compiled_of(state, name)
    if step.status is StepStatus.WAITING:
        return attend(state, name, now, values)
    if step.undecided:
        assert step.failure is not None
        again = retried(state, name, compiled, step.failure, now)
        return again or failed(state, name, step.failure, values)
    failing = blocker(state, name) if step.sandbox is None else None
    if failing is not None:
        if step.failure is not None:
            return ev.StepFailed(name, step.failure)
        message = f"not started, because step {failing} failed"
        return ev.StepSkipped(name, Reason.EXECUTION_FAILED, message)
    if is_outside(step, compiled):
        return None if state.suspended else start_again(state, name, now)
    if is_running(step) and (why := exceeded(state, name, step, compiled)) is not None:
        return ev.AttemptFailed(name, step.attempt, str(step.sandbox), why)
    overdue = _overdue_at(state, step, compiled)
    if overdue is None or now < overdue:
        return None
    assert step.sandbox is not None
    if step.delivered_at is None:
        message = f"claimed from its pool, it did not ask for its work within {TAKE_LIMIT:.0f}s"
        return ev.SandboxEnded(step.sandbox, Failure(Reason.SANDBOX_LOST, message))
    # Its sandbox enforces the timeout; one that says nothing this long after it is of no use any more.
    message = f"no result within the timeout of {compiled.spec.timeout}, nor {TIMEOUT_GRACE:.0f}s after it"
    return ev.SandboxEnded(step.sandbox, Failure(Reason.TIMEOUT, message))


def _overdue_at(state: State, step: StepState, compiled: CompiledStep) -> float | None:
    """When a running attempt counts as timed out, or as never taken, although its sandbox says nothing."""
    if not is_running(step):
        return None
    if step.delivered_at is None:
        assert step.sandbox is not None
        # What is sealed first may take its time; its sandbox has asked for it.
        sealed = compiled.has_references
        return None if sealed else state.sandboxes[step.sandbox].wanted_at + TAKE_LIMIT
    if compiled.timeout is None:
        return None
    return step.delivered_at + compiled.timeout + TIMEOUT_GRACE


def _starting(state: State, now: float, values: Values) -> Iterator[ev.Event]:
    """What begins, and what follows for groups and loops."""
    plan = state.plan
    assert plan is not None
    for name in sorted(state.open, key=lambda name: position(plan, name)):
        yield from go_on(state, name, now, values)
    if not state.suspended:
        yield from _start(state, now, values)


def _closing(state: State, now: float, values: Values) -> Iterator[ev.Event]:
    """Compensations one after another, then `finally`."""
    undoing = compensate(state, now, values)
    if undoing is not None:
        yield from undoing
    else:
        yield from _starting(state, now, values)


def _start(state: State, now: float, values: Values) -> Iterator[ev.Event]:
    assert state.plan is not None
    plan, begun = state.plan, set()
    for name in sorted(state.candidates, key=lambda name: position(plan, name)):
        step = state.steps[name]
        if step.status is not StepStatus.PENDING or blocker(state, name) is not None:
            continue
        if _waits(state, name):
            continue
        event = due(state, name, values, now)
        # Several steps may want the same code built.
        if event is not None and event.step not in begun:  # type: ignore[attr-defined]
            begun.add(event.step)  # type: ignore[attr-defined]
            yield event


def _waits(state: State, name: str) -> bool:
    """Whether something that this step waits for has not come to pass."""
    plan = state.plan
    assert plan is not None
    compiled = plan.step(name)
    finished = compiled.spec.join == "finished" or compiled.scope == FINALLY

    def satisfied(path: str) -> bool:
        other = plan.beside(name, path)
        if finished:
            return is_over(state, other)
        return state.steps[other].status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED)

    if compiled.spec.join != "any" or finished:
        return not all(map(satisfied, compiled.after))
    needs = compiled.needs
    strict = [path for path in compiled.after if path not in needs or path in compiled.hard_reads]
    if not all(map(satisfied, strict)):
        return True
    needed = [plan.beside(name, path) for path in needs]
    succeeded = any(state.steps[other].status is StepStatus.SUCCEEDED for other in needed)
    return not succeeded and not all(is_over(state, other) for other in needed)


def _stopping(state: State, now: float, values: Values) -> Iterator[ev.Event]:
    """Nothing new starts; running attempts and executions are waited for, but not for long."""
    assert state.stop is not None
    ended: list[ev.Event] = []
    running = False
    for name in sorted(state.active):
        step = state.steps[name]
        if step.undecided or step.answer is not None:
            event = attend(state, name, now, values) if step.answer is not None else None
            if event is None or isinstance(event, ev.RetryScheduled):
                told = None if isinstance(step.answer, ev.ApprovalDecided) else step.answer
                failure = step.failure or (told.failure if told is not None else None)
                failure = failure or Failure(Reason.CHILD_FAILED, "ended without success")
                event = ev.StepFailed(name, failure)
            ended.append(event)
        waits = step.status is StepStatus.WAITING and compiled_of(state, name).spec.action in OUTSIDE
        running = running or step.sandbox is not None or waits
    if ended:
        yield from ended
    elif not running or now >= state.stop_at + CANCEL_LIMIT:
        yield conclude(state, Phase.CANCELLED, state.stop.reason, state.stop.message)
