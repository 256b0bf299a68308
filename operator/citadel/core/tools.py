"""Calls of tools that steps want made outside of sandboxes: which these are, and on what. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.actions import Tool
from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.outputs import OutputSchema
from citadel.core.outside import all_of, awaited
from citadel.core.pinned import PinnedTool
from citadel.core.state import State
from citadel.core.toolcalls import call_body
from citadel.core.values import Value


@dataclass(frozen=True)
class WantedTool:
    """A call that a step waits for. Its payload holds the arguments as those of a workflow do."""

    step: str
    attempt: int
    asks: Tool
    tool: PinnedTool
    payload: Value
    until: float | None
    """When it is waited for no longer; seconds since the epoch."""
    since: float
    """When the step began."""
    schema: OutputSchema | None


def wanted(state: State) -> Iterator[WantedTool]:
    """The calls that steps wait for now."""
    return all_of(state, wanted_by)


def wanted_by(state: State, step: str) -> WantedTool | None:
    """The call that a step waits for; None when it waits for none."""
    found = awaited(state, step)
    if found is None or found.compiled.spec.tool is None or found.compiled.tool is None:
        return None
    asks, compiled = found.compiled.spec.tool, found.compiled
    assert compiled.tool is not None
    return WantedTool(
        step, found.attempt, asks, compiled.tool, found.payload, found.until, found.since, compiled.schema
    )


def body_of(call: WantedTool, arguments: Mapping[str, Json]) -> dict[str, Any]:
    """What whoever makes a call is told of it."""
    function = call.asks.function
    return call_body(
        call.tool.name,
        call.tool.spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
        arguments,
        function,
        call.tool.functions.get(function or ""),
    )


def failed(call: WantedTool, reason: Reason | str, message: str) -> ev.ToolAnswered:
    """The fact that a call gives nothing."""
    return ev.ToolAnswered(call.step, call.attempt, None, Failure.cut(reason, message))
