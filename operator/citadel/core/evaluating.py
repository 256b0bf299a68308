"""What the expressions of a step instance see, and their values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.api.modifiers import ForEach
from citadel.core import events as ev
from citadel.core.calls import Call
from citadel.core.checking import hard_reads
from citadel.core.expressions import Expression, ExpressionError, Read
from citadel.core.failures import Failure
from citadel.core.instances import failed_step_of, turns, visible
from citadel.core.jsonvalues import MAX_BYTES, Json, canonical
from citadel.core.schemas import shown_value
from citadel.core.seen import calls_of, shown_call, shown_usage, usage_of
from citadel.core.state import State, StepState, compiled_of
from citadel.core.templates import Template, copy_path
from citadel.core.values import Inline, MissingValues, Stored, Value, Values

#: Bytes of JSON that one environment variable may take; Linux refuses 128 KiB.
MAX_VARIABLE = 64 * 1024


@dataclass(frozen=True)
class View:
    """An execution as seen by the expressions of one step instance; of none: as seen by the outputs."""

    state: State
    instance: str
    names: Mapping[str, str]
    """Definition paths of the steps that it sees, by name."""
    output: Value | None = None
    """What `output` stands for."""
    failure: Failure | None = None
    """What `error` stands for, where it is not what a handler handles."""

    def step(self, name: str) -> StepState:
        """The step that goes by this name here."""
        return self.state.steps.get(visible(self.instance, self.names[name]), _NEVER)

    def calls(self, name: str) -> list[tuple[str, Call]]:
        """The calls of tools that this step has made in its last attempt, in their order."""
        return calls_of(self.state, visible(self.instance, self.names[name]))

    def usage(self, name: str) -> ev.Usage | None:
        """What models took for this step, and for the agents that are its tools."""
        return usage_of(self.state, visible(self.instance, self.names[name]))

    def is_agent(self, name: str) -> bool:
        """Whether this step is an agent's."""
        assert self.state.plan is not None
        instance = visible(self.instance, self.names[name])
        compiled = self.state.plan.step(instance)
        return compiled.agent is not None and not compiled.is_loop(instance)


_NEVER = StepState()
#: Attributes that need more than the state of the step: its output, and its calls with what they took.
_WITH_OUTPUT: frozenset[str | None] = frozenset(("output", None))
_WITH_TOOLS: frozenset[str | None] = frozenset(("tools", None))
_WITH_USAGE: frozenset[str | None] = frozenset(("usage", None))


def view_of(state: State, instance: str, **also: Any) -> View:
    """What the expressions of a step see."""
    return View(state, instance, compiled_of(state, instance).names, **also)


@dataclass
class _Scope:
    """Values by root: those that are there, and those that are yet to be loaded."""

    found: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)


def scope(view: View, reads: Iterable[Read], names: frozenset[str], values: Values) -> dict[str, Any]:
    """What expressions see of what they name. Raises MissingValues."""
    state = view.state
    created = state.created
    assert created is not None
    wanted: dict[str, set[str | None]] = {}
    for read in reads:
        wanted.setdefault(read.step, set()).add(read.attribute)
    seen = _Scope()
    if "inputs" in names:
        seen.values["inputs"] = created.inputs
    if "output" in names and view.output is not None:
        seen.values["output"] = view.output
    if "execution" in names:
        seen.found["execution"] = _identity(state, created)
    if "error" in names:
        _add_error(view, seen)
    index = _add_turn(view, names, seen)
    # All at once: each round of loading is a round trip.
    needed = list(seen.values.values())
    for name, attributes in wanted.items():
        if attributes & _WITH_OUTPUT and (output := view.step(name).output) is not None:
            needed.append(output)
        if attributes & _WITH_TOOLS:
            needed += [call.arguments for _, call in view.calls(name)]
    if missing := values.missing(needed):
        raise MissingValues(missing)
    context = {name: values.get(value) for name, value in seen.values.items()} | seen.found
    if index is not None:
        items: Any = context["item"]
        context["item"] = items[index]
    if "steps" in names:
        context["steps"] = {name: _seen(view, name, found, values) for name, found in wanted.items()}
    return context


def _identity(state: State, created: ev.Created) -> dict[str, Json]:
    found: dict[str, Json] = {"name": created.name, "namespace": created.namespace, "uid": created.uid}
    if state.concluded is not None:
        found["phase"] = str(state.concluded.phase)
        if state.concluded.phase != "Succeeded":
            end = state.concluded
            found["error"] = {"step": end.step, "reason": end.reason, "message": end.message}
    return found


