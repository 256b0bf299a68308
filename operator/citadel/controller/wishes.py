"""What people ask of an execution through its object: to stop, to pause, to go on. Pure."""

from typing import Any

from citadel.api.execution import ExecutionSpec
from citadel.api.reasons import Reason
from citadel.api.validate import InvalidObject, parse
from citadel.core import events as ev
from citadel.core.state import State
from citadel.kube.resources import Object


def requests(obj: Object, state: State) -> list[ev.Event]:
    """What the object asks for, and the journal does not say yet."""
    if state.finished is not None:
        return []
    try:
        spec = parse("Execution", obj)
    except InvalidObject:
        return []
    assert isinstance(spec, ExecutionSpec)
    facts: list[ev.Event] = []
    for fact in wishes(spec, obj["metadata"].get("generation", 1), initially=False):
        if isinstance(fact, ev.SuspendChanged) and (state.stop or fact.suspended == state.suspended):
            continue
        asked = state.stop.mode if state.stop is not None else None
        if isinstance(fact, ev.StopRequested) and asked in (fact.mode, "Terminate"):
            continue
        facts.append(fact)
    return facts


def wishes(spec: ExecutionSpec, generation: int, *, initially: bool = True) -> list[ev.Event]:
    """The facts that `stop` and `suspend` of a spec state."""
    facts: list[ev.Event] = []
    if spec.suspend or not initially:
        facts.append(ev.SuspendChanged(spec.suspend, generation))
    if spec.stop is not None:
        reason = Reason.CANCELLED if spec.stop == "Cancel" else Reason.TERMINATED
        facts.append(ev.StopRequested(spec.stop, reason, f"spec.stop is {spec.stop}"))
    return facts


def target(obj: Object) -> str:
    """The name of the workflow that an object means, as far as one can tell."""
    found: Any = obj
    for name in ("spec", "workflowRef", "name"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
