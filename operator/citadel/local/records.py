"""What is known of an execution that has run, and of those within it: what became of each step, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from citadel.api.reasons import StepStatus
from citadel.core import events as ev
from citadel.core.children import name_for
from citadel.core.events import Usage
from citadel.core.failures import Failure
from citadel.core.instances import ON_ERROR, definition
from citadel.core.jsonvalues import Json
from citadel.core.seen import calls_of, shown_call, shown_usage, usage_of
from citadel.core.state import State, StepState, listed
from citadel.core.values import ByReference, Stored, Value, Values, decode
from citadel.store.journal import Advance, json_of
from citadel.store.memory import MemoryJournal

_BEGINNINGS = (ev.Assigned, ev.StepWaiting, ev.ChildWanted, ev.StepCompleted, ev.StepFailed)
_ENDS = (ev.AttemptSucceeded, ev.StepCompleted, ev.StepFailed, ev.StepRecalled)


class Recorder(MemoryJournal):
    """A journal that keeps the order of all events of its executions."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.events: list[tuple[str, ev.Event]] = []
        self.states: dict[str, State] = {}
        """By the names of executions."""

    async def advance(self, uid: str, facts: Sequence[ev.Event] = (), **more: Any) -> Advance:
        """Appends facts and what follows from them; see `Journal.advance`."""
        advance = await super().advance(uid, facts, **more)
        self.events += [(uid, event) for event in advance.events]
        if advance.state.created is not None:
            self.states[advance.state.created.name] = advance.state
        return advance


@dataclass(frozen=True)
class StepRecord:
    """What became of a step."""

    path: str
    status: str = "Pending"
    why: str = ""
    """Why it was skipped, or failed."""
    output: Json = None
    has_output: bool = False
    arguments: dict[str, Json] | None = None
    attempts: int = 0
    failure: Failure | None = None
    log: str = ""
    tools: tuple[Json, ...] | None = None
    """The calls of an agent, as expressions see them."""
    usage: Json = None

    def seen(self) -> dict[str, Json]:
        """What expressions see of it."""
        found: dict[str, Json] = {"status": self.status}
        if self.has_output:
            found["output"] = self.output
        if self.failure is not None:
            found["error"] = {"reason": self.failure.reason, "message": self.failure.message}
        if self.tools is not None:
            found["tools"] = list(self.tools)
        if self.usage is not None:
            found["usage"] = self.usage
        return found


@dataclass
class Record:
    """What became of an execution."""

    phase: str
    reason: str
    message: str
    step: str | None = None
    inputs: Json = None
    outputs: dict[str, Json] = field(default_factory=dict)
    steps: dict[str, StepRecord] = field(default_factory=dict)
    """By instance; those within other executions behind the step that runs these: `bill/charge`."""
    ran: list[str] = field(default_factory=list)
    """Steps that did something, in the order in which they began."""
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    """When each of these began and ended, by the number of the event."""

    def at(self, path: str) -> StepRecord:
        """The record of a step; one that never began is Pending."""
        return self.steps.get(path, StepRecord(path))

    def span(self, steps: Sequence[str]) -> tuple[int, int]:
        """When the first of these steps began, and the last one ended."""
        spans = [self.spans[step] for step in steps]
        return min(began for began, _ in spans), max(ended for _, ended in spans)


async def record(journal: Recorder, state: State, logs: Mapping[str, str]) -> Record:
    """What became of an execution; `logs` is what its steps printed, by their paths."""
    finished, created = state.finished, state.created
    assert finished is not None
    assert created is not None
    outputs = None if finished.outputs is None else await json_of(journal, created.uid, finished.outputs)
    found = Record(
        phase=str(finished.phase),
        reason=finished.reason,
        message=finished.message,
        step=finished.step,
        inputs=await json_of(journal, created.uid, created.inputs),
        outputs=outputs if isinstance(outputs, dict) else {},
    )
    spans = _spans(journal)
    await _add(found, journal, state, "", spans, logs)
    found.ran.sort(key=lambda step: found.spans[step])
    return found


def _spans(journal: Recorder) -> dict[tuple[str, str], tuple[int, int]]:
    """When each step of each execution began and ended; who never ended, never does."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for number, (uid, event) in enumerate(journal.events):
        step = getattr(event, "step", None)
        if step is None or not isinstance(event, _BEGINNINGS + _ENDS):
            continue
        began, _ = found.get((uid, step), (number, 0))
        found[uid, step] = began, number if isinstance(event, _ENDS) else len(journal.events)
    return found


async def _add(
    found: Record,
    journal: Recorder,
    state: State,
    prefix: str,
    spans: Mapping[tuple[str, str], tuple[int, int]],
    logs: Mapping[str, str],
) -> None:
    """Adds the steps of an execution, and of those within it."""
    assert state.created is not None
    plan, uid = state.plan, state.created.uid
    assert plan is not None
    attempts: dict[str, int] = {}
    for name, step in listed(state):
        compiled = plan.step(name)
        if compiled.builds is not None:
            continue
        path = f"{prefix}{name}"
        leaf = not (compiled.children or compiled.is_loop(name) or name.endswith(f".{ON_ERROR}"))
        attempts[definition(name)] = attempts.get(definition(name), 0) + (step.attempt if leaf else 0)
        record = await _of(journal, uid, path, step, logs.get(path, ""), usage_of(state, name))
        if compiled.agent is not None and not compiled.is_loop(name):
            record = replace(record, tools=await _tools(journal, state, name))
        found.steps[path] = record
        if leaf and (uid, name) in spans and step.status is not StepStatus.SKIPPED:
            found.ran.append(path)
            found.spans[path] = spans[uid, name]
        child = journal.states.get(name_for(state, name) or "")
        if child is not None and child.plan is not None:
            await _add(found, journal, child, f"{path}/", spans, logs)
    for name, _ in listed(state):
        if plan.step(name).is_loop(name) and definition(name) == name:
            of_loop = found.steps[f"{prefix}{name}"]
            found.steps[f"{prefix}{name}"] = replace(of_loop, attempts=attempts[name])


async def _of(
    journal: Recorder, uid: str, path: str, step: StepState, log: str, usage: Usage | None
) -> StepRecord:
    status = "Pending" if step.status is StepStatus.READY and step.attempt < 1 else str(step.status)
    failure = step.failure
    why = f"{failure.reason}: {failure.message}" if failure else step.message or step.reason or ""
    return StepRecord(
        path,
        status,
        why,
        output=None if step.output is None else await json_of(journal, uid, step.output),
        has_output=step.output is not None,
        arguments=await _arguments(journal, uid, step.payload),
        attempts=step.attempt,
        failure=failure,
        log=log,
        usage=None if usage is None else shown_usage(usage),
    )


async def _tools(journal: Recorder, state: State, name: str) -> tuple[Json, ...]:
    """The calls of an agent's last attempt."""
    assert state.created is not None
    calls = calls_of(state, name)
    needed = [call.arguments.digest for _, call in calls if isinstance(call.arguments, Stored)]
    values = Values(loaded=dict(await journal.values(state.created.uid, needed)))
    return tuple(shown_call(state, instance, call, values) for instance, call in calls)


async def _arguments(journal: Recorder, uid: str, payload: Value | None) -> dict[str, Json] | None:
    """What a step was given, without what came by reference."""
    if payload is None:
        return None
    given: Any = await json_of(journal, uid, payload)
    found: dict[str, Json] = {}
    for name, encoded in given.get("arguments", {}).items():
        value = decode(encoded)
        if not isinstance(value, ByReference):
            found[name] = await json_of(journal, uid, value)
    return found
