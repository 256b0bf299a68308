"""A fold over the events of an execution.

`apply` only records what an event says. It never evaluates an expression, never decides, and is total over
every event that `admissible` let into the log.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from immutables import Map

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core import events as ev
from citadel.core.compiled import FINALLY
from citadel.core.instances import COMPENSATE, ON_ERROR, turn
from citadel.core.plan import Plan
from citadel.core.state import (
    MAX_PLACINGS,
    SandboxState,
    Scope,
    Signal,
    State,
    StepState,
    compiled_of,
    ready_steps,
)

#: Why a sandbox could not start, where placing the attempt again would only repeat it.
_HOPELESS = (
    Reason.IMAGE_PULL_FAILED,
    Reason.UNSCHEDULABLE,
    Reason.SANDBOX_START_FAILED,
    Reason.POLICY_DENIED,
    Reason.NOT_ISOLATED,
)


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
            return _created(state, event, at, plan)
        case ev.Rejected():
            finished = ev.Finished(Phase.FAILED, event.failure.reason, event.failure.message)
            return replace(state, rejected=event, created_at=at, finished=finished, finished_at=at)
        case ev.StepReady():
            changed = StepState(StepStatus.READY, attempt=1, payload=event.payload, ready_at=at)
            return _begin(state, event.step, changed)
        case ev.StepWaiting():
            changed = StepState(
                StepStatus.WAITING, attempt=1, payload=event.payload, until=event.until, started_at=at
            )
            return _begin(state, event.step, changed)
        case ev.ChildWanted():
            before = state.steps.get(event.step)
            first = before.started_at if before is not None and before.started_at is not None else at
            changed = StepState(
                StepStatus.WAITING,
                attempt=event.attempt,
                payload=event.payload,
                until=event.until,
                started_at=first,
            )
            return _begin(state, event.step, changed)
        case ev.StepOpened():
            return _opened(state, event, at)
        case ev.HandlerOpened():
            return _handler_opened(state, event, at)
        case ev.Assigned():
            return _assigned(state, event, at)
        case ev.Delivered():
            return _with_step(state, event.step, replace(state.steps[event.step], delivered_at=at))
        case ev.AttemptSucceeded():
            changed = replace(
                state.steps[event.step],
                status=StepStatus.SUCCEEDED,
                output=event.output,
                artifacts=event.artifacts,
                failure=None,
            )
            return _end_step(_free(state, event.sandbox, at), event.step, changed, at)
        case ev.StepRecalled():
            changed = StepState(StepStatus.SUCCEEDED, output=event.output, artifacts=event.artifacts)
            return _end_step(_born(state, event.step), event.step, changed, at)
        case ev.StepCompleted():
            state = _born(state, event.step)
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
            return _end_step(state, event.step, changed, at)
        case ev.AttemptFailed():
            changed = replace(state.steps[event.step], undecided=True, failure=event.failure)
            return _with_step(_free(state, event.sandbox, at), event.step, changed)
        case ev.RetryScheduled():
            changed = replace(
                state.steps[event.step],
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
            return _with_step(state, event.step, changed)
        case ev.StepSkipped():
            changed = StepState(StepStatus.SKIPPED, reason=event.reason, message=event.message)
            return _end_step(_born(state, event.step), event.step, changed, at)
        case ev.StepFailed():
            return _step_failed(_born(state, event.step), event, at)
        case ev.SignalReceived():
            return replace(
                state,
                signals=(*state.signals, (event.id, Signal(event.name, event.payload))),
                signal_ids=state.signal_ids | {event.id},
            )
        case ev.ApprovalDecided() | ev.ChildFinished():
            return _with_step(state, event.step, replace(state.steps[event.step], answer=event))
        case ev.SandboxWanted():
            claimed = event.claimed
            sandbox = SandboxState(event.placement, at, claimed, registered=claimed, idle_since=at)
            return _with_sandbox(state, event.sandbox, sandbox)
        case ev.SandboxRegistered():
            sandbox = replace(state.sandboxes[event.sandbox], registered=True, idle_since=at)
            return _with_sandbox(state, event.sandbox, sandbox)
        case ev.SandboxReleased():
            return _with_sandbox(state, event.sandbox, replace(state.sandboxes[event.sandbox], released=True))
        case ev.SandboxEnded():
            return _sandbox_ended(state, event, at)
        case ev.StopRequested():
            return replace(state, stop=event, stop_at=at)
        case ev.SuspendChanged():
            return replace(state, suspended=event.suspended, suspend_generation=event.generation)
        case ev.Concluded():
            return _concluded(state, event, at)
        case ev.Finished():
            sandboxes = {name: replace(item, released=True) for name, item in state.sandboxes.items()}
            return replace(state, finished=event, finished_at=at, sandboxes=sandboxes)
    raise TypeError(f"found {type(event).__name__}, expected an event of this version")


def _created(state: State, event: ev.Created, at: float, plan: Plan) -> State:
    eager = {path for path, step in plan.steps.items() if step.scope in ("", FINALLY)}
    main = [path for path in eager if plan.steps[path].scope == ""]
    return replace(
        state,
        plan=plan,
        created=event,
        created_at=at,
        steps=Map({path: StepState() for path in plan.steps if path in eager}),
        scopes=Map({"": Scope(len(main)), FINALLY: Scope(len(eager) - len(main))}),
        candidates=frozenset(path for path in main if not plan.steps[path].after),
        total_steps=sum(plan.steps[path].builds is None for path in eager),
    )


def _born(state: State, name: str) -> State:
    """An instance that exists from its first event on: a turn, a compensation, a build on demand."""
    if name in state.steps:
        return state
    state = replace(state, steps=state.steps.set(name, StepState()))
    found = turn(name)
    if found is None:
        return replace(state, total_steps=state.total_steps + name.endswith(f".{COMPENSATE}"))
    loop, scope = found[0], state.scopes[found[0]]
    counted = scope.begun >= scope.total
    scope = replace(scope, begun=scope.begun + 1, total=max(scope.total, scope.begun + 1))
    return replace(
        state, scopes=state.scopes.set(loop, scope), total_steps=state.total_steps + (1 if counted else 0)
    )


def _begin(state: State, name: str, step: StepState) -> State:
    return replace(
        _with_step(_born(state, name), name, step),
        candidates=state.candidates - {name},
        active=state.active | {name},
    )


def _opened(state: State, event: ev.StepOpened, at: float) -> State:
    name = event.step
    state = _born(state, name)
    changed = replace(state.steps[name], status=StepStatus.RUNNING, started_at=at)
    state = replace(
        _with_step(state, name, changed), candidates=state.candidates - {name}, open=state.open | {name}
    )
    if compiled_of(state, name).is_loop(name):
        scope = Scope(event.count, items=event.items)
        return replace(
            state, scopes=state.scopes.set(name, scope), total_steps=state.total_steps + event.count
        )
    return _with_children(state, name)


def _with_children(state: State, name: str) -> State:
    """The steps of a group, pending."""
    plan = state.plan
    assert plan is not None
    children = plan.step(name).children
    inner = {f"{name}.{child.rpartition('.')[2]}": child for child in children}
    return replace(
        state,
        steps=state.steps.update({instance: StepState() for instance in inner}),
        scopes=state.scopes.set(name, Scope(len(inner))),
        candidates=state.candidates | {key for key, child in inner.items() if not plan.steps[child].after},
        total_steps=state.total_steps + len(inner),
    )


def _handler_opened(state: State, event: ev.HandlerOpened, at: float) -> State:
    state = _born(state, event.step)
    handler = f"{event.step}.{ON_ERROR}"
    changed = replace(
        state.steps[event.step],
        status=StepStatus.RUNNING,
        failure=event.failure,
        undecided=False,
        answer=None,
        sandbox=None,
    )
    state = replace(
        _with_step(state, event.step, changed),
        active=state.active - {event.step},
        candidates=state.candidates - {event.step},
        scopes=state.scopes.set(event.step, Scope(1)),
        open=state.open | {event.step, handler},
        total_steps=state.total_steps + 1,
    )
    state = _with_step(state, handler, StepState(StepStatus.RUNNING, started_at=at))
    return _with_children(state, handler)


def _assigned(state: State, event: ev.Assigned, at: float) -> State:
    step = state.steps[event.step]
    changed = replace(
        step,
        status=StepStatus.RUNNING,
        sandbox=event.sandbox,
        delivered_at=at if event.delivered else None,
        started_at=at if step.started_at is None else step.started_at,
    )
    sandbox = state.sandboxes[event.sandbox]
    given = sandbox.given | {f"{event.step}/{event.attempt}"}
    sandbox = replace(sandbox, step=event.step, given=given)
    return _with_sandbox(_with_step(state, event.step, changed), event.sandbox, sandbox)


def _step_failed(state: State, event: ev.StepFailed, at: float) -> State:
    status = StepStatus.CANCELLED if event.failure.reason == Reason.CANCELLED else StepStatus.FAILED
    changed = replace(
        state.steps[event.step],
        status=status,
        failure=event.failure,
        undecided=False,
        answer=None,
        reason=event.failure.reason,
        message=event.failure.message,
    )
    state = _end_step(state, event.step, changed, at)
    plan = state.plan
    assert plan is not None
    scope = plan.scope_of(event.step)
    found = state.scopes.get(scope)
    if found is None or event.step.endswith(f".{COMPENSATE}"):
        return state
    compiled = plan.step(event.step)
    goes_on = turn(event.step) is not None and compiled.loop is not None and not compiled.loop.fail_fast
    failed = found.failed if goes_on else found.failed or event.step
    changed_scope = replace(found, failures=found.failures + 1, failed=failed)
    scopes = state.scopes.set(scope, changed_scope)
    state = replace(state, scopes=scopes, failing=state.failing or not goes_on)
    return state if goes_on else _with_finishers(state, event.step)


def _with_finishers(state: State, name: str) -> State:
    """After a failure steps may start that waited for those which never will."""
    plan = state.plan
    assert plan is not None
    if turn(name) is not None:
        return state
    scope = plan.step(name).scope
    finishers = (plan.beside(name, path) for path in plan.workflow.finishers.get(scope, ()))
    pending = (other for other in finishers if state.steps[other].status is StepStatus.PENDING)
    return replace(state, candidates=state.candidates | frozenset(pending))


def _sandbox_ended(state: State, event: ev.SandboxEnded, at: float) -> State:
    """An attempt whose code had not started is placed again; one that had started has failed."""
    sandbox = state.sandboxes[event.sandbox]
    state = _with_sandbox(state, event.sandbox, replace(sandbox, ended=True, step=None))
    if state.finished is not None:
        return state
    name = sandbox.step or _in_vain(state, sandbox, at)
    if name is None:
        return state
    step = state.steps[name]
    hopeless = sandbox.step is None and event.failure.reason in _HOPELESS
    if step.delivered_at is not None or step.placing >= MAX_PLACINGS or hopeless:
        return _with_step(state, name, replace(step, undecided=True, failure=event.failure))
    changed = replace(step, status=StepStatus.READY, sandbox=None, placing=step.placing + 1, ready_at=at)
    return _with_step(state, name, changed)


def _in_vain(state: State, sandbox: SandboxState, at: float) -> str | None:
    """The attempt that waits for this sandbox, which ended without having served any; else None.

    It pays for the loss, so that sandboxes which cannot start are not wanted for ever.
    """
    if sandbox.served or sandbox.released:
        return None
    others = (other for other in state.sandboxes.values() if other.usable and other.registered)
    if any(other.placement == sandbox.placement for other in others):
        return None
    return next(iter(ready_steps(state, sandbox.placement, at)), None)


def _concluded(state: State, event: ev.Concluded, at: float) -> State:
    """What is still under way ends without a result; its sandboxes are of no more use."""
    steps = state.steps.mutate()
    for name in state.active | state.open:
        steps[name] = replace(
            steps[name],
            status=StepStatus.CANCELLED,
            undecided=False,
            reason=Reason.CANCELLED,
            message=None,
            finished_at=at,
        )
    sandboxes = {
        name: replace(item, released=True, step=None) if item.step is not None else item
        for name, item in state.sandboxes.items()
    }
    plan = state.plan
    assert plan is not None
    final = frozenset(path for path, step in plan.steps.items() if step.scope == FINALLY)
    return replace(
        state,
        concluded=event,
        steps=steps.finish(),
        sandboxes=sandboxes,
        ended_steps=state.ended_steps + len(state.active | state.open),
        active=frozenset(),
        open=frozenset(),
        candidates=final,
    )


def _with_step(state: State, name: str, step: StepState) -> State:
    return replace(state, steps=state.steps.set(name, step))


def _with_sandbox(state: State, name: str, sandbox: SandboxState) -> State:
    return replace(state, sandboxes={**state.sandboxes, name: sandbox})


def _free(state: State, name: str, at: float) -> State:
    """The sandbox has no attempt any more. Attempts decided without one name no sandbox."""
    sandbox = state.sandboxes.get(name)
    if sandbox is None:
        return state
    changed = replace(sandbox, step=None, idle_since=at, served=sandbox.served + 1)
    return _with_sandbox(state, name, changed)


def _end_step(state: State, name: str, step: StepState, at: float) -> State:
    plan = state.plan
    assert plan is not None
    compiled = plan.step(name)
    state = replace(
        _with_step(state, name, replace(step, finished_at=at)),
        candidates=state.candidates - {name} | _waiting_for(state, plan, name),
        active=state.active - {name},
        open=state.open - {name},
        ended_steps=state.ended_steps + (compiled.builds is None),
        completed=(*state.completed, name)
        if compiled.compensation is not None
        and step.status is StepStatus.SUCCEEDED
        and step.failure is None  # what was handled has not completed
        and not compiled.is_loop(name)
        else state.completed,
    )
    scope = plan.scope_of(name)
    found = state.scopes.get(scope)
    if found is None or name.endswith(f".{COMPENSATE}"):
        return state
    return replace(state, scopes=state.scopes.set(scope, replace(found, ended=found.ended + 1)))


def _waiting_for(state: State, plan: Plan, name: str) -> frozenset[str]:
    """Pending steps that wait for this one; for a turn of a loop nobody waits but the loop."""
    if turn(name) is not None:
        return frozenset()
    dependents: Mapping[str, tuple[str, ...]] = plan.workflow.dependents
    found = (plan.beside(name, path) for path in dependents.get(plan.step(name).path, ()))
    return frozenset(
        other for other in found if other in state.steps and state.steps[other].status is StepStatus.PENDING
    )
