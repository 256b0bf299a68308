"""The status of an Execution, from the journal's state and what is known of its sandboxes.

Bounded at any number of steps: at most 20 steps are named, outputs beyond 8 kB are named by digest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from citadel.api.conditions import Condition, merge
from citadel.api.execution import ExecutionStatus, Failure, LargeValue, Progress, StepSummary, UsageSummary
from citadel.api.reasons import ConditionType, Phase, Reason, StepStatus
from citadel.core.agents import busy
from citadel.core.events import Usage
from citadel.core.failures import shorten
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.core.spending import dollars
from citadel.core.state import State, StepState, compiled_of, listed
from citadel.core.summary import Summary, step_words, summarise

OUTPUTS_LIMIT = 8 * 1024
NAMED_STEPS = 20
#: Bytes of JSON that texts may take: a message stands in the status and in both conditions.
MESSAGE_LIMIT, STEP_LIMIT, FAILURE_LIMIT = 1024, 256, 2048
_NOTEWORTHY = (
    StepStatus.FAILED,
    StepStatus.CANCELLED,
    StepStatus.WAITING,
    StepStatus.RUNNING,
    StepStatus.BACKING_OFF,
    StepStatus.READY,
)


@dataclass(frozen=True)
class Isolation:
    """What the sandboxes of an execution, those that registered, found of the network around them."""

    proven: int = 0
    """How many reached the gateway and nothing that is forbidden."""
    unknown: int = 0
    """How many have not reported, or did not even reach what is permitted."""
    broken: int = 0
    """How many got an answer from what is forbidden."""
    answered: tuple[str, ...] = ()
    """What answered them."""


@dataclass(frozen=True)
class Observed:
    """Everything a status is made of."""

    state: State
    generation: int
    conditions: tuple[Condition, ...] = ()
    """Conditions the object has now: their transition times are kept."""
    outputs: Mapping[str, Json] | None = None
    waiting: str | None = None
    """Why a sandbox that is wanted does not run yet, as `Reason: message`."""
    isolation: Isolation = Isolation()
    """What its sandboxes found of the network around them."""


def timestamp(at: float) -> str:
    """RFC 3339, whole seconds, as metav1.Time."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def execution_status(observed: Observed) -> dict[str, Any]:
    """The whole status, as JSON."""
    state = observed.state
    summary = _with_waiting(summarise(state), observed)
    status = ExecutionStatus(
        observed_generation=observed.generation,
        phase=summary.phase,
        reason=summary.reason,
        message=summary.message or None,
        started_at=timestamp(state.created_at) if state.known else None,
        finished_at=timestamp(state.finished_at) if state.finished_at else None,
        duration=_duration(state),
        progress=_progress(state),
        steps=tuple(_steps(state)),
        failure=_failure(state),
        usage=usage_summary(state.usage),
        definition=state.created.definition if state.created else None,
        conditions=merge(
            observed.conditions,
            (*_conditions(state, summary, observed.generation), _isolation(observed)),
        ),
        **_outputs(observed.outputs),
    )
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def rejected_status(
    generation: int, conditions: Iterable[Condition], phase: Phase, reason: str, message: str, now: float
) -> dict[str, Any]:
    """The status of an execution that the journal does not know: it waits for something, or is lost."""
    finished = phase.terminal
    message = shorten(message, MESSAGE_LIMIT)
    summary = Summary(phase, reason, message)
    status = ExecutionStatus(
        observed_generation=generation,
        phase=phase,
        reason=reason,
        message=message,
        finished_at=timestamp(now) if finished else None,
        conditions=merge(conditions, _outcome(summary, finished, generation, now)),
    )
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def _with_waiting(summary: Summary, observed: Observed) -> Summary:
    idle = summary.phase in (Phase.PENDING, Phase.RUNNING) and summary.reason != Reason.CANCEL_REQUESTED
    state = observed.state
    running = any(
        step.status is StepStatus.RUNNING and not busy(state, name) for name, step in state.steps.items()
    )
    if observed.waiting is None or running or not idle:
        return summary
    reason, _, message = observed.waiting.partition(": ")
    # A scheduler or a registry may have much to say.
    return Summary(Phase.WAITING, reason, shorten(message, MESSAGE_LIMIT))


def _conditions(state: State, summary: Summary, generation: int) -> tuple[Condition, ...]:
    at = state.finished_at or state.created_at
    return _outcome(summary, state.finished is not None, generation, at)


