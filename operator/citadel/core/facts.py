"""Which facts still change anything: what is decided stays decided, a repetition is no news."""

from citadel.core import events as ev
from citadel.core.agents import may_call
from citadel.core.state import State, StepState, awaits_answer, is_current, is_ready, is_running


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
        case ev.SignalReceived(id=id_):
            return id_ not in state.signal_ids
        case ev.ApprovalDecided(step=name):
            return _is_waiting(state, name)
        case ev.ChildFinished() | ev.ModelAnswered() | ev.ToolAnswered():
            return _is_waiting(state, fact.step) and state.steps[fact.step].attempt == fact.attempt
        case ev.ToolCalled():
            may = may_call(state, fact.step, fact.attempt, fact.call)
            return may and fact.sandbox in (None, state.steps[fact.step].sandbox)
        case ev.StopRequested(mode=mode):
            return state.stop is None or (state.stop.mode == "Cancel" and mode == "Terminate")
        case ev.SuspendChanged(suspended=suspended, generation=generation):
            # A newer generation counts even when it says the same: an older one that comes late must not.
            news = suspended or state.suspended or generation > 1
            return news and generation > state.suspend_generation
    return True


def _is_placing(step: StepState, fact: ev.Assigned | ev.Delivered) -> bool:
    return (step.attempt, step.placing) == (fact.attempt, fact.placing)


def _is_waiting(state: State, name: str) -> bool:
    step = state.steps.get(name)
    return step is not None and awaits_answer(step)
