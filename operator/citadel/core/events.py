"""What can happen to an execution: the vocabulary of its log.

Facts come from outside and carry a unique key, so that repeating one changes nothing; decisions follow from
them. Every event is small: large values are named by digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from citadel.core.failures import Failure
from citadel.core.values import Content, Value


@dataclass(frozen=True)
class Usage:
    """What calls of models took: tokens, and money in millionths of a millionth of a dollar."""

    model: str
    """The Model that was asked last."""
    provider: str
    input_tokens: int
    output_tokens: int
    cost: int
    calls: int = 1
    estimated: bool = False
    """Whether there are calls among them that count all they could have taken."""


@dataclass(frozen=True)
class Event:
    """Base of all events. `key` is unique within an execution for facts, None for decisions."""

    @property
    def key(self) -> str | None:
        return None


# ---- facts


@dataclass(frozen=True)
class Created(Event):
    """The execution was taken in, with its definition pinned by digest and its inputs filled in."""

    name: str
    namespace: str
    uid: str
    workflow: str
    definition: str
    inputs: Value
    recalled: Value | None = None
    """What an earlier execution has recorded and this one takes over: `{instance: {output, artifacts}}`."""
    rerun_of: str | None = None
    """The name of that execution."""
    no_cache: bool = False
    """Whether steps with a cache run whatever is known."""
    since: float | None = None
    """When it was asked for, where its turn depends on that."""
    around: tuple[str, ...] = ()
    """The uids of the executions that it is within, where its turn depends on them."""
    among: str | None = None
    """What its concurrency group is of, where that is not the namespace."""

    @property
    def key(self) -> str:
        return "created"


@dataclass(frozen=True)
class Rejected(Event):
    """The execution cannot run as it was written; it ends Failed without having started."""

    name: str
    namespace: str
    uid: str
    workflow: str
    failure: Failure

    @property
    def key(self) -> str:
        return "created"


@dataclass(frozen=True)
class Assigned(Event):
    """A polling sandbox got an attempt. Arguments by reference are not `delivered` before they are sealed."""

    step: str
    attempt: int
    placing: int
    sandbox: str
    delivered: bool

    @property
    def key(self) -> str:
        return f"assigned:{self.step}:{self.attempt}:{self.placing}"


@dataclass(frozen=True)
class Delivered(Event):
    """The sealed arguments of an assigned attempt were handed to its sandbox: from here its code may run."""

    step: str
    attempt: int
    placing: int

    @property
    def key(self) -> str:
        return f"delivered:{self.step}:{self.attempt}:{self.placing}"


@dataclass(frozen=True)
class AttemptSucceeded(Event):
    """The sandbox reported the output of an attempt."""

    step: str
    attempt: int
    sandbox: str
    output: Value
    artifacts: Mapping[str, Content] = field(default_factory=dict)
    """What it left under each name."""
    usage: Usage | None = None
    """What the models took that it asked, where whoever reports it knows."""

    @property
    def key(self) -> str:
        return f"result:{self.step}:{self.attempt}"


@dataclass(frozen=True)
class AttemptFailed(Event):
    """An attempt failed: reported by its sandbox, found by the controller, or decided by a timeout."""

    step: str
    attempt: int
    sandbox: str
    failure: Failure
    usage: Usage | None = None
    """What the models took that it asked, where whoever reports it knows."""

    @property
    def key(self) -> str:
        return f"result:{self.step}:{self.attempt}"


@dataclass(frozen=True)
class SandboxRegistered(Event):
    """The runner of a sandbox has registered."""

    sandbox: str

    @property
    def key(self) -> str:
        return f"registered:{self.sandbox}"


@dataclass(frozen=True)
class SandboxEnded(Event):
    """A sandbox is gone, or could not be started; `failure` says why."""

    sandbox: str
    failure: Failure

    @property
    def key(self) -> str:
        return f"ended:{self.sandbox}"


@dataclass(frozen=True)
class StopRequested(Event):
    """Somebody wants it stopped: `Cancel` with a grace period, `Terminate` at once."""

    mode: str
    reason: str
    message: str

    @property
    def key(self) -> str:
        return f"stop:{self.mode}"


@dataclass(frozen=True)
class SuspendChanged(Event):
    """Starting new work was suspended or resumed, by the spec of this generation."""

    suspended: bool
    generation: int

    @property
    def key(self) -> str:
        return f"suspend:{self.generation}"


@dataclass(frozen=True)
class SignalReceived(Event):
    """Somebody sent a signal. It is kept until a step takes it; one of the same id is the same signal."""

    name: str
    id: str
    payload: Value

    @property
    def key(self) -> str:
        return f"signal:{self.id}"


@dataclass(frozen=True)
class ApprovalDecided(Event):
    """An approver has decided. `at` is when, in seconds since the epoch."""

    step: str
    approved: bool
    by: str
    reason: str
    form: Value
    at: float

    @property
    def key(self) -> str:
        return f"approval:{self.step}"


@dataclass(frozen=True)
class ChildFinished(Event):
    """The execution of another workflow, which a step waits for, has ended."""

    step: str
    attempt: int
    phase: str
    outputs: Value | None = None
    failure: Failure | None = None

    @property
    def key(self) -> str:
        return f"child:{self.step}:{self.attempt}"


@dataclass(frozen=True)
class ModelAnswered(Event):
    """The call of a model, which a step waits for, has ended: with an output, or with a failure."""

    step: str
    attempt: int
    output: Value | None = None
    failure: Failure | None = None
    usage: Usage | None = None

    @property
    def key(self) -> str:
        return f"model:{self.step}:{self.attempt}"


@dataclass(frozen=True)
class ToolCalled(Event):
    """An agent called a tool, whether it may or not."""

    step: str
    """The agent step."""
    attempt: int
    call: str
    """By what one call is told from any other of the attempt."""
    tool: str
    """What the agent calls it."""
    arguments: Value
    sandbox: str | None = None
    """Where it called from: only the sandbox that has the attempt may. None where there is one alone."""

    @property
    def key(self) -> str:
        return f"tool:{self.step}:{self.attempt}:{self.call}"


@dataclass(frozen=True)
class ToolAnswered(Event):
    """The call of a tool outside of sandboxes, which a step waits for, has ended."""

    step: str
    attempt: int
    output: Value | None = None
    failure: Failure | None = None

    @property
    def key(self) -> str:
        return f"answered:{self.step}:{self.attempt}"


# ---- decisions


@dataclass(frozen=True)
class Queued(Event):
    """The execution belongs to a concurrency group, and waits for its turn there."""

    group: str
    limit: int


@dataclass(frozen=True)
class Admitted(Event):
    """It is the execution's turn, until it has ended."""

    @property
    def key(self) -> str:
        return "admitted"


