"""Where an execution stands, and what can be asked of that."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from immutables import Map

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.calls import Call, Calls
from citadel.core.compiled import FINALLY, CompiledStep
from citadel.core.copying import replace
from citadel.core.failures import Failure
from citadel.core.instances import order
from citadel.core.plan import Plan
from citadel.core.tickets import Ticket
from citadel.core.values import Content, Value

#: How often an attempt is placed at most, when its sandboxes are lost before its code starts.
MAX_PLACINGS = 5


@dataclass(frozen=True, slots=True)
class Try:
    """What came to nothing before the current attempt. Times are seconds since the epoch."""

    ready_at: float
    """From when on it waited for a sandbox."""
    began_at: float | None
    """When its code began, or what it waited for outside; None if it never did."""
    ended_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class StepState:
    """One instance of a step. Times are seconds since the epoch."""

    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    placing: int = 1
    payload: Value | None = None
    cache: str | None = None
    """Digest under which its output will be known to later executions."""
    ready_at: float = 0.0
    """From when on the attempt may run, or waits for what comes from outside."""
    sandbox: str | None = None
    delivered_at: float | None = None
    tries: tuple[Try, ...] = ()
    """Those before the current one, in order."""
    output: Value | None = None
    artifacts: Mapping[str, Content] = field(default_factory=dict)
    """What the step left, by name."""
    failure: Failure | None = None
    """Of the last failed attempt, or of the step; also one that was handled."""
    undecided: bool = False
    """The attempt failed, and whether it is retried is not decided yet."""
    reason: str | None = None
    message: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    until: float | None = None
    """When waiting ends by itself."""
    answer: ev.ApprovalDecided | ev.ChildFinished | ev.ModelAnswered | ev.ToolAnswered | None = None
    """What came from outside, and is not decided upon yet."""
    usage: ev.Usage | None = None
    """What the models took that it asked, in all its attempts."""


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
class Scope:
    """Steps that run together: those at the top, of a group, or the turns of a loop."""

    total: int
    """How many there are; of a `repeat`, how many iterations have begun."""
    begun: int = 0
    """Turns of a loop that have begun."""
    ended: int = 0
    failed: str | None = None
    """The first that failed for good: from then on nothing new starts here but `join: finished`."""
    failures: int = 0
    items: Value | None = None
    """The items of a `forEach`."""

    @property
    def running(self) -> int:
        """Turns of a loop that are under way."""
        return self.begun - self.ended

    @property
    def left(self) -> int:
        """How many have not ended."""
        return self.total - self.ended


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that no step has taken yet."""

    name: str
    payload: Value


@dataclass(frozen=True, slots=True)
class Admission:
    """An execution of a concurrency group."""

    ticket: Ticket
    admitted_at: float | None = None
    """Since when it has been its turn."""


_TOP = Scope(0)


@dataclass(frozen=True)
class State:
    """One execution. It has no slots: so its copies cost less."""

    plan: Plan | None = None
    created: ev.Created | None = None
    created_at: float = 0.0
    rejected: ev.Rejected | None = None
    admission: Admission | None = None
    """Where it stands in its concurrency group."""
    begun: bool = False
    """Whether any of its steps was in a sandbox, or waited for what comes from outside."""
    steps: Map[str, StepState] = Map()  # noqa: RUF009 - immutable
    """By instance id."""
    scopes: Map[str, Scope] = Map()  # noqa: RUF009 - immutable
    """By the id of the group or loop; what stands at the top has the empty one."""
    calls: Map[str, Calls] = Map()  # noqa: RUF009 - immutable
    """By agent step: the calls of tools that it has made."""
    called: Map[str, Call] = Map()  # noqa: RUF009 - immutable
    """The same by the instance that answers each."""
    candidates: frozenset[str] = frozenset()
    """Pending steps that a recent event may have made ready."""
    active: frozenset[str] = frozenset()
    """Steps that are ready, running, waiting, backing off, or whose failure is undecided."""
    open: frozenset[str] = frozenset()
    """Groups, loops and steps with a handler under way."""
    ended_steps: int = 0
    total_steps: int = 0
    """Steps that are known of so far, without builds."""
    sandboxes: Mapping[str, SandboxState] = field(default_factory=dict)
    signals: tuple[tuple[str, Signal], ...] = ()
    """Signals that wait to be taken, by their ids, in the order they came."""
    signal_ids: frozenset[str] = frozenset()
    failing: bool = False
    """Whether any step has failed for good whose failure was not handled."""
    completed: tuple[str, ...] = ()
    """Steps with a compensation, in the order they completed."""
    stop: ev.StopRequested | None = None
    stop_at: float = 0.0
    suspended: bool = False
    """Whether nothing new starts for now; never once it is to stop."""
    suspend_generation: int = 0
    concluded: ev.Concluded | None = None
    """How it ends, while compensations and `finally` are still to come."""
    finished: ev.Finished | None = None
    finished_at: float | None = None
    usage: ev.Usage | None = None
    """What the models took that its steps asked."""
    seq: int = 0
    """Number of events folded in."""
    behind: bool = False
    """Whether there is more to decide at once. Not part of the log."""

    @property
    def top(self) -> Scope:
        """The steps of the workflow itself."""
        return self.scopes.get("", _TOP)

    @property
    def stopping(self) -> bool:
        """Whether it is to end early: what follows the verdict has its time all the same."""
        return self.stop is not None and self.concluded is None

    @property
    def known(self) -> bool:
        return self.created is not None or self.rejected is not None


