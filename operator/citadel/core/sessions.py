"""Which sandboxes an execution wants, and which attempt a polling sandbox gets.

One sandbox for a placement comes first; another follows when a ready attempt has waited `SPREAD_SECONDS` and the
workflow's `parallelism` allows; an idle one goes after `IDLE_SECONDS`, or at once when no step can need it.
"""

from collections.abc import Iterator

from citadel.api.reasons import Reason, StepStatus
from citadel.core import events as ev
from citadel.core.jsonvalues import digest
from citadel.core.state import SandboxState, State

SPREAD_SECONDS = 0.3
IDLE_SECONDS = 20.0


def sandbox_name(uid: str, number: int) -> str:
    """The name of an execution's sandbox and of its pod: the same for the same execution, a DNS label."""
    return f"cx-{digest(uid.encode()).removeprefix('sha256:')[:16]}-{number}"


def assign(state: State, sandbox: str, now: float) -> ev.Assigned | None:
    """The attempt that a polling sandbox gets next; None when there is none for it."""
    found = state.sandboxes.get(sandbox)
    if found is None or not found.usable or found.step is not None or _closed(state):
        return None
    name = next(iter(_ready(state, found.placement, now)), None)
    if name is None or state.plan is None:
        return None
    step = state.steps[name]
    delivered = not state.plan.steps[name].has_references
    return ev.Assigned(name, step.attempt, step.placing, sandbox, delivered)


def current(state: State, sandbox: str) -> str | None:
    """The step whose attempt this sandbox has, if any: polling again gives it again."""
    found = state.sandboxes.get(sandbox)
    return found.step if found is not None and found.usable else None


def scale(state: State, now: float) -> Iterator[ev.Event]:
    """Sandboxes to want, and sandboxes to let go."""
    assert state.plan is not None and state.created is not None
    usable = {name: sandbox for name, sandbox in state.sandboxes.items() if sandbox.usable}
    for name, sandbox in usable.items():
        reason = _release_reason(state, sandbox, now)
        if reason is not None:
            yield ev.SandboxReleased(name, reason)
            return
    if _closed(state):
        return
    waiting: dict[str, list[str]] = {}
    for name in sorted(state.active, key=lambda name: state.plan.steps[name].index):  # type: ignore[union-attr]
        if _is_ready(state, name, now):
            waiting.setdefault(state.plan.placements[name].key, []).append(name)
    room = state.plan.workflow.spec.parallelism - len(usable)
    for key, names in waiting.items():
        same = [sandbox for sandbox in usable.values() if sandbox.placement == key]
        free = sum(1 for sandbox in same if sandbox.step is None)
        long = [name for name in names if now >= state.steps[name].ready_at + SPREAD_SECONDS]
        lacking = max(len(long), 0 if same else 1) - free
        if lacking <= 0:
            continue
        if room > 0:
            yield ev.SandboxWanted(sandbox_name(state.created.uid, len(state.sandboxes)), key)
            return
        idle = [name for name, sandbox in usable.items() if _is_idle(sandbox) and sandbox.placement != key]
        if idle:
            yield ev.SandboxReleased(idle[0], "MadeRoom")
            return


def _is_idle(sandbox: SandboxState) -> bool:
    return sandbox.registered and sandbox.step is None


def _release_reason(state: State, sandbox: SandboxState, now: float) -> str | None:
    """Why a sandbox is to go now; None while it is needed."""
    assert state.plan is not None
    if sandbox.step is not None:
        return None
    placements = state.plan.placements
    if sandbox.served and "/" in sandbox.placement:
        return "Served"
    if not any(
        placements[name].key == sandbox.placement
        for name, step in state.steps.items()
        if not step.status.terminal
    ):
        return "NoMoreSteps"
    idle = _is_idle(sandbox) and now >= sandbox.idle_since + IDLE_SECONDS
    return "Idle" if idle else None


def _closed(state: State) -> bool:
    return state.finished is not None or state.stop is not None or state.suspended


def _is_ready(state: State, name: str, now: float) -> bool:
    step = state.steps[name]
    ready = step.status in (StepStatus.READY, StepStatus.BACKING_OFF)
    return ready and not step.undecided and step.sandbox is None and now >= step.ready_at


def _ready(state: State, placement: str, now: float) -> Iterator[str]:
    """Ready steps of a placement, longest waiting first."""
    assert state.plan is not None
    mine = (name for name in state.active if state.plan.placements[name].key == placement)
    ready = (name for name in mine if _is_ready(state, name, now))
    yield from sorted(ready, key=lambda name: (state.steps[name].ready_at, state.plan.steps[name].index))  # type: ignore[union-attr]


def failure_of(sandbox: str, reason: str | None, message: str) -> ev.SandboxEnded:
    """The fact that a sandbox is gone."""
    return ev.SandboxEnded(sandbox, ev.Failure.cut(reason or Reason.SANDBOX_LOST, message))
