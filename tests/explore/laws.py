"""What must hold of every event and every state, said without the engine's own words for it."""

from collections import Counter
from collections.abc import Iterator

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.compiled import FINALLY, CompiledStep
from citadel.core.decide import wake_at
from citadel.core.instances import container
from citadel.core.state import State, StepState
from explore.history import ENDS, History

#: Events with which something of a step begins.
BEGINNINGS = (ev.StepReady, ev.StepWaiting, ev.StepOpened, ev.ChildWanted, ev.ToolWanted)
_DONE = (StepStatus.SUCCEEDED, StepStatus.SKIPPED)
_ENDED = (*_DONE, StepStatus.FAILED, StepStatus.CANCELLED)
_NONE = StepState()


def of_event(before: State, event: ev.Event, history: History) -> Iterator[str]:
    """What is wrong with an event that meets this state after this history."""
    if event.key is not None and event.key in history.facts:
        yield f"{event.key} was recorded twice"
    if before.finished is not None and not isinstance(event, ev.SandboxEnded):
        yield f"{type(event).__name__} after the end"
    if isinstance(event, ENDS) and event.step in history.ended:
        yield f"{event.step} ended twice"
    match event:
        case ev.AttemptSucceeded() | ev.AttemptFailed():
            step = before.steps[event.step]
            under_way = step.status is StepStatus.RUNNING and not step.undecided
            if not under_way or (step.attempt, step.sandbox) != (event.attempt, event.sandbox):
                yield f"attempt {event.attempt} of {event.step} in {event.sandbox} is not under way"
            if before.sandboxes[event.sandbox].ended:
                yield f"a result from {event.sandbox}, which has ended"
        case ev.Assigned():
            yield from _assigned(before, event, history)
        case ev.RetryScheduled():
            retry = before.plan.step(event.step).spec.retry if before.plan else None
            if retry is None or event.attempt > retry.attempts:
                yield f"attempt {event.attempt} of {event.step} is more than there may be"
            if event.attempt != before.steps[event.step].attempt + 1:
                yield f"attempt {event.attempt} of {event.step} does not follow the one before"
        case ev.Finished():
            yield from _finished(before, event, history)
        case ev.StepReady() | ev.StepWaiting() | ev.StepOpened() | ev.ChildWanted() | ev.ToolWanted():
            yield from _begins(before, event, history)
        case ev.StepCompleted() if before.steps.get(event.step, _NONE).status is StepStatus.PENDING:
            yield from _in_order(before, event.step, history)


def _assigned(before: State, event: ev.Assigned, history: History) -> Iterator[str]:
    step, sandbox = before.steps[event.step], before.sandboxes[event.sandbox]
    if event.step in history.taken or event.step in history.ended:
        yield f"{event.step} runs, and its result is recorded"
    if sandbox.step is not None or sandbox.released or sandbox.ended:
        yield f"{event.sandbox} is given {event.step}, but has {sandbox.step} or is gone"
    if step.attempt != event.attempt or step.sandbox is not None:
        yield f"attempt {event.attempt} of {event.step} is given to {event.sandbox}, beside {step.sandbox}"


def _begins(before: State, event: ev.Event, history: History) -> Iterator[str]:
    name: str = event.step  # type: ignore[attr-defined]
    if before.suspended:
        yield f"{name} begins while everything is suspended"
    if before.stop is not None and before.concluded is None:
        yield f"{name} begins though it is to stop"
    grouped = before.plan is not None and before.plan.workflow.spec.concurrency is not None
    if grouped and "admitted" not in history.facts:
        yield f"{name} begins before its turn"
    if name in history.ended:
        yield f"{name} begins after its end"
    if isinstance(event, ev.ChildWanted) and event.attempt > 1:
        return
    yield from _in_order(before, name, history)


def _in_order(before: State, name: str, history: History) -> Iterator[str]:
    """Dependencies first; what undoes, and `finally`, when their time has come."""
    plan = before.plan
    assert plan is not None
    compiled = plan.step(name)
    if name.endswith(".compensate"):
        yield from _undoes(before, name.removesuffix(".compensate"), history)
        return
    above = container(name)
    if name in before.called:
        agent = before.steps[before.called[name].step]
        if agent.status not in (StepStatus.RUNNING, StepStatus.READY) or agent.undecided:
            yield f"{name} begins, and the agent that called it is {agent.status}"
    elif above:
        if before.steps.get(above, _NONE).status is not StepStatus.RUNNING:
            yield f"{name} begins within {above}, which is not under way"
    elif (compiled.scope == FINALLY) != (before.concluded is not None):
        yield f"{name} begins, and the main part is {'over' if before.concluded else 'not over'}"
    if name.endswith("]"):
        return
    if (
        compiled.scope == FINALLY
        and _left(history)
        and before.concluded
        and before.concluded.phase != "Succeeded"
    ):
        last = before.steps.get(f"{_left(history)[-1]}.compensate", _NONE)
        if last.status not in _ENDED:
            yield f"{name} begins before {_left(history)[-1]} is undone"
    others = {path: before.steps[plan.beside(name, path)].status for path in compiled.after}
    yield from _waited_for(before, name, compiled, others)


