"""Groups, loops and handlers under way: what of them starts next, and how they end."""

from collections.abc import Iterator

from citadel.api.modifiers import ForEach
from citadel.api.reasons import Reason, StepStatus
from citadel.core import events as ev
from citadel.core.compiled import CompiledStep
from citadel.core.evaluating import holds, output, view_of
from citadel.core.expressions import ExpressionError
from citadel.core.failing import completed, expression_failure, failed
from citadel.core.failures import Failure
from citadel.core.instances import ON_ERROR, visible
from citadel.core.jsonvalues import Json
from citadel.core.opening import due
from citadel.core.state import State, StepState, blocker, compiled_of, is_over
from citadel.core.values import MissingValues, Value, Values

#: Items that begin in one round.
_AT_A_TIME = 100


def go_on(state: State, name: str, now: float, values: Values) -> Iterator[ev.Event]:
    """What follows for a group, a loop, or a step whose handler runs. Raises MissingValues."""
    compiled = compiled_of(state, name)
    handler = state.steps.get(f"{name}.{ON_ERROR}")
    if handler is not None:
        yield from _after_handler(state.steps[name], name, handler)
    elif not compiled.is_loop(name):
        yield from _group(state, name, compiled, values)
    elif (found := _cut_short(state, name, values)) is not None:
        yield from found
    elif isinstance(compiled.loop and compiled.loop.spec, ForEach):
        yield from _over_items(state, name, compiled, now, values)
    else:
        yield from _repeat(state, name, compiled, now, values)


def next_iteration_at(state: State, name: str) -> float | None:
    """When the next iteration of a loop may begin, if it waits for that."""
    compiled = compiled_of(state, name)
    if not compiled.is_loop(name) or compiled.loop is None or not compiled.loop.delay:
        return None
    scope = state.scopes[name]
    last = state.steps.get(f"{name}[{scope.begun}]")
    if scope.running or last is None or last.finished_at is None:
        return None
    return last.finished_at + compiled.loop.delay


def _after_handler(step: StepState, name: str, handler: StepState) -> Iterator[ev.Event]:
    assert step.failure is not None
    if handler.status is StepStatus.SUCCEEDED:
        assert handler.output is not None
        yield ev.StepCompleted(name, handler.output, step.failure)
    elif handler.status.terminal:
        yield ev.StepFailed(name, handler.failure or step.failure)


def _group(state: State, name: str, compiled: CompiledStep, values: Values) -> Iterator[ev.Event]:
    scope = state.scopes[name]
    failing = scope.failed or blocker(state, name)
    if failing is None and scope.ended < scope.total:
        return
    if failing is None:
        try:
            assert compiled.output is not None
            yield completed(state, name, output(view_of(state, name), compiled.output, values), values)
        except ExpressionError as error:
            yield failed(state, name, expression_failure(name, "output", error), values)
        return
    children = (visible(name, child) for child in compiled.children)
    if all(is_over(state, child) for child in children):
        yield _ended_early(state, name, values)


def _cut_short(state: State, name: str, values: Values) -> list[ev.Event] | None:
    """What follows for a loop of which nothing more starts; None as long as it goes on."""
    scope = state.scopes[name]
    if scope.failed is None and blocker(state, name) is None:
        return None
    return [] if scope.running else [_ended_early(state, name, values)]


def _ended_early(state: State, name: str, values: Values) -> ev.Event:
    scope = state.scopes[name]
    if scope.failed is not None:
        failure = state.steps[scope.failed].failure
        assert failure is not None
        return failed(state, name, failure, values)
    message = f"not finished, because step {blocker(state, name)} failed"
    return ev.StepSkipped(name, Reason.EXECUTION_FAILED, message)


def _over_items(
    state: State, name: str, compiled: CompiledStep, now: float, values: Values
) -> Iterator[ev.Event]:
    scope = state.scopes[name]
    assert compiled.loop is not None
    if scope.ended == scope.total:
        yield _all_items(state, name, values)
        return
    room = 0 if state.suspended else compiled.loop.parallelism - scope.running
    for index in range(scope.begun, min(scope.total, scope.begun + min(room, _AT_A_TIME))):
        event = due(state, f"{name}[{index}]", values, now)
        if event is None:
            return
        yield event
        if isinstance(event, ev.StepFailed):
            return


def _all_items(state: State, name: str, values: Values) -> ev.Event:
    scope = state.scopes[name]
    turns = [(f"{name}[{index}]", state.steps[f"{name}[{index}]"]) for index in range(scope.total)]
    outputs = [step.output for _, step in turns]
    if missing := values.missing(output for output in outputs if output is not None):
        raise MissingValues(missing)
    found: list[Json] = [None if output is None else values.get(output) for output in outputs]
    failure = None
    if scope.failures:
        first, why = next((item, step.failure) for item, step in turns if step.status is StepStatus.FAILED)
        message = f"{scope.failures} of {scope.total} items failed; {first}: {why.message if why else ''}"
        failure = Failure.cut(Reason.ITEMS_FAILED, message)
    return completed(state, name, values.put(found), values, failure)


def _repeat(
    state: State, name: str, compiled: CompiledStep, now: float, values: Values
) -> Iterator[ev.Event]:
    scope, loop = state.scopes[name], compiled.loop
    if scope.running:
        return
    last_name = f"{name}[{scope.begun}]"
    last = state.steps.get(last_name)
    if last is not None:
        if last.output is None:
            yield ev.StepSkipped(name, last.reason or Reason.CONDITION_FALSE, last.message or "")
            return
        try:
            over = _is_over(state, last_name, compiled, last.output, scope.begun, values)
        except ExpressionError as error:
            yield failed(state, name, expression_failure(name, "repeat.until", error), values)
            return
        if over is not None:
            failure = None if over else Failure.cut(Reason.MAX_ITERATIONS, _not_within(compiled))
            yield (failed(state, name, failure, values) if failure else ev.StepCompleted(name, last.output))
            return
    at = next_iteration_at(state, name)
    if state.suspended or (at is not None and now < at) or loop is None:
        return
    event = due(state, f"{name}[{scope.begun + 1}]", values, now)
    if event is not None:
        yield event


def _is_over(
    state: State, last: str, compiled: CompiledStep, output: Value, number: int, values: Values
) -> bool | None:
    """True: it ends well; False: it has had its iterations; None: it goes on."""
    loop = compiled.loop
    assert loop is not None
    most = loop.spec.max  # type: ignore[union-attr]
    if loop.until is None:
        return True if number >= most else None
    if holds(view_of(state, last, output=output), loop.until, values):
        return True
    return False if number >= most else None


def _not_within(compiled: CompiledStep) -> str:
    repeat = compiled.spec.repeat
    assert repeat is not None
    return f"until does not hold after {repeat.max} iterations: {repeat.until}"
