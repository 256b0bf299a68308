"""Which sandboxes an execution wants, and which attempt a polling sandbox gets.

One sandbox for a placement comes first; another follows when a ready attempt has waited `SPREAD_SECONDS` and
the workflow's `parallelism` allows; an idle one goes after `IDLE_SECONDS`, or at once when
no step can need it. What an agent may call has one before it is called: pods start while models think.
"""

from collections.abc import Iterator, Mapping

from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.instances import COMPENSATE, definition
from citadel.core.jsonvalues import digest
from citadel.core.members import Members, Wish
from citadel.core.plan import Plan
from citadel.core.state import SandboxState, State, is_over, is_ready, is_running, next_ready

SPREAD_SECONDS = 0.3
IDLE_SECONDS = 20.0
#: Sandboxes of an execution that may be there for calls which no agent has made yet.
AHEAD = 4


def sandbox_name(uid: str, number: int) -> str:
    """The name of an execution's sandbox and of its pod: the same for the same execution, a DNS label."""
    return f"cx-{digest(uid.encode()).removeprefix('sha256:')[:16]}-{number}"


def assign(state: State, sandbox: str, now: float) -> ev.Assigned | None:
    """The attempt that a polling sandbox gets next; None when there is none for it."""
    found = state.sandboxes.get(sandbox)
    if found is None or not found.usable or found.step is not None or _closed(state):
        return None
    name = next_ready(state, found.placement, now)
    if name is None or state.plan is None:
        return None
    step = state.steps[name]
    delivered = not state.plan.step(name).has_references
    return ev.Assigned(name, step.attempt, step.placing, sandbox, delivered)


def current(state: State, sandbox: str) -> str | None:
    """The step whose attempt this sandbox has, if any: polling again gives it again."""
    found = state.sandboxes.get(sandbox)
    return found.step if found is not None and found.usable else None


def hand_over(state: State, sandbox: str) -> ev.Delivered | None:
    """The fact that a sandbox from a pool takes what it was claimed for: from here its code may run."""
    name = current(state, sandbox)
    if name is None or state.plan is None or state.plan.step(name).has_references:
        return None
    step = state.steps[name]
    if not is_running(step) or step.delivered_at is not None:
        return None
    return ev.Delivered(name, step.attempt, step.placing)


def scale(state: State, now: float, members: Members | None = None) -> Iterator[ev.Event]:
    """Sandboxes to want, and sandboxes to let go: one change at a time, since each changes what is next.

    Without `members` no pool is asked.
    """
    plan, created = state.plan, state.created
    assert plan is not None
    assert created is not None
    usable = {name: sandbox for name, sandbox in state.sandboxes.items() if sandbox.usable}
    waiting = _waiting(state, now)
    for name, sandbox in usable.items():
        reason = _release_reason(state, sandbox, waiting, now)
        if reason is not None:
            yield ev.SandboxReleased(name, reason)
            return
    for key, ready in waiting.items():
        beside = _beside(plan, key, usable)
        room = plan.workflow.spec.parallelism - len(beside)
        same = [sandbox for sandbox in usable.values() if sandbox.placement == key]
        free = sum(1 for sandbox in same if sandbox.step is None)
        # Where each attempt needs a sandbox of its own, waiting for one that serves would be in vain.
        long = len(ready) if "/" in key else sum(1 for at in ready if now >= at + SPREAD_SECONDS)
        if max(long, 0 if same else 1) <= free:
            continue
        if room > 0:
            yield from _want(state, key, now, members)
            return
        # Only one that has nothing to take: else two placements would push each other out for ever.
        idle = (
            name
            for name, sandbox in beside.items()
            if sandbox.step is None and sandbox.placement not in waiting
        )
        for name in idle:
            yield ev.SandboxReleased(name, "MadeRoom")
            return
    yield from _ahead(state, usable)


def _ahead(state: State, usable: dict[str, SandboxState]) -> Iterator[ev.Event]:
    """A sandbox for what a running agent may call: once, so that what nobody needs does not come again, and
    while no other starts, which it would take the processors from.
    """
    plan, created = state.plan, state.created
    assert plan is not None
    assert created is not None
    if not plan.callable or _closed(state):
        return
    if not all(sandbox.registered for sandbox in usable.values()):
        return
    if sum(sandbox.step is None and not sandbox.served for sandbox in usable.values()) >= AHEAD:
        return
    known = {sandbox.placement for sandbox in state.sandboxes.values()}
    for name in sorted(state.active, key=lambda name: plan.step(name).index):
        for key in plan.callable.get(definition(name), ()) if is_running(state.steps[name]) else ():
            if key not in known and len(_beside(plan, key, usable)) < plan.workflow.spec.parallelism:
                yield ev.SandboxWanted(sandbox_name(created.uid, len(state.sandboxes)), key)
                return


