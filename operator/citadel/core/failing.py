"""What follows from a step that has its output, or has failed for good: its end, or its handler."""

from citadel.api.modifiers import ForEach
from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.evaluating import View, evaluate
from citadel.core.expressions import ExpressionError
from citadel.core.failures import Failure
from citadel.core.instances import ON_ERROR, turn
from citadel.core.jsonvalues import MAX_BYTES
from citadel.core.state import State, blocker, compiled_of
from citadel.core.values import Stored, Value, Values


def failed(state: State, name: str, failure: Failure, values: Values) -> ev.Event:
    """The event for the failure of a step. Raises MissingValues."""
    compiled = compiled_of(state, name)
    if compiled.handler is None or not _handles(state, name, failure):
        return ev.StepFailed(name, failure)
    assert state.plan is not None
    handler = state.plan.steps[compiled.handler]
    if handler.children:
        return ev.HandlerOpened(name, failure)
    assert handler.output is not None
    view = View(state, f"{name}.{ON_ERROR}", handler.names, failure=failure)
    try:
        return ev.StepCompleted(name, evaluate(view, handler.output, values), failure)
    except ExpressionError as error:
        return ev.StepFailed(name, expression_failure(name, "onError.output", error))


def _handles(state: State, name: str, failure: Failure) -> bool:
    """Whether the handler of a step is for this failure of this instance."""
    if failure.reason == Reason.CANCELLED or f"{name}.{ON_ERROR}" in state.steps:
        return False
    loop = compiled_of(state, name).loop
    if loop is not None and turn(name) is None and isinstance(loop.spec, ForEach):
        # Each item has had its handler; what is left is that the items themselves could not be found.
        return name not in state.scopes
    if loop is not None and turn(name) is not None and not isinstance(loop.spec, ForEach):
        return False
    return blocker(state, name) is None


def expression_failure(name: str, where: str, error: ExpressionError) -> Failure:
    """The failure of a step because of an expression of its field `where`."""
    return Failure.cut(Reason.EXPRESSION_ERROR, f"step {name}, {where}: {error}")


def completed(
    state: State,
    name: str,
    output: Value,
    values: Values,
    failure: Failure | None = None,
    signal: str | None = None,
) -> ev.Event:
    """The end of a step that has its output; it fails if that is too large, or not as its schema says."""
    if isinstance(output, Stored) and output.size > MAX_BYTES:
        message = f"output: found {output.size} bytes of JSON, expected at most {MAX_BYTES}"
        return failed(state, name, Failure.cut(Reason.OUTPUT_TOO_LARGE, message), values)
    compiled = compiled_of(state, name)
    # That of a loop is the schema of each turn.
    schema = None if compiled.is_loop(name) else compiled.schema
    problem = None if schema is None else schema.problem(values.get(output))
    if problem is not None:
        return failed(state, name, Failure.cut(Reason.INVALID_OUTPUT, problem), values)
    return ev.StepCompleted(name, output, failure, signal)
