"""An execution in a few words: phase, reason and message for people."""

from dataclasses import dataclass

from citadel.api.reasons import Phase, Reason, StepStatus
from citadel.core.state import State


@dataclass(frozen=True)
class Summary:
    """What a row of `kubectl get executions` says."""

    phase: Phase
    reason: str
    message: str


def summarise(state: State) -> Summary:
    """The summary of a state, as far as the journal alone can tell."""
    if state.finished is not None:
        return Summary(Phase(state.finished.phase), state.finished.reason, state.finished.message)
    if not state.known:
        return Summary(Phase.PENDING, Reason.ACCEPTED, "")
    running = [name for name in state.active if state.steps[name].status is StepStatus.RUNNING]
    if state.stop is not None:
        return Summary(Phase.RUNNING, Reason.CANCEL_REQUESTED, state.stop.message)
    if state.suspended and not running:
        return Summary(Phase.SUSPENDED, Reason.SUSPENDED, "spec.suspend is true")
    if state.ended_steps == 0 and not running:
        return Summary(Phase.PENDING, Reason.ACCEPTED, "")
    return Summary(Phase.RUNNING, Reason.RUNNING, "")
