"""What the journal says of an execution: what was asked, which tools were called, and how it all ended."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.reasons import StepStatus
from live import sql

Data = Mapping[str, Any]
#: The step of all that is played here.
STEP = "act"
_KINDS = (
    "Rejected",
    "StepReady",
    "ToolCalled",
    "StepCompleted",
    "StepFailed",
    "AttemptSucceeded",
    "AttemptFailed",
)


@dataclass(frozen=True)
class Called:
    """A call of a tool."""

    arguments: str
    ended: str | None
    """By which reason, or Succeeded; None where the step ended before it did."""


@dataclass(frozen=True)
class Journal:
    """What is known of one execution."""

    prompt: str | None
    """None where it was refused before anybody was asked."""
    conversation: str
    """By which name the agent was asked to go on; none is empty."""
    calls: tuple[Called, ...]
    asked: int
    """How often a model answered, where the attempt's end says it."""
    ended: str
    """By which reason the step did, or Succeeded."""


def read(uid: str) -> Journal:
    """The journal of an execution that has ended."""
    kinds = ", ".join(f"'{kind}'" for kind in _KINDS)
    # What is within may have anything in it that ends a cell or a line.
    columns = "kind, encode(convert_to(data::text, 'UTF8'), 'hex')"
    rows = sql(f"SELECT {columns} FROM events WHERE uid = '{uid}' AND kind IN ({kinds}) ORDER BY seq")
    cells = [row.split("|") for row in rows]
    return told([(kind, json.loads(bytes.fromhex(data))) for kind, data in cells])


def told(events: Iterable[tuple[str, Data]]) -> Journal:
    """What these events say, in order."""
    asked: Data = {}
    calls, ends, answered = [], {}, 0
    for kind, data in events:
        if kind == "StepReady":
            if data["step"] == STEP:
                asked = data["payload"]["v"]["agent"]
        elif kind == "ToolCalled":
            calls.append(data)
        elif kind == "Rejected":
            ends[STEP] = _reason(data)
        else:
            # The end of an attempt; where that is not the end of its step, what is comes after.
            ends[data["step"]] = _reason(data)
            if data["step"] == STEP:
                answered += (data.get("usage") or {}).get("calls", 0)
    about = (asked.get("prompt"), asked.get("conversation", ""))
    return Journal(*about, _called(calls, ends), answered, ends[STEP])


def _reason(data: Data) -> str:
    return str((data.get("failure") or {}).get("reason", StepStatus.SUCCEEDED))


def _called(calls: Iterable[Data], ends: Mapping[str, str]) -> tuple[Called, ...]:
    """The calls with their ends: the third call of a tool by a step is `step.tool[3]`, of what is none of its
    tools `step.refused[3]`."""
    names = {name.rpartition("[")[0] for name in ends}
    numbers: Counter[str] = Counter()
    found = []
    for data in calls:
        own = f"{data['step']}.{data['tool']}"
        name = own if own in names else f"{data['step']}.refused"
        numbers[name] += 1
        arguments = json.dumps(data["arguments"])
        found.append(Called(arguments, ends.get(f"{name}[{numbers[name]}]")))
    return tuple(found)
