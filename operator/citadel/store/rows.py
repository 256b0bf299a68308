"""What follows from one advance for everything that is not the log: rows for people, for the controller, for
timers.

Pure: the same for every database. Nothing here is needed to fold an execution; all of it can be made again
from the log.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from citadel.api.reasons import Phase, Reason
from citadel.core import events as ev
from citadel.core.advance import Outcome
from citadel.core.compiled import PROGRAM
from citadel.core.decide import wake_at
from citadel.core.endings import calls_within
from citadel.core.recalling import key_of
from citadel.core.state import State, StepState
from citadel.core.summary import summarise
from citadel.core.values import BuildKey, Content
from citadel.store.admissions import AdmissionChange, admission_change
from citadel.store.approvals import ApprovalRow, asked
from citadel.store.conversations import Answered, answers
from citadel.store.journal import Notice
from citadel.store.placing import placeable
from citadel.store.recalling import Memory, Recalled, memories, recalled
from citadel.store.sandboxes import Delivery, SandboxRow
from citadel.store.texts import mend

#: Events after which the row of one step may differ, and those after which any may.
_OF_ONE_STEP = (
    ev.Assigned,
    ev.Delivered,
    ev.AttemptSucceeded,
    ev.AttemptFailed,
    ev.ApprovalDecided,
    ev.ChildFinished,
    ev.ModelAnswered,
    ev.ToolAnswered,
    ev.StepReady,
    ev.StepRecalled,
    ev.StepWaiting,
    ev.ChildWanted,
    ev.ModelWanted,
    ev.ToolWanted,
    ev.StepCompleted,
    ev.StepSkipped,
    ev.StepFailed,
    ev.RetryScheduled,
)
_OF_MANY_STEPS = (ev.Created, ev.StepOpened, ev.HandlerOpened, ev.SandboxEnded, ev.Concluded, ev.Finished)
#: Reasons after which what still runs is not waited for.
_AT_ONCE = frozenset((Reason.TERMINATED, Reason.DELETED))


@dataclass(frozen=True)
class ExecutionRow:
    """An execution in one row. Times are seconds since the epoch."""

    uid: str
    namespace: str
    name: str
    workflow: str
    definition: str | None
    seq: int
    phase: str
    reason: str
    message: str
    suspended: bool
    done: int
    """Steps that have ended."""
    total: int
    created_at: float
    changed_at: float
    """When its last event happened."""
    finished_at: float | None
    wake_at: float | None
    """When it has to be advanced without a fact."""


@dataclass(frozen=True)
class StepRow:
    """A step in one row."""

    uid: str
    name: str
    position: int
    status: str
    attempt: int
    sandbox: str | None
    reason: str | None
    message: str | None
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True)
class Build:
    """A program, and what it was made of. The first of a namespace stays."""

    key: BuildKey
    program: Content


@dataclass(frozen=True)
class Changes:
    """Everything that one advance changes, besides the log and its values."""

    execution: ExecutionRow
    steps: tuple[StepRow, ...]
    """Rows that differ; all of them when the execution is new."""
    wanted: tuple[SandboxRow, ...]
    claimed: Mapping[str, str]
    """Members of pools that serve this execution from now on, and the placement of each."""
    draining: Mapping[str, bool]
    """Sandboxes that are to end, and whether at once."""
    deliveries: tuple[Delivery, ...]
    delivered: tuple[str, ...]
    """Sandboxes whose delivery is of no use any more."""
    notices: tuple[Notice, ...]
    builds: tuple[Build, ...] = ()
    """Programs that were built or used."""
    recalled: tuple[Recalled, ...] = ()
    memories: tuple[Memory, ...] = ()
    answered: tuple[Answered, ...] = ()
    """What agents with a memory have answered."""
    approvals: tuple[ApprovalRow, ...] = ()
    """Rows that differ."""
    admission: AdmissionChange | None = None
    """What becomes of its place in a concurrency group."""


_OBSERVED = frozenset(("status", "pod_uid", "key_hash", "isolated", "answered", "template"))
_STATUSES = frozenset(("wanted", "live", "draining", "gone"))


def check_observation(changes: Mapping[str, object]) -> None:
    """Raises ValueError for what nobody may set of a sandbox's row by observing it."""
    if changes.keys() - _OBSERVED or changes.get("status", "gone") not in _STATUSES:
        raise ValueError(
            f"found {changes}, expected some of {sorted(_OBSERVED)}, status of {sorted(_STATUSES)}"
        )