def _isolation(observed: Observed) -> Condition:
    """Whether the network kept the sandboxes apart from everything, as they themselves found."""
    found, state = observed.isolation, observed.state
    total = found.proven + found.unknown + found.broken
    if found.broken:
        status, reason = "False", Reason.FORBIDDEN_ANSWERED
        message = f"{found.broken} of {total} sandboxes got an answer from {', '.join(found.answered)}"
    elif found.proven and not found.unknown:
        status, reason = "True", Reason.PROVEN
        message = f"{total} of {total} sandboxes reached the gateway, and nothing that is forbidden"
    else:
        status, reason = "Unknown", Reason.NOT_PROVEN
        message = f"{found.unknown} of {total} sandboxes have not proven it" if total else "no sandbox yet"
    return Condition.model_validate(
        {
            "type": ConditionType.NETWORK_ISOLATED,
            "status": status,
            "reason": reason,
            "message": message,
            "last_transition_time": timestamp(state.finished_at or state.created_at),
            "observed_generation": observed.generation,
        }
    )


def _outcome(summary: Summary, finished: bool, generation: int, at: float) -> tuple[Condition, ...]:
    succeeded = "Unknown"
    if finished:
        succeeded = "True" if summary.phase is Phase.SUCCEEDED else "False"
    wanted = {ConditionType.SUCCEEDED: succeeded, ConditionType.FINISHED: "True" if finished else "False"}
    # For kstatus, by which Flux and others wait. It takes an object that has neither for what was asked for,
    # as one is that succeeded, or that was ended as its spec says.
    if not finished:
        wanted[ConditionType.RECONCILING] = "True"
    elif summary.phase in (Phase.FAILED, Phase.TIMED_OUT):
        wanted[ConditionType.STALLED] = "True"
    return tuple(
        Condition(
            type=kind,
            status=status,
            reason=summary.reason,
            message=summary.message,
            last_transition_time=timestamp(at),
            observed_generation=generation,
        )
        for kind, status in wanted.items()
    )


def _progress(state: State) -> Progress | None:
    if state.created is None:
        return None
    done, total = state.ended_steps, state.total_steps
    return Progress(done=done, total=total, text=f"{done}/{total}")


def _duration(state: State) -> str | None:
    if state.finished_at is None:
        return None
    seconds = max(0.0, state.finished_at - state.created_at)
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _steps(state: State) -> Iterable[StepSummary]:
    named = sorted(
        (_rank(state, name, step), name) for name, step in listed(state) if step.status in _NOTEWORTHY
    )
    for _, name in named[:NAMED_STEPS]:
        step = state.steps[name]
        reason, message = step_words(state, name)
        yield StepSummary(
            name=name,
            status=step.status,
            reason=reason,
            message=shorten(message or "", STEP_LIMIT) or None,
            attempt=step.attempt or None,
            usage=usage_summary(step.usage),
        )


def _rank(state: State, name: str, step: StepState) -> int:
    """How noteworthy a step is: what a tool of an agent came to least, which is the agent's own business."""
    rank = _NOTEWORTHY.index(step.status)
    over = state.calls and step.status.terminal and compiled_of(state, name).hidden
    return rank + len(_NOTEWORTHY) if over else rank


def usage_summary(usage: Usage | None) -> UsageSummary | None:
    """What models took, for people."""
    if usage is None:
        return None
    return UsageSummary(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
        cost=dollars(usage.cost),
        estimated=usage.estimated,
    )


def _failure(state: State) -> Failure | None:
    finished = state.finished
    if finished is None or finished.phase != Phase.FAILED:
        return None
    step = state.steps.get(finished.step) if finished.step else None
    if step is None or step.failure is None:
        return Failure(reason=finished.reason, message=finished.message)
    failure = step.failure
    detail = f"{failure.message}\n{failure.traceback}" if failure.traceback else failure.message
    return Failure(
        step=finished.step,
        attempt=step.attempt or None,
        reason=failure.reason,
        message=shorten(detail, FAILURE_LIMIT),
        log_tail=failure.log_tail or None,
    )


def _outputs(outputs: Mapping[str, Json] | None) -> dict[str, Any]:
    if outputs is None:
        return {}
    encoded = canonical(dict(outputs))
    if len(encoded) <= OUTPUTS_LIMIT:
        return {"outputs": dict(outputs)}
    return {"large_outputs": LargeValue(digest=digest(encoded), size=len(encoded))}
