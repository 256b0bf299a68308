"""How steps, sandboxes and executions end: what an event of an end makes of the state."""

from collections.abc import Iterator, Mapping

from citadel.api.reasons import Reason, StepStatus
from citadel.core import events as ev
from citadel.core.compiled import FINALLY
from citadel.core.copying import replace
from citadel.core.instances import ON_ERROR, turn, visible
from citadel.core.plan import Plan
from citadel.core.state import (
    MAX_PLACINGS,
    SandboxState,
    State,
    StepState,
    compiled_of,
    next_ready,
    tried,
    with_sandbox,
    with_step,
)

#: Losses after which an agent goes on in another sandbox: what models and tools have answered is recorded.
_RESUMED = (Reason.SANDBOX_LOST, Reason.EVICTED)
#: Why a sandbox could not start, where placing the attempt again would only repeat it.
_HOPELESS = (
    Reason.IMAGE_PULL_FAILED,
    Reason.UNSCHEDULABLE,
    Reason.SANDBOX_START_FAILED,
    Reason.POLICY_DENIED,
    Reason.NOT_ISOLATED,
)


def step_failed(state: State, event: ev.StepFailed, at: float) -> State:
    """The step has failed for good, and what that means for those beside it."""
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
    state = ended(state, event.step, changed, at)
    plan = state.plan
    assert plan is not None
    scope = plan.scope_of(event.step)
    found = state.scopes.get(scope)
    if found is None:
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
    # A handler stands beside no step: those within the step that it handles are over.
    if turn(name) is not None or name.endswith(f".{ON_ERROR}"):
        return state
    scope = plan.step(name).scope
    finishers = (plan.beside(name, path) for path in plan.workflow.finishers.get(scope, ()))
    pending = (other for other in finishers if state.steps[other].status is StepStatus.PENDING)
    return replace(state, candidates=state.candidates | frozenset(pending))


def sandbox_ended(state: State, event: ev.SandboxEnded, at: float) -> State:
    """An attempt whose code had not started is placed again, and so is an agent's; any other has failed."""
    sandbox = state.sandboxes[event.sandbox]
    state = with_sandbox(state, event.sandbox, replace(sandbox, ended=True, step=None))
    if state.finished is not None:
        return state
    name = sandbox.step or _in_vain(state, sandbox, at)
    if name is None:
        return state
    step = state.steps[name]
    hopeless = sandbox.step is None and event.failure.reason in _HOPELESS
    resumed = event.failure.reason in _RESUMED and compiled_of(state, name).agent is not None
    if (step.delivered_at is not None and not resumed) or step.placing >= MAX_PLACINGS or hopeless:
        changed = replace(step, undecided=True, failure=event.failure)
        return with_step(calls_cut_off(state, name, at), name, changed)
    changed = replace(
        step,
        status=StepStatus.READY,
        sandbox=None,
        delivered_at=None,
        placing=step.placing + 1,
        ready_at=at,
        tries=tried(step, at, event.failure.reason),
    )
    return with_step(state, name, changed)


def _in_vain(state: State, sandbox: SandboxState, at: float) -> str | None:
    """The attempt that waits for this sandbox, which ended without having served any; else None.

    It pays for the loss, so that sandboxes which cannot start are not wanted for ever.
    """
    if sandbox.served or sandbox.released:
        return None
    others = (other for other in state.sandboxes.values() if other.usable and other.registered)
    if any(other.placement == sandbox.placement for other in others):
        return None
    return next_ready(state, sandbox.placement, at)


def cut_off(state: State, at: float) -> State:
    """What is still under way ends without a result."""
    plan = state.plan
    left = state.active | state.open
    for step in [name for name in left if name in state.calls] if state.calls else ():
        left |= _calls_under_way(state, step)
    if plan is None or not left:
        return state
    counted = sum(plan.step(name).counts for name in left)
    return replace(_cancelled(state, left, at), ended_steps=state.ended_steps + counted)


def calls_cut_off(state: State, step: str, at: float) -> State:
    """The attempt of an agent is over: calls that are under way are not waited for, and give nothing."""
    if step not in state.calls:
        return state
    over = _calls_under_way(state, step)
    if not over:
        return state
    for name in over:
        found = state.steps[name]
        if found.sandbox is not None and state.sandboxes[found.sandbox].step == name:
            state = freed(state, found.sandbox, at)  # it is of no more use, and released as such
    state = _cancelled(state, over, at, f"the attempt of step {step} ended")
    return replace(state, candidates=state.candidates - over)


def _cancelled(state: State, names: frozenset[str], at: float, message: str | None = None) -> State:
    """These steps have ended, without a result and whatever they were doing."""
    steps = state.steps.mutate()
    for name in names:
        steps[name] = replace(
            steps[name],
            status=StepStatus.CANCELLED,
            undecided=False,
            answer=None,
            reason=Reason.CANCELLED,
            message=message,
            finished_at=at,
        )
    return replace(state, steps=steps.finish(), active=state.active - names, open=state.open - names)


def _calls_under_way(state: State, step: str) -> frozenset[str]:
    return frozenset(name for name in calls_within(state, step) if not state.steps[name].status.terminal)


def calls_within(state: State, step: str) -> Iterator[str]:
    """The instances that answer calls of the last attempt of an agent, and all that is within them."""
    calls = state.calls.get(step)
    for instance in calls.instances.values() if calls is not None else ():
        yield instance
        yield from calls_within(state, instance)
        for child in compiled_of(state, instance).children:
            inner = visible(instance, child)
            if inner in state.steps:
                yield inner
                yield from calls_within(state, inner)


def concluded(state: State, event: ev.Concluded, at: float) -> State:
    """The main part is over: what is still under way ends, and its sandboxes are of no more use."""
    state = cut_off(state, at)
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
        sandboxes=sandboxes,
        candidates=final,
    )


def freed(state: State, name: str, at: float) -> State:
    """The sandbox has no attempt any more. Attempts decided without one name no sandbox."""
    sandbox = state.sandboxes.get(name)
    if sandbox is None:
        return state
    changed = replace(sandbox, step=None, idle_since=at, served=sandbox.served + 1)
    return with_sandbox(state, name, changed)


def ended(state: State, name: str, step: StepState, at: float) -> State:
    """The step has ended, and what waits for it may start."""
    plan = state.plan
    assert plan is not None
    compiled = plan.step(name)
    if state.calls:
        state = calls_cut_off(state, name, at)
    # What is within it and has not begun will not any more: it counts as ended, too.
    never_begun = state.scopes[name].left if compiled.counts and name in state.scopes else 0
    state = replace(
        with_step(state, name, replace(step, finished_at=at)),
        candidates=state.candidates - {name} | _waiting_for(state, plan, name),
        active=state.active - {name},
        open=state.open - {name},
        ended_steps=state.ended_steps + compiled.counts + never_begun,
        completed=(*state.completed, name)
        if compiled.compensation is not None
        and step.status is StepStatus.SUCCEEDED
        and step.failure is None  # what was handled has not completed
        and not compiled.is_loop(name)
        else state.completed,
    )
    scope = plan.scope_of(name)
    found = state.scopes.get(scope)
    if found is None:
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