def changes(
    before: State, outcome: Outcome, now: float, bodies: Mapping[str, bytes] = MappingProxyType({})
) -> Changes:
    """The rows that follow from `outcome`, an advance of `before` at `now`."""
    state = outcome.state
    execution = execution_row(state, now)
    wanted = tuple(_wanted(state, outcome.events, now))
    claimed = {
        event.sandbox: event.placement
        for event in outcome.events
        if isinstance(event, ev.SandboxWanted) and event.claimed
    }
    draining = _draining(state, outcome.events)
    deliveries = tuple(_deliveries(state, outcome.events))
    approvals = tuple(asked(before, outcome, now))
    notices = []
    if outcome.events:
        topic = "progress" if _only_goes_on(state, outcome.events) else "execution"
        notices.append(Notice(topic, execution.uid, state.seq))
    if any(isinstance(event, ev.StopRequested | ev.Finished) for event in outcome.events):
        notices.append(Notice("control", execution.uid))
    notices += [Notice("sandbox", name) for name in (*(row.name for row in wanted), *claimed, *draining)]
    notices += [Notice("delivery", delivery.sandbox) for delivery in deliveries]
    if any(placeable(state, outcome.events)):
        notices.append(Notice("tool", execution.uid))
    notices += [Notice("approval", f"{row.namespace}/{row.name}") for row in approvals]
    return Changes(
        execution=execution,
        steps=tuple(_steps(before, state, outcome.events, execution.uid)),
        wanted=wanted,
        claimed=claimed,
        draining=draining,
        deliveries=deliveries,
        delivered=tuple(_delivered(state, outcome.events)),
        notices=tuple(notices),
        builds=tuple(_builds(state, outcome.events)),
        recalled=tuple(recalled(state, outcome.events, bodies)),
        memories=tuple(memories(state, outcome.events)),
        answered=tuple(answers(state, outcome.events)),
        approvals=approvals,
        admission=admission_change(before, state),
    )


def _only_goes_on(state: State, events: Sequence[ev.Event]) -> bool:
    """Whether nobody has to act on these events but who waits for what an agent has called."""
    placed = {call.step for call in placeable(state, events)}
    for event in events:
        match event:
            case ev.Delivered() | ev.ToolCalled() | ev.ToolAnswered():
                continue
            case ev.ToolWanted(step=step) if step in placed:
                continue
            case ev.StepCompleted(step=step) if step in state.called:
                continue
            case _:
                return False
    return True


def execution_row(state: State, now: float) -> ExecutionRow:
    """The row of an execution that is known."""
    start = state.created or state.rejected
    assert start is not None
    summary = summarise(state)
    return ExecutionRow(
        uid=start.uid,
        namespace=start.namespace,
        name=start.name,
        workflow=start.workflow,
        definition=start.definition if isinstance(start, ev.Created) else None,
        seq=state.seq,
        phase=summary.phase,
        reason=summary.reason,
        message=mend(summary.message),
        suspended=state.suspended,
        done=state.ended_steps,
        total=state.total_steps,
        created_at=state.created_at,
        changed_at=now,
        finished_at=state.finished_at,
        wake_at=wake_at(state, now),
    )