def _waited_for(
    before: State, name: str, compiled: CompiledStep, others: dict[str, StepStatus]
) -> Iterator[str]:
    plan = before.plan
    assert plan is not None
    failed = [
        other
        for other, step in before.steps.items()
        if step.status is StepStatus.FAILED and plan.scope_of(other) == plan.scope_of(name)
    ]
    if compiled.spec.join == "finished" or compiled.scope == FINALLY:
        # What will never begin is over as well.
        over = (*_ENDED, StepStatus.PENDING) if failed else _ENDED
        wrong = [path for path, status in others.items() if status not in over]
    elif compiled.spec.join == "any":
        under_way = [path for path in compiled.needs if others[path] not in _ENDED]
        wrong = under_way if not any(others[path] in _DONE for path in compiled.needs) else []
    else:
        wrong = [path for path, status in others.items() if status not in _DONE]
        if failed:
            yield f"{name} begins though {failed[0]} beside it has failed"
    if wrong:
        yield f"{name} began while {wrong[0]} is {others[wrong[0]]}"


def _left(history: History) -> list[str]:
    """Steps that are not undone, in the order they completed."""
    return [name for name in history.completed if name not in history.undone]


def _undoes(before: State, name: str, history: History) -> Iterator[str]:
    if before.concluded is None or before.concluded.phase == "Succeeded":
        yield f"{name} is undone without need"
    if name not in history.completed:
        yield f"{name} is undone, and has not completed"
    elif _left(history)[-1:] != [name]:
        yield f"{name} is undone before {_left(history)[-1:]}"


def _finished(before: State, event: ev.Finished, history: History) -> Iterator[str]:
    if before.stop is not None and before.stop.mode == "Terminate":
        return
    phase = before.concluded.phase if before.concluded is not None else event.phase
    left = _left(history)
    if phase != "Succeeded" and left and event.reason != "CompensationFailed":
        yield f"not undone: {left}"
    if event.reason == "CompensationFailed":
        last = before.steps.get(f"{left[-1]}.compensate", _NONE) if left else _NONE
        if last.status not in (StepStatus.FAILED, StepStatus.SKIPPED):
            yield "no compensation has failed"
    if phase == "Succeeded" and history.undone:
        yield f"undone though it succeeded: {sorted(history.undone)}"
    if before.concluded is not None and (before.active or before.open):
        yield f"the end, while {sorted(before.active | before.open)} are under way"


def of_state(before: State, state: State) -> Iterator[str]:
    """What is wrong with a state that an advance of `before` led to."""
    for name, step in before.steps.items():
        if step.status in _ENDED and (now := state.steps[name]) is not step:
            was, now_is = (step.status, step.output, step.attempt), (now.status, now.output, now.attempt)
            if was != now_is:
                yield f"{name} changed after its end"
    if state.finished is not None:
        return
    for name, step in state.steps.items():
        if step.status is StepStatus.RUNNING and step.sandbox is not None and not step.undecided:
            sandbox = state.sandboxes[step.sandbox]
            if sandbox.step != name or sandbox.ended:
                yield f"{name} runs in {step.sandbox}, which has {sandbox.step}"
    usable = [name for name, sandbox in state.sandboxes.items() if sandbox.usable]
    if state.plan is not None:
        layers = Counter(state.plan.layers.get(state.sandboxes[name].placement, 0) for name in usable)
        if max(layers.values(), default=0) > state.plan.workflow.spec.parallelism:
            yield f"more sandboxes than there may be: {usable}"
    for name, call in state.called.items():
        agent = state.steps[call.step]
        over = agent.status in _ENDED or agent.undecided or agent.attempt != call.attempt
        if over and state.steps[name].status not in _ENDED:
            yield f"{name} is {state.steps[name].status}, and the attempt that called it is over"
    waits = any(step.status is StepStatus.WAITING for step in state.steps.values())
    if not (usable or waits or state.suspended or state.behind) and wake_at(state, 0.0) is None:
        yield "nothing can happen any more, and it has not ended"
