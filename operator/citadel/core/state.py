"""Where an execution stands: a fold over its events.

`apply` only records what an event says. It never evaluates an expression, never decides, and is total over
every event that `admissible` let into the log.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core import events as ev
from citadel.core.plan import Plan
from citadel.core.values import Content, Value

#: How often an attempt is placed at most, when its sandboxes are lost before its code starts.
MAX_PLACINGS = 5
#: Why a sandbox could not start, where placing the attempt again would only repeat it.
_HOPELESS = (
    Reason.IMAGE_PULL_FAILED,
    Reason.UNSCHEDULABLE,
    Reason.SANDBOX_START_FAILED,
    Reason.POLICY_DENIED,
    Reason.NOT_ISOLATED,
)


@dataclass(frozen=True, slots=True)
class StepState:
    """One step. Times are seconds since the epoch."""

    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    placing: int = 1
    payload: Value | None = None
    ready_at: float = 0.0
    sandbox: str | None = None
    delivered_at: float | None = None
    output: Value | None = None
    artifacts: Mapping[str, Content] = field(default_factory=dict)
    """What the step left, by name."""
    failure: ev.Failure | None = None
    """Of the last failed attempt, or of the step."""
    undecided: bool = False
    """The attempt failed, and whether it is retried is not decided yet."""
    reason: str | None = None
    message: str | None = None
    started_at: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True, slots=True)
class SandboxState:
    """One sandbox of the execution."""

    placement: str
    wanted_at: float
    claimed: bool = False
    """Whether it came from a pool."""
    registered: bool = False
    released: bool = False
    ended: bool = False
    step: str | None = None
    idle_since: float = 0.0
    served: int = 0
    given: frozenset[str] = frozenset()
    """Attempts it was ever given, as `step/attempt`: whose logs it may write."""

    @property
    def usable(self) -> bool:
        return not (self.released or self.ended)


@dataclass(frozen=True, slots=True)
class State:
    """One execution."""

    plan: Plan | None = None
    created: ev.Created | None = None
    created_at: float = 0.0
    rejected: ev.Rejected | None = None
    steps: Mapping[str, StepState] = field(default_factory=dict)
    candidates: frozenset[str] = frozenset()
    """Pending steps that a recent event may have made ready."""
    active: frozenset[str] = frozenset()
    """Steps that are ready, running, backing off, or whose failure is undecided."""
    ended_steps: int = 0
    failed_step: str | None = None
    """First step that failed for good: from then on nothing new starts but `join: finished`."""
    sandboxes: Mapping[str, SandboxState] = field(default_factory=dict)
    stop: ev.StopRequested | None = None
    stop_at: float = 0.0
    suspended: bool = False
    suspend_generation: int = 0
    finished: ev.Finished | None = None
    finished_at: float | None = None
    seq: int = 0
    """Number of events folded in."""

    @property
    def failing(self) -> bool:
        return self.failed_step is not None

    @property
    def known(self) -> bool:
        return self.created is not None or self.rejected is not None


def admissible(state: State, fact: ev.Event) -> bool:
    """Whether a fact still changes anything. What is decided stays decided; a repetition is no news."""
    match fact:
        case ev.Created() | ev.Rejected():
            return not state.known
        case _ if not state.known:
            return False
        case ev.SandboxRegistered(sandbox=name):
            found = state.sandboxes.get(name)
            return found is not None and found.usable and not found.registered
        case ev.SandboxEnded(sandbox=name):
            found = state.sandboxes.get(name)
            return found is not None and not found.ended
        case _ if state.finished is not None:
            return False
        case ev.AttemptSucceeded() | ev.AttemptFailed():
            return is_current(state, fact.step, fact.attempt, fact.sandbox)
        case ev.Assigned():
            step = state.steps.get(fact.step)
            return step is not None and is_ready(step) and _is_placing(step, fact)
        case ev.Delivered():
            step = state.steps.get(fact.step)
            return (
                step is not None
                and is_running(step)
                and _is_placing(step, fact)
                and step.delivered_at is None
            )
        case ev.StopRequested(mode=mode):
            return state.stop is None or (state.stop.mode == "Cancel" and mode == "Terminate")
        case ev.SuspendChanged(suspended=suspended, generation=generation):
            # A newer generation counts even when it says the same: an older one that comes late must not.
            news = suspended or state.suspended or generation > 1
            return news and generation > state.suspend_generation
    return True


def is_ready(step: StepState) -> bool:
    """Whether an attempt waits for a sandbox, or for its time."""
    return step.status in (StepStatus.READY, StepStatus.BACKING_OFF) and not step.undecided


def is_running(step: StepState) -> bool:
    """Whether an attempt is in a sandbox, and nothing was recorded of its end."""
    return step.status is StepStatus.RUNNING and not step.undecided


def _is_placing(step: StepState, fact: ev.Assigned | ev.Delivered) -> bool:
    return (step.attempt, step.placing) == (fact.attempt, fact.placing)


def is_current(state: State, step: str, attempt: int, sandbox: str) -> bool:
    """Whether this attempt is under way in this sandbox, and nothing was recorded of its end."""
    found = state.steps.get(step)
    return found is not None and is_running(found) and (found.attempt, found.sandbox) == (attempt, sandbox)


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
            roots = frozenset(name for name, step in plan.steps.items() if not step.after)
            steps = dict.fromkeys(plan.steps, StepState())
            return replace(state, plan=plan, created=event, created_at=at, steps=steps, candidates=roots)
        case ev.Rejected():
            finished = ev.Finished(Phase.FAILED, event.failure.reason, event.failure.message)
            return replace(state, rejected=event, created_at=at, finished=finished, finished_at=at)
        case ev.StepReady():
            changed = StepState(StepStatus.READY, attempt=1, payload=event.payload, ready_at=at)
            return replace(
                _with_step(state, event.step, changed),
                candidates=state.candidates - {event.step},
                active=state.active | {event.step},
            )
        case ev.Assigned():
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
            )
            return _with_step(state, event.step, changed)
        case ev.StepSkipped():
            changed = StepState(StepStatus.SKIPPED, reason=event.reason, message=event.message)
            return _end_step(state, event.step, changed, at)
        case ev.StepFailed():
            status = StepStatus.CANCELLED if event.failure.reason == Reason.CANCELLED else StepStatus.FAILED
            changed = replace(
                state.steps[event.step],
                status=status,
                failure=event.failure,
                undecided=False,
                reason=event.failure.reason,
                message=event.failure.message,
            )
            ended = _end_step(state, event.step, changed, at)
            return replace(ended, failed_step=state.failed_step or event.step)
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
        case ev.Finished():
            sandboxes = {name: replace(item, released=True) for name, item in state.sandboxes.items()}
            return replace(state, finished=event, finished_at=at, sandboxes=sandboxes)
    raise TypeError(f"found {type(event).__name__}, expected an event of this version")


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


def is_over(state: State, name: str) -> bool:
    """Whether a step has ended, or will never start because the execution is failing."""
    assert state.plan is not None
    status = state.steps[name].status
    dead = state.failing and status is StepStatus.PENDING and name not in state.plan.workflow.finishers
    return status.terminal or dead


def ready_steps(state: State, placement: str, now: float) -> list[str]:
    """Steps of a placement with an attempt that a sandbox may take now, longest waiting first."""
    plan = state.plan
    assert plan is not None
    mine = (name for name in state.active if plan.placements[name].key == placement)
    ready = [name for name in mine if is_ready(state.steps[name]) and now >= state.steps[name].ready_at]
    return sorted(ready, key=lambda name: (state.steps[name].ready_at, plan.steps[name].index))


def _with_step(state: State, name: str, step: StepState) -> State:
    return replace(state, steps={**state.steps, name: step})


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
    assert state.plan is not None
    waiting = (
        other
        for other in state.plan.workflow.dependents[name]
        if state.steps[other].status is StepStatus.PENDING
    )
    return replace(
        _with_step(state, name, replace(step, finished_at=at)),
        candidates=(state.candidates - {name}) | frozenset(waiting),
        active=state.active - {name},
        ended_steps=state.ended_steps + 1,
    )