def _steps(before: State, state: State, events: tuple[ev.Event, ...], uid: str) -> Iterator[StepRow]:
    plan = state.plan
    if plan is None:
        return
    names: Iterable[str] = {event.step for event in events if isinstance(event, _OF_ONE_STEP)}
    if state.calls:
        names = {*names, *_calls(state, names, events)}
    if any(isinstance(event, _OF_MANY_STEPS) for event in events):
        names = state.steps
    for name in names:
        step = state.steps[name]
        if before.steps.get(name) is not step:
            yield _step_row(uid, plan.step(name).index, name, step)


def _calls(state: State, names: Iterable[str], events: Iterable[ev.Event]) -> Iterator[str]:
    """Calls of tools that begin, or end with the step that has made them."""
    for name in names:
        yield from calls_within(state, name)
    for event in events:
        if isinstance(event, ev.ToolCalled):
            yield from calls_within(state, event.step)


def _step_row(uid: str, position: int, name: str, step: StepState) -> StepRow:
    reason, message = step.reason, step.message
    if reason is None and step.failure is not None:
        reason, message = step.failure.reason, step.failure.message
    return StepRow(
        uid=uid,
        name=name,
        position=position,
        status=step.status,
        attempt=step.attempt,
        sandbox=step.sandbox,
        reason=reason,
        message=None if message is None else mend(message),
        started_at=step.started_at,
        finished_at=step.finished_at,
    )


def _wanted(state: State, events: tuple[ev.Event, ...], now: float) -> Iterator[SandboxRow]:
    for event in events:
        if isinstance(event, ev.SandboxWanted) and not event.claimed:
            assert state.created is not None
            assert state.plan is not None
            places = state.plan.placements.values()
            place = next(place for place in places if place.key == event.placement)
            yield SandboxRow(
                name=event.sandbox,
                uid=state.created.uid,
                namespace=state.created.namespace,
                execution=state.created.name,
                placement=event.placement,
                template=place.template,
                status="wanted",
                wanted_at=now,
                pool=place.pool,
            )


def _draining(state: State, events: tuple[ev.Event, ...]) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for event in events:
        match event:
            case ev.SandboxReleased() | ev.SandboxEnded():
                found.setdefault(event.sandbox, False)
            case ev.Concluded():
                at_once = event.phase == Phase.TIMED_OUT
                left = (name for name, sandbox in state.sandboxes.items() if sandbox.released)
                found.update({name: at_once for name in left if not state.sandboxes[name].ended})
            case ev.Finished():
                at_once = event.phase == Phase.TIMED_OUT or event.reason in _AT_ONCE
                names = (name for name, sandbox in state.sandboxes.items() if not sandbox.ended)
                found.update(dict.fromkeys(names, at_once))
    return found


def _deliveries(state: State, events: tuple[ev.Event, ...]) -> Iterator[Delivery]:
    for event in events:
        if not isinstance(event, ev.Assigned) or state.created is None or state.plan is None:
            continue
        # What comes from a pool is not delivered either, but waits for nothing.
        if state.plan.step(event.step).has_references:
            yield Delivery(event.sandbox, state.created.uid, event.step, event.attempt, event.placing)


def _delivered(state: State, events: tuple[ev.Event, ...]) -> Iterator[str]:
    """A delivery stays until its attempt ends: a runner whose answer was lost asks for it again."""
    for event in events:
        match event:
            case ev.AttemptSucceeded() | ev.AttemptFailed():
                assert state.plan is not None
                if state.plan.step(event.step).has_references:
                    yield event.sandbox
            case ev.SandboxEnded():
                yield event.sandbox
            case ev.Finished():
                yield from state.sandboxes


def _builds(state: State, events: tuple[ev.Event, ...]) -> Iterator[Build]:
    for event in events:
        if isinstance(event, ev.AttemptSucceeded | ev.StepRecalled):
            assert state.plan is not None
            assert state.created is not None
            compiled = state.plan.step(event.step)
            if compiled.builds is not None and PROGRAM in event.artifacts:
                key = key_of(state.plan, state.created.namespace, compiled)
                yield Build(key, event.artifacts[PROGRAM])
