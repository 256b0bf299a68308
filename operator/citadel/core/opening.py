"""A step is due: it becomes ready, opens, waits, completes, is skipped, or fails by an expression."""

from citadel.api.durations import LONGEST, moment, seconds
from citadel.api.reasons import Reason, StepStatus
from citadel.core import events as ev
from citadel.core.agents import given, refusal, task_of
from citadel.core.bounds import misfit
from citadel.core.compiled import CompiledStep
from citadel.core.evaluating import View, evaluate, holds, lacking, text_of, view_of
from citadel.core.expressions import Expression, ExpressionError
from citadel.core.failing import completed, expression_failure, failed
from citadel.core.failures import Failure, shorten
from citadel.core.instances import COMPENSATE, turn, visible
from citadel.core.jsonvalues import MAX_BYTES, Json, canonical
from citadel.core.outside import answer_until
from citadel.core.recalling import cache_key, from_cache, recalled
from citadel.core.schemas import shown_value
from citadel.core.state import State
from citadel.core.templates import Template
from citadel.core.values import ByReference, Value, Values, encode

#: Items of one loop.
MAX_ITEMS = 10_000


class _Misfit(Exception):
    """The arguments of a tool are not what it takes."""


class _At:
    """Which field of a step is being evaluated."""

    def __init__(self) -> None:
        self.field = "when"


def due(state: State, name: str, values: Values, now: float) -> ev.Event | None:
    """What becomes of a step, or of a turn of a loop, that is due; None while its code is being built.

    Raises MissingValues.
    """
    assert state.plan is not None
    compiled = state.plan.step(name)
    if (known := recalled(state, compiled, name, values)) is not None:
        return known
    if turn(name) is None and (skipped := _without_what_it_reads(state, compiled, name)) is not None:
        return skipped
    at = _At()
    view = _view(state, compiled, name)
    if (refused := refusal(state, name, compiled, values)) is not None:
        return ev.StepFailed(name, refused)
    try:
        asked = compiled.when if compiled.per_item == (turn(name) is not None) else None
        if asked is not None and not holds(view, asked, values):
            message = shorten(f"when: {compiled.spec.when}", 256)
            return ev.StepSkipped(name, Reason.CONDITION_FALSE, message)
        if compiled.is_loop(name):
            return _open_loop(view, compiled, name, values, at)
        if compiled.children:
            return ev.StepOpened(name)
        return _act(view, compiled, name, values, now, at)
    except _Misfit as error:
        return failed(state, name, Failure.cut(Reason.TOOL_REFUSED, f"step {name}, with: {error}"), values)
    except ExpressionError as error:
        return failed(state, name, expression_failure(name, at.field, error), values)


def _view(state: State, compiled: CompiledStep, name: str) -> View:
    if name.endswith(f".{COMPENSATE}"):
        return view_of(state, name, output=state.steps[name.removesuffix(f".{COMPENSATE}")].output)
    return view_of(state, name)


def _without_what_it_reads(state: State, compiled: CompiledStep, name: str) -> ev.Event | None:
    for path in sorted(compiled.hard_reads):
        if state.steps[visible(name, path)].output is None:
            return _skipped_for(state, name, path)
    return None


def _skipped_for(state: State, name: str, path: str) -> ev.Event:
    """A step is skipped, as it reads the output of one that has none."""
    message = f"step {path} is {state.steps[visible(name, path)].status} and has no output"
    return ev.StepSkipped(name, Reason.DEPENDENCY_SKIPPED, message)


def _open_loop(view: View, compiled: CompiledStep, name: str, values: Values, at: _At) -> ev.Event:
    assert compiled.loop is not None
    if compiled.loop.items is None:
        return ev.StepOpened(name)
    at.field = "forEach.items"
    found = values.get(evaluate(view, compiled.loop.items, values))
    if isinstance(found, dict):
        found = [{"key": key, "value": found[key]} for key in sorted(found)]
    if not isinstance(found, list):
        raise ExpressionError(f"found {shown_value(found)}, expected a list or a map")
    if len(found) > MAX_ITEMS:
        raise ExpressionError(f"found {len(found)} items, expected at most {MAX_ITEMS}")
    return ev.StepOpened(name, values.put(found), len(found))


