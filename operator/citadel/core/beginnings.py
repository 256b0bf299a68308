"""How steps begin: what an event of a beginning makes of the state."""

from immutables import Map

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.calls import REFUSED, Call, Calls
from citadel.core.compiled import FINALLY
from citadel.core.copying import replace
from citadel.core.instances import COMPENSATE, ON_ERROR, turn, visible
from citadel.core.plan import Plan
from citadel.core.state import Admission, Scope, State, StepState, compiled_of, with_sandbox, with_step
from citadel.core.tickets import Ticket

_NO_CALLS = Calls()


def created(state: State, event: ev.Created, at: float, plan: Plan) -> State:
    """The state of an execution that begins."""
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
        total_steps=sum(plan.steps[path].counts for path in eager),
    )


def queued(state: State, event: ev.Queued, at: float) -> State:
    """The state of an execution that waits for its turn."""
    created = state.created
    assert created is not None
    among = created.namespace if created.among is None else created.among
    since = at if created.since is None else created.since
    ticket = Ticket(created.uid, among, event.group, since, at, event.limit)
    return replace(state, admission=Admission(ticket))


def born(state: State, name: str) -> State:
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


def begun(state: State, name: str, step: StepState) -> State:
    """The step is under way."""
    return replace(
        with_step(born(state, name), name, step),
        candidates=state.candidates - {name},
        active=state.active | {name},
        begun=state.begun or step.status is StepStatus.WAITING,
    )


def called(state: State, event: ev.ToolCalled) -> State:
    """An agent has called a tool: the turn of a hidden step may begin."""
    tool = event.tool if event.tool in compiled_of(state, event.step).tools else REFUSED
    name = f"{event.step}.{tool}"
    before = state.calls.get(event.step, _NO_CALLS)
    instance = f"{name}[{before.of_step.get(tool, 0) + 1}]"
    calls = before.add(event.attempt, event.call, event.tool, tool, instance)
    call = Call(
        event.step,
        event.attempt,
        event.tool,
        event.arguments,
        calls.of_attempt[event.tool],
        calls.total,
    )
    return replace(
        state,
        steps=state.steps.set(instance, StepState()),
        calls=state.calls.set(event.step, calls),
        called=state.called.set(instance, call),
        candidates=state.candidates | {instance},
    )


def asks_outside(
    state: State,
    event: ev.ChildWanted | ev.ModelWanted | ev.ToolWanted,
    at: float,
    cache: str | None = None,
) -> State:
    """The step waits for another execution, for a model, or for a tool."""
    before = state.steps.get(event.step, StepState())
    changed = StepState(
        StepStatus.WAITING,
        attempt=event.attempt,
        payload=event.payload,
        cache=cache,
        ready_at=at,
        tries=before.tries,
        until=event.until,
        started_at=at if before.started_at is None else before.started_at,
        usage=before.usage,
    )
    return begun(state, event.step, changed)


def opened(state: State, event: ev.StepOpened, at: float) -> State:
    """A group or a loop is under way, and what is part of it known."""
    name = event.step
    state = born(state, name)
    changed = replace(state.steps[name], status=StepStatus.RUNNING, started_at=at)
    state = replace(
        with_step(state, name, changed), candidates=state.candidates - {name}, open=state.open | {name}
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
    inner = {visible(name, child): child for child in children}
    return replace(
        state,
        steps=state.steps.update({instance: StepState() for instance in inner}),
        scopes=state.scopes.set(name, Scope(len(inner))),
        candidates=state.candidates | {key for key, child in inner.items() if not plan.steps[child].after},
        total_steps=state.total_steps + (len(inner) if plan.step(name).counts else 0),
    )


def handler_opened(state: State, event: ev.HandlerOpened, at: float) -> State:
    """The handler of a step is under way."""
    state = born(state, event.step)
    handler = f"{event.step}.{ON_ERROR}"
    # What the step itself is made of will not begin any more; the handler takes its place.
    never_begun = state.scopes[event.step].left if event.step in state.scopes else 0
    changed = replace(
        state.steps[event.step],
        status=StepStatus.RUNNING,
        failure=event.failure,
        undecided=False,
        answer=None,
        sandbox=None,
    )
    state = replace(
        with_step(state, event.step, changed),
        active=state.active - {event.step},
        candidates=state.candidates - {event.step},
        scopes=state.scopes.set(event.step, Scope(1)),
        open=state.open | {event.step, handler},
        ended_steps=state.ended_steps + never_begun,
        total_steps=state.total_steps + 1,
    )
    state = with_step(state, handler, StepState(StepStatus.RUNNING, started_at=at))
    return _with_children(state, handler)


def assigned(state: State, event: ev.Assigned, at: float) -> State:
    """An attempt is in a sandbox."""
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
    state = with_sandbox(with_step(state, event.step, changed), event.sandbox, sandbox)
    return state if state.begun else replace(state, begun=True)
