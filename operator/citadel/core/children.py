"""Executions that steps want of other workflows: which these are, and what they are called. Pure.

Nothing is kept of them beside the log: their names follow from the step and the attempt that wait for them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from citadel.api.reasons import Phase, Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json, digest
from citadel.core.state import State, awaits_answer, position
from citadel.core.values import Stored, Value, Values, decode_value

#: How many executions may be within each other, the outermost one included.
MAX_DEPTH = 8
_NAME_LIMIT = 200
#: Why an execution fails that would fail again.
_FINAL = frozenset((Reason.INVALID_SPEC, Reason.INVALID_INPUTS, Reason.REJECTED, Reason.BUDGET_EXCEEDED))
_ENDS = {Phase.CANCELLED: "was cancelled", Phase.TIMED_OUT: "timed out"}


@dataclass(frozen=True)
class Child:
    """An execution that a step waits for."""

    step: str
    attempt: int
    name: str
    workflow: str
    payload: Value
    revision: str | None = None
    no_cache: bool = False
    """Whether it runs steps that have a cache whatever is known: as the one that wants it does."""

    @property
    def reference(self) -> dict[str, str]:
        """The workflow that is run, as an Execution names it."""
        return {"name": self.workflow, **({"revision": self.revision} if self.revision else {})}

    @property
    def title(self) -> str:
        """What people are told of it."""
        return f"Execution {self.name} (Workflow {self.workflow})"


def child_name(parent: str, uid: str, step: str, attempt: int) -> str:
    """The name of the execution for an attempt of a step; `parent` and `uid` are of the one that wants it."""
    # A loop may want ten thousand: 12 digits keep them apart.
    told = digest(f"{uid}/{step}/{attempt}".encode()).removeprefix("sha256:")[:12]
    return f"{parent[:_NAME_LIMIT].rstrip('-.')}-{told}"


def name_for(state: State, step: str) -> str | None:
    """The execution of the current or last attempt of a step; None where it never wanted one."""
    found = state.steps[step]
    if state.plan is None or state.created is None or not found.attempt:
        return None
    if state.plan.step(step).spec.workflow is None or state.plan.step(step).is_loop(step):
        return None
    return child_name(state.created.name, state.created.uid, step, found.attempt)


def wanted(state: State) -> Iterator[Child]:
    """The executions that steps wait for now."""
    if state.finished is not None or state.plan is None:
        return
    plan = state.plan
    for step in sorted(state.active, key=lambda name: position(plan, name)):
        child = child_of(state, step)
        if child is not None:
            yield child


def child_of(state: State, step: str) -> Child | None:
    """The execution that a step waits for; None when it waits for none."""
    found = state.steps.get(step)
    if found is None or not awaits_answer(found):
        return None
    assert state.plan is not None
    spec, name = state.plan.step(step).spec, name_for(state, step)
    if spec.workflow is None or name is None:
        return None
    assert found.payload is not None
    assert state.created is not None
    called, no_cache = spec.workflow, state.created.no_cache
    return Child(step, found.attempt, name, called.name, found.payload, called.revision, no_cache)


def digests(payload: Json) -> list[str]:
    """The digests that the arguments of a payload name."""
    return [value.digest for value in _arguments(payload).values() if isinstance(value, Stored)]


def inputs_of(payload: Json, values: Values) -> dict[str, Json]:
    """What the execution is given; raises MissingValues."""
    return {name: values.get(value) for name, value in _arguments(payload).items()}


def _arguments(payload: Any) -> Mapping[str, Value]:
    return {name: decode_value(encoded) for name, encoded in payload["arguments"].items()}


def ended(parent: State, child: Child, state: State, outputs: Json, values: Values) -> ev.ChildFinished:
    """The fact that an execution which a step waits for has ended; `outputs` are those of `state`."""
    finished = state.finished
    assert finished is not None
    if finished.phase == Phase.SUCCEEDED:
        result = values.put(outputs if isinstance(outputs, dict) else {})
        return ev.ChildFinished(child.step, child.attempt, finished.phase, result)
    verb = _ENDS.get(Phase(finished.phase), "failed")
    why = f"{finished.reason}: {finished.message}" if finished.message else finished.reason
    asked = finished.phase == Phase.CANCELLED and parent.stopping
    reason = Reason.CANCELLED if asked else Reason.CHILD_FAILED
    step = state.steps.get(finished.step) if finished.step is not None else None
    final = finished.reason in _FINAL or (
        step is not None and step.failure is not None and step.failure.final
    )
    return failed(child, f"{child.title} {verb}: {why}", reason, Phase(finished.phase), final=final)


def failed(
    child: Child,
    message: str,
    reason: Reason = Reason.CHILD_FAILED,
    phase: Phase = Phase.FAILED,
    *,
    final: bool = False,
) -> ev.ChildFinished:
    """The fact that an execution which a step waits for gives nothing; if `final`, nor would another."""
    failure = replace(Failure.cut(reason, message), final=final)
    return ev.ChildFinished(child.step, child.attempt, phase, None, failure)


def too_deep(child: Child, chain: list[str]) -> ev.ChildFinished:
    """The fact that executions would be too deep within each other; `chain` names their workflows."""
    told = " > ".join((*chain, child.workflow))
    message = f"found {len(chain) + 1} executions within each other, expected at most {MAX_DEPTH}: {told}"
    return failed(child, message, final=True)