def _act(
    view: View, compiled: CompiledStep, name: str, values: Values, now: float, at: _At
) -> ev.Event | None:
    match compiled.spec.action:
        case "switch":
            return _switch(view, compiled, name, values, at)
        case "wait":
            wait = compiled.spec.wait
            at.field = "wait.until" if wait is not None and wait.until is not None else "wait.for"
            return ev.StepWaiting(name, _until(view, compiled, values, now))
        case "approval":
            arguments = _arguments(view, compiled, values, at)
            until = None if compiled.timeout is None else now + compiled.timeout
            return ev.StepWaiting(name, until, values.put({"arguments": arguments}))
        case "workflow":
            arguments = _arguments(view, compiled, values, at)
            until = None if compiled.timeout is None else now + compiled.timeout
            return ev.ChildWanted(name, 1, values.put({"arguments": arguments}), until)
        case "llm":
            return _ask(view, compiled, name, values, now, at)
        case "tool":
            return _call(view, compiled, name, values, now, at)
        case "agent":
            return _task(view, compiled, name, values, now, at)
        case _:
            return _ready(view, compiled, name, values, now, at)


def _ask(view: View, compiled: CompiledStep, name: str, values: Values, now: float, at: _At) -> ev.Event:
    payload: dict[str, Json] = {"llm": _question(view, compiled, values, at)}
    known, key = _known(view, compiled, name, payload, values, now, at)
    return known or ev.ModelWanted(name, 1, values.put(payload), answer_until(compiled, now), key)


def _question(view: View, compiled: CompiledStep, values: Values, at: _At) -> dict[str, Json]:
    asked: dict[str, Json] = {}
    for field, template in compiled.question.items():
        at.field = f"{compiled.spec.action}.{field}"
        found = values.get(evaluate(view, template, values))
        asked[field] = found if isinstance(found, str) else canonical(found).decode()
        if not str(asked[field]).strip():
            expected = "a name" if field == "conversation" else "a question"
            raise ExpressionError(f"found nothing but spaces, expected {expected}")
    return asked


def _task(view: View, compiled: CompiledStep, name: str, values: Values, now: float, at: _At) -> ev.Event:
    """What an agent is to do: what its step says, or, as a tool of another, what it is called on."""
    arguments = _arguments(view, compiled, values, at)
    if compiled.hidden:
        prompt, arguments = task_of(arguments, values)
        asked: dict[str, Json] = {"prompt": prompt}
    else:
        asked = _question(view, compiled, values, at)
    payload: dict[str, Json] = {"arguments": arguments, "env": [], "agent": asked}
    known, key = _known(view, compiled, name, payload, values, now, at)
    return known or ev.StepReady(name, values.put(payload), False, key)


def _call(view: View, compiled: CompiledStep, name: str, values: Values, now: float, at: _At) -> ev.Event:
    payload: dict[str, Json] = {"arguments": _arguments(view, compiled, values, at)}
    known, key = _known(view, compiled, name, payload, values, now, at)
    return known or ev.ToolWanted(name, 1, values.put(payload), answer_until(compiled, now), key)


def _known(
    view: View,
    compiled: CompiledStep,
    name: str,
    payload: dict[str, Json],
    values: Values,
    now: float,
    at: _At,
) -> tuple[ev.StepRecalled | None, str | None]:
    """What a step with a cache gave before, and the digest under which what it gives will be known."""
    if compiled.cache is None or compiled.spec.cache is None:
        return None, None
    at.field = "cache.key"
    given = values.get(evaluate(view, compiled.cache, values))
    key = cache_key(view.state, name, payload, given)
    ttl = None if compiled.spec.cache.ttl is None else seconds(compiled.spec.cache.ttl)
    return from_cache(view.state, name, key, ttl, values, now), key.digest


def _switch(view: View, compiled: CompiledStep, name: str, values: Values, at: _At) -> ev.Event:
    assert compiled.switch is not None

    def unread(found: Expression | Template) -> ev.Event | None:
        # Asked of each as its turn comes: cases that do not matter may read what they like.
        missing = lacking(view, found)
        return None if missing is None else _skipped_for(view.state, name, view.names[missing])

    chosen = compiled.switch.default
    at.field = "switch.default"
    for position, (when, value) in enumerate(compiled.switch.cases):
        at.field = f"switch.cases[{position}].when"
        if (skipped := unread(when)) is not None:
            return skipped
        if holds(view, when, values):
            chosen = value
            at.field = f"switch.cases[{position}].value"
            break
    if chosen is None:
        return ev.StepSkipped(name, Reason.CONDITION_FALSE, "switch: no case holds, and there is no default")
    return unread(chosen) or completed(view.state, name, evaluate(view, chosen, values), values)