def _add_error(view: View, seen: _Scope) -> None:
    failure = view.failure
    if failure is None and (step := failed_step_of(view.instance)) is not None:
        failure = view.state.steps[step].failure
    if failure is not None:
        seen.found["error"] = {"reason": failure.reason, "message": failure.message}


def _add_turn(view: View, names: frozenset[str], seen: _Scope) -> int | None:
    """Adds what the loops around it say; returns the index of the item if that is wanted."""
    state = view.state
    if not names & {"item", "index", "iteration", "previous"}:
        return None
    position = None
    done: set[bool] = set()
    for loop, number in turns(view.instance):
        compiled = compiled_of(state, loop)
        if compiled.hidden:
            continue  # what a call is given, no expression reads
        assert compiled.loop is not None
        over_items = isinstance(compiled.loop.spec, ForEach)
        if over_items in done:
            continue
        done.add(over_items)
        if over_items:
            seen.found["index"] = number
            items = state.scopes[loop].items
            if "item" in names and items is not None:
                seen.values["item"] = items
                position = number
        else:
            seen.found["iteration"] = number
            before = state.steps.get(f"{loop}[{number - 1}]")
            # Absent at first, in the one way that `previous.?x` and has(previous.x) can see.
            known = before is not None and before.output is not None
            if "previous" in names:
                seen.values["previous"] = before.output if known else Inline({})  # type: ignore[union-attr,assignment]
    return position


def _seen(view: View, name: str, attributes: set[str | None], values: Values) -> dict[str, Json]:
    step = view.step(name)
    seen: dict[str, Json] = {"status": str(step.status)}
    if step.output is not None and attributes & _WITH_OUTPUT:
        seen["output"] = values.get(step.output)
    if attributes & _WITH_TOOLS and view.is_agent(name) and step.status.terminal:
        seen["tools"] = [shown_call(view.state, *call, values) for call in view.calls(name)]
    if attributes & _WITH_USAGE and step.status.terminal and (usage := view.usage(name)) is not None:
        seen["usage"] = shown_usage(usage)
    if step.failure is not None and step.status.terminal:
        seen["error"] = {"reason": step.failure.reason, "message": step.failure.message}
    return seen


def evaluate(view: View, template: Template, values: Values) -> Value:
    """The value of a template; a whole output is passed on by its digest, without being loaded."""
    path = template.plain_path
    if path is not None and len(path) == 3 and path[0] == "steps" and path[2] == "output":
        output = view.step(str(path[1])).output
        if output is not None:
            return output
    if path == ("output",) and view.output is not None:
        return view.output
    context = scope(view, template.reads, template.names, values)
    result = template.evaluate(context) if path is None else copy_path(context, path)
    return sized(values.put(result))


def output(view: View, template: Template, values: Values) -> Value:
    """The value of an output; raises ExpressionError also where it reads what was skipped."""
    if (read := lacking(view, template)) is not None:
        raise ExpressionError(f"step {read} was skipped and has no output; use .?output.orValue(…)")
    return evaluate(view, template, values)


def lacking(view: View, found: Template | Expression) -> str | None:
    """The first step that has no output, of those whose output must be there for this to make sense."""
    reads = sorted(hard_reads(found.reads))
    return next((read for read in reads if view.step(read).output is None), None)


def sized(value: Value) -> Value:
    """The value, unless it is larger than any may be: then raises ExpressionError."""
    if isinstance(value, Stored) and value.size > MAX_BYTES:
        raise ExpressionError(f"found {value.size} bytes of JSON, expected at most {MAX_BYTES}")
    return value


def holds(view: View, condition: Expression, values: Values) -> bool:
    """Whether a condition is true; raises ExpressionError when it is neither true nor false."""
    found = condition.evaluate(scope(view, condition.reads, condition.names, values))
    if not isinstance(found, bool):
        raise ExpressionError(f"found {shown_value(found)}, expected true or false")
    return found


def text_of(value: Value, values: Values) -> str:
    """An environment variable's value: strings raw, anything else compact JSON."""
    if isinstance(value, Stored) and value.size > MAX_VARIABLE:
        raise ExpressionError(
            f"found {value.size} bytes, expected at most {MAX_VARIABLE}; pass it in with instead"
        )
    content = values.get(value)
    return content if isinstance(content, str) else canonical(content).decode()
