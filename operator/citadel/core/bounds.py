"""What holds an agent's calls in bounds: which tools it has, how often, and on which arguments.

Asked of each call before anything of it begins. Whatever cannot be answered is a refusal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from citadel.api.problems import found as found_value
from citadel.api.problems import shortened
from citadel.api.reasons import Reason
from citadel.core.calls import Call
from citadel.core.expressions import Expression
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.outputs import OutputSchema
from citadel.core.rules import FALSE, holds


@dataclass(frozen=True)
class Bounds:
    """What one tool of an agent may be called on, and how often."""

    agent: str
    """Name of the Agent."""
    tools: Sequence[str]
    """What it may call."""
    allowed: bool = True
    """False for whatever else it calls."""
    constraints: tuple[tuple[Expression, str], ...] = ()
    """Conditions over the arguments, and what is said of those that do not fulfil one."""
    max_calls: int | None = None
    """In one attempt."""


def objection(bounds: Bounds, parameters: OutputSchema | None, call: Call, arguments: Json) -> Failure | None:
    """Why a call is refused; None if it may begin."""
    if not bounds.allowed:
        listed = ", ".join(bounds.tools) or "none"
        message = f"Agent {bounds.agent} has no tool {shortened(call.tool)}; its tools are: {listed}"
        return Failure.cut(Reason.TOOL_NOT_ALLOWED, message)
    if bounds.max_calls is not None and call.of_tool > bounds.max_calls:
        message = f"{call.tool} may be called at most {bounds.max_calls} times in one attempt"
        return Failure.cut(Reason.TOOL_LIMIT_EXCEEDED, message)
    if (problem := misfit(parameters, arguments)) is not None:
        return Failure.cut(Reason.TOOL_REFUSED, problem)
    for rule, message in bounds.constraints:
        if (why := holds(rule, arguments)) is not None:
            more = "" if why == FALSE else f" ({rule.source} {why})"
            return Failure.cut(Reason.TOOL_REFUSED, f"{message}{more}")
    return None


def misfit(parameters: OutputSchema | None, arguments: Json) -> str | None:
    """What is wrong with the arguments of a tool; None if they fit."""
    if not isinstance(arguments, dict):
        return f"arguments: found {found_value(arguments)}, expected an object"
    return None if parameters is None else parameters.problem(arguments, "arguments")


def beyond(agent: str, limit: int, calls: int) -> Failure:
    """Why an attempt is not to go on: it called tools too often."""
    message = f"Agent {agent} called tools {calls} times in one attempt, expected at most {limit}"
    return Failure(Reason.TOOL_LIMIT_EXCEEDED, f"{message} (limits.toolCalls)", final=True)