def _until(view: View, compiled: CompiledStep, values: Values, now: float) -> float | None:
    wait = compiled.spec.wait
    assert wait is not None
    if compiled.wait is None:
        return None if compiled.timeout is None else now + compiled.timeout
    found = values.get(evaluate(view, compiled.wait, values))
    if wait.duration is not None and isinstance(found, int | float) and not isinstance(found, bool):
        return now + float(min(max(0, found), LONGEST))
    if not isinstance(found, str):
        expected = "a time such as 2030-01-31T08:00:00Z" if wait.until else "a duration such as 1h30m"
        raise ExpressionError(f"found {shown_value(found)}, expected {expected}")
    try:
        return moment(found) if wait.until is not None else now + seconds(found)
    except ValueError as error:
        more = "" if wait.until is not None else ", or a number of seconds"
        raise ExpressionError(f"{error}{more}") from None


def _ready(
    view: View, compiled: CompiledStep, name: str, values: Values, now: float, at: _At
) -> ev.Event | None:
    state = view.state
    if compiled.program is not None:
        build = state.steps.get(compiled.program)
        if build is None:
            return due(state, compiled.program, values, now)
        if not build.status.terminal:
            return None
        if build.status is not StepStatus.SUCCEEDED:
            return _unbuilt(state, compiled.program, name, values)
    arguments = _arguments(view, compiled, values, at)
    variables: list[Json] = []
    for variable, template in compiled.env:
        at.field = f"env.{variable}"
        variables.append({"name": variable, "value": text_of(evaluate(view, template, values), values)})
    at.field = "files"
    files = _files(view, compiled, values)
    payload: dict[str, Json] = {"arguments": arguments, "env": variables}
    payload |= {"files": files} if files else {}
    known, key = _known(view, compiled, name, payload, values, now, at)
    return known or ev.StepReady(name, values.put(payload), compiled.has_references, key)


def _unbuilt(state: State, build: str, name: str, values: Values) -> ev.Event:
    """What becomes of a step whose code could not be built."""
    found = state.steps[build]
    if found.failure is not None:
        return failed(state, name, found.failure, values)
    message = f"step {build} is {found.status} and has no output"
    return ev.StepSkipped(name, Reason.DEPENDENCY_SKIPPED, message)


def _arguments(view: View, compiled: CompiledStep, values: Values, at: _At) -> dict[str, Json]:
    if compiled.hidden:
        return given(view.state, view.instance, compiled, values)
    found: dict[str, Value | ByReference] = {}
    for argument, template in compiled.arguments.items():
        at.field = f"with.{argument}"
        if isinstance(template, ByReference):
            found[argument] = template
        else:
            found[argument] = evaluate(view, template, values)
    if compiled.parameters is not None:
        plain = {name: values.get(item) for name, item in found.items() if not isinstance(item, ByReference)}
        if (problem := misfit(compiled.parameters, plain)) is not None:
            raise _Misfit(problem)
    return {name: encode(item) for name, item in found.items()}


def _files(view: View, compiled: CompiledStep, values: Values) -> dict[str, Json]:
    """The files of a step, by path; raises ExpressionError that names the one."""
    found: dict[str, Json] = {}
    size = 0
    for path, template in compiled.files.items():
        if isinstance(template, ByReference):
            found[path] = encode(template)
            continue
        try:
            content = values.get(evaluate(view, template, values))
        except ExpressionError as error:
            raise ExpressionError(f"{path}: {error}") from None
        text = content if isinstance(content, str) else canonical(content).decode()
        size += len(text.encode())
        if size > MAX_BYTES:
            raise ExpressionError(
                f"{path}: found {size} bytes of text so far, expected at most {MAX_BYTES} in all;"
                " hand larger ones on as artifacts"
            )
        found[path] = encode(values.put(text))
    return found