def tried(step: StepState, at: float, reason: str) -> tuple[Try, ...]:
    """All tries of a step whose current one ends now."""
    began = step.ready_at if step.status is StepStatus.WAITING else step.delivered_at
    return (*step.tries, Try(step.ready_at, began, at, reason))


def is_ready(step: StepState) -> bool:
    """Whether an attempt waits for a sandbox, or for its time."""
    return step.status in (StepStatus.READY, StepStatus.BACKING_OFF) and not step.undecided


def is_running(step: StepState) -> bool:
    """Whether an attempt is in a sandbox, and nothing was recorded of its end."""
    return step.status is StepStatus.RUNNING and not step.undecided and step.sandbox is not None


def awaits_answer(step: StepState) -> bool:
    """Whether a step waits without a sandbox, and nobody has answered yet."""
    return step.status is StepStatus.WAITING and step.answer is None


def is_current(state: State, step: str, attempt: int, sandbox: str) -> bool:
    """Whether this attempt is under way in this sandbox, and nothing was recorded of its end."""
    found = state.steps.get(step)
    return found is not None and is_running(found) and (found.attempt, found.sandbox) == (attempt, sandbox)


def compiled_of(state: State, instance: str) -> CompiledStep:
    """What is known of a step from its definition."""
    assert state.plan is not None
    return state.plan.step(instance)


def blocker(state: State, instance: str) -> str | None:
    """The step for whose failure nothing of this one starts any more; it is beside it, or around it."""
    plan = state.plan
    assert plan is not None
    if not state.failing:
        return None
    while True:
        compiled, scope = plan.step(instance), plan.scope_of(instance)
        if scope == FINALLY:
            return None
        found = state.scopes.get(scope)
        in_loop = compiled.loop is not None and not compiled.is_loop(instance)
        if found is not None and found.failed is not None and (in_loop or compiled.spec.join != "finished"):
            return found.failed
        if scope not in state.steps:
            return None
        instance = scope


def is_over(state: State, name: str) -> bool:
    """Whether a step has ended, or will never start because what it is part of is failing."""
    status = state.steps[name].status
    return status.terminal or (status is StepStatus.PENDING and blocker(state, name) is not None)


def next_ready(state: State, placement: str, now: float) -> str | None:
    """The step of a placement with an attempt that a sandbox may take now, of several the longest waiting."""
    plan = state.plan
    assert plan is not None
    mine = (name for name in state.active if plan.places(name, placement))
    ready = (name for name in mine if is_ready(state.steps[name]) and now >= state.steps[name].ready_at)
    return min(ready, key=lambda name: (state.steps[name].ready_at, *position(plan, name)), default=None)


def listed(state: State) -> list[tuple[str, StepState]]:
    """All steps for people: as in the definition, what is within a step after it, turns by their numbers, and
    the calls of an agent as it made them.
    """
    plan = state.plan
    if plan is None:
        return []
    indexes = {path: step.index for path, step in plan.steps.items()}

    def key(item: tuple[str, StepState]) -> list[int]:
        found: list[int] = []
        path = above = ""
        for part in item[0].split("."):
            name, _, number = part.partition("[")
            path = f"{path}.{name}" if path else name
            above = f"{above}.{part}" if above else part
            call = state.called.get(above) if state.called else None
            if call is not None:
                found += (len(indexes), call.order)
            else:
                found += (indexes[path], int(number[:-1]) if number else -1)
        return found

    return sorted(state.steps.items(), key=key)


def position(plan: Plan, instance: str) -> tuple[int, tuple[int, ...]]:
    """Where an instance stands among all, to sort by."""
    return plan.step(instance).index, order(instance)


def with_step(state: State, name: str, step: StepState) -> State:
    """The state with this step."""
    return replace(state, steps=state.steps.set(name, step))


def with_sandbox(state: State, name: str, sandbox: SandboxState) -> State:
    """The state with this sandbox."""
    return replace(state, sandboxes={**state.sandboxes, name: sandbox})