@dataclass(frozen=True)
class StepReady(Event):
    """The step can run. `payload` holds its evaluated arguments and environment, for all its attempts."""

    step: str
    payload: Value
    references: bool
    cache: str | None = None
    """Digest under which its output will be known."""


@dataclass(frozen=True)
class StepRecalled(Event):
    """The step does not run: what it would give is known from an earlier time."""

    step: str
    output: Value
    artifacts: Mapping[str, Content] = field(default_factory=dict)
    failure: Failure | None = None
    """What its handler has handled then."""
    source: str = "build"
    """Whence it is known: `build`, `cache`, or `execution` for what a rerun takes over."""
    origin: str | None = None
    """The execution that recorded it."""


@dataclass(frozen=True)
class StepOpened(Event):
    """A group of steps, or a loop, begins: what is part of it may start. A loop over items has their list."""

    step: str
    items: Value | None = None
    count: int = 0


@dataclass(frozen=True)
class StepWaiting(Event):
    """The step waits for a time, a signal or people. `payload` is what these are shown."""

    step: str
    until: float | None = None
    """Seconds since the epoch."""
    payload: Value | None = None


@dataclass(frozen=True)
class ChildWanted(Event):
    """An execution of another workflow shall exist, on `payload` as its inputs."""

    step: str
    attempt: int
    payload: Value
    until: float | None = None
    """When it is waited for no longer."""


@dataclass(frozen=True)
class ModelWanted(Event):
    """A model shall be asked what `payload` says."""

    step: str
    attempt: int
    payload: Value
    until: float | None = None
    """When it is waited for no longer."""
    cache: str | None = None
    """Digest under which its output will be known."""


@dataclass(frozen=True)
class ToolWanted(Event):
    """A tool shall be called outside of sandboxes, as `payload` says."""

    step: str
    attempt: int
    payload: Value
    until: float | None = None
    """When it is waited for no longer."""
    cache: str | None = None
    """Digest under which its output will be known."""


@dataclass(frozen=True)
class StepCompleted(Event):
    """A step that needs no sandbox of its own has its output. `signal` names the signal that it took."""

    step: str
    output: Value
    failure: Failure | None = None
    """What its handler has handled."""
    signal: str | None = None


@dataclass(frozen=True)
class HandlerOpened(Event):
    """The step failed for good, and its handler begins."""

    step: str
    failure: Failure


@dataclass(frozen=True)
class StepSkipped(Event):
    """The step will not run."""

    step: str
    reason: str
    message: str


@dataclass(frozen=True)
class StepFailed(Event):
    """The step failed for good."""

    step: str
    failure: Failure


@dataclass(frozen=True)
class RetryScheduled(Event):
    """Another attempt follows the failed one, not before `not_before` (seconds since the epoch)."""

    step: str
    attempt: int
    not_before: float


@dataclass(frozen=True)
class SandboxWanted(Event):
    """A sandbox for this placement shall exist; one that is `claimed` from a pool has registered already."""

    sandbox: str
    placement: str
    claimed: bool = False


@dataclass(frozen=True)
class SandboxReleased(Event):
    """The sandbox has no more work: it shall end."""

    sandbox: str
    reason: str


@dataclass(frozen=True)
class Concluded(Event):
    """How the execution ends is decided; compensations and `finally` follow."""

    phase: str
    reason: str
    message: str
    outputs: Value | None = None
    step: str | None = None


@dataclass(frozen=True)
class Finished(Event):
    """The execution is over. Nothing follows."""

    phase: str
    reason: str
    message: str
    outputs: Value | None = None
    step: str | None = None