def _beside(plan: Plan, placement: str, usable: dict[str, SandboxState]) -> dict[str, SandboxState]:
    """The sandboxes that share the `parallelism` of a placement: all of them, where no agent calls tools."""
    if not plan.layers:
        return usable
    layer = plan.layers.get(placement, 0)
    return {name: item for name, item in usable.items() if plan.layers.get(item.placement, 0) == layer}


def _want(state: State, key: str, now: float, members: Members | None) -> Iterator[ev.Event]:
    """A sandbox for a placement: a warm one, which gets its attempt at once, or one that is yet to start."""
    plan, created = state.plan, state.created
    assert plan is not None
    assert created is not None
    sandbox = sandbox_name(created.uid, len(state.sandboxes))
    first = next_ready(state, key, now)
    assert first is not None
    pool = plan.placement(first).pool
    member = None
    if members is not None and pool is not None:
        identity = (created.uid, created.namespace, created.name)
        member = members.take(Wish(sandbox, pool, key, *identity))
    if member is None:
        yield ev.SandboxWanted(sandbox, key)
        return
    yield ev.SandboxWanted(member, key, claimed=True)
    # Not delivered: if the member is lost before it asks, nothing has run and the attempt is placed again.
    step = state.steps[first]
    yield ev.Assigned(first, step.attempt, step.placing, member, delivered=False)


def wake_times(state: State, now: float) -> Iterator[float]:
    """When `scale` may have something new to say, without a new fact; some of these times may have passed."""
    waiting = _waiting(state, now)
    for ready in waiting.values():
        yield from (at + SPREAD_SECONDS for at in ready)
    for sandbox in state.sandboxes.values():
        if sandbox.usable and _is_idle(sandbox):
            yield _idle_since(sandbox, waiting) + IDLE_SECONDS


def _waiting(state: State, now: float) -> dict[str, list[float]]:
    """Since when attempts have been ready, by placement, in the order of the steps; none while closed."""
    plan = state.plan
    assert plan is not None
    waiting: dict[str, list[float]] = {}
    if _closed(state):
        return waiting
    first: dict[str, int] = {}
    for name in state.active:
        step, compiled = state.steps[name], plan.step(name)
        if is_ready(step) and now >= step.ready_at and compiled.sandboxed:
            key = plan.placement(name).key
            waiting.setdefault(key, []).append(step.ready_at)
            first[key] = min(compiled.index, first.get(key, compiled.index))
    return {key: waiting[key] for key in sorted(waiting, key=first.__getitem__)}


def _is_idle(sandbox: SandboxState) -> bool:
    return sandbox.registered and sandbox.step is None


def _idle_since(sandbox: SandboxState, waiting: Mapping[str, list[float]]) -> float:
    """A sandbox for which work came is idle only since then: it is about to take it."""
    return max(sandbox.idle_since, min(waiting.get(sandbox.placement, ()), default=0.0))


def _release_reason(
    state: State, sandbox: SandboxState, waiting: Mapping[str, list[float]], now: float
) -> str | None:
    """Why a sandbox is to go now; None while it is needed."""
    if sandbox.step is not None:
        return None
    if sandbox.served and "/" in sandbox.placement:
        return "Served"
    if not _may_be_needed(state, sandbox.placement):
        return "NoMoreSteps"
    idle = _is_idle(sandbox) and now >= _idle_since(sandbox, waiting) + IDLE_SECONDS
    return "Idle" if idle else None


def _may_be_needed(state: State, placement: str) -> bool:
    plan = state.plan
    assert plan is not None
    # From the end: there the steps are that have not run yet.
    return any(
        place.key == placement and not _has_gone(state, path)
        for path, place in zip(reversed(plan.placements), reversed(plan.placements.values()), strict=True)
    )


def _has_gone(state: State, path: str) -> bool:
    """Whether no instance of this definition will run any more, as far as is known from its topmost step."""
    plan = state.plan
    assert plan is not None
    step = plan.steps[path]
    if step.builds is not None:
        return path not in state.steps or is_over(state, path)
    if COMPENSATE in path.split("."):
        # It runs late and seldom: no sandbox is kept for it.
        return not any(definition(name) == path for name in state.active)
    return is_over(state, path.partition(".")[0])


def _closed(state: State) -> bool:
    return state.finished is not None or state.stopping or state.suspended


def failure_of(sandbox: str, reason: str | None, message: str) -> ev.SandboxEnded:
    """The fact that a sandbox is gone."""
    return ev.SandboxEnded(sandbox, Failure.cut(reason or Reason.SANDBOX_LOST, message))
