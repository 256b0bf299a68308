"""What expressions see of an agent beside its output: the tools that it called, and what its models took.

Both are of the journal, and so the same whenever they are read. Pure.
"""

from citadel.core.calls import CALL, Call
from citadel.core.events import Usage
from citadel.core.jsonvalues import Json
from citadel.core.spending import DOLLAR, add
from citadel.core.state import State
from citadel.core.values import Values


def calls_of(state: State, instance: str) -> list[tuple[str, Call]]:
    """The calls of the last attempt of a step, in their order, each with the instance that answers it."""
    known = state.calls.get(instance)
    if known is None or known.attempt != state.steps[instance].attempt:
        return []
    found = [(name, state.called[name]) for name in known.instances.values()]
    return sorted(found, key=lambda item: item[1].order)


def shown_call(state: State, instance: str, call: Call, values: Values) -> Json:
    """A call as expressions see it."""
    step = state.steps[instance]
    shown: dict[str, Json] = {
        "name": call.tool,
        "arguments": values.get(call.arguments),
        "status": str(step.status),
    }
    if step.failure is not None:
        shown["error"] = {"reason": step.failure.reason, "message": step.failure.message}
    return shown


def usage_of(state: State, instance: str) -> Usage | None:
    """What models took for a step, and for the agents that it called as its tools, in all attempts."""
    step, calls = state.steps.get(instance), state.calls.get(instance)
    found = None if step is None else step.usage
    for tool, count in () if calls is None else calls.of_step.items():
        for number in range(1, count + 1):
            call = f"{instance}.{tool}[{number}]"
            for inner in (call, f"{call}.{CALL}"):
                found = add(found, usage_of(state, inner))
    return found


def shown_usage(usage: Usage) -> Json:
    """What models took, as expressions see it: money in dollars."""
    return {
        "calls": usage.calls,
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "tokens": usage.input_tokens + usage.output_tokens,
        "cost": usage.cost / DOLLAR,
        "estimated": usage.estimated,
    }
