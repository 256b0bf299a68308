"""Approvals as people look at them: which wait, what they ask, and of whom. Only reads."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from citadel.cli.columns import columns
from citadel.cli.remote import Cluster, Refused
from citadel.cli.steps import lasted, seconds_of
from citadel.cli.terminal import one_line, safe

if TYPE_CHECKING:
    from citadel.kube.resources import Object

#: What the step is called that asks before a call of an agent (`core/calls.py`, which the CLI need not load).
APPROVE = "approve"
_LONGEST_CALL = 80
_COLUMNS = ("EXECUTION", "STEP", "APPROVERS", "DEADLINE", "AGE")


async def pending(
    cluster: Cluster, execution: str | None = None, *, everywhere: bool = False
) -> "list[Object]":
    """The Approvals that wait for a decision, oldest first; with `execution`, only its."""
    from citadel.api.approval import EXECUTION_LABEL
    from citadel.kube.resources import APPROVALS
    from citadel.render.approval import label_value

    selector = "" if execution is None else f"{EXECUTION_LABEL}={label_value(execution)}"
    namespace = None if everywhere else cluster.namespace
    found = (await cluster.kube.list(APPROVALS, namespace, label_selector=selector)).items
    waiting = [obj for obj in found if _waits(obj) and execution in (None, _execution(obj))]
    return sorted(waiting, key=lambda obj: str(obj["metadata"].get("creationTimestamp")))


def _waits(obj: "Object") -> bool:
    phase = (obj.get("status") or {}).get("phase") or "Pending"
    return phase == "Pending" and obj["spec"].get("decision") is None


def _execution(obj: "Object") -> str:
    return str(obj["spec"]["executionRef"]["name"])


async def the_one(cluster: Cluster, execution: str, step: str | None) -> "Object":
    """The Approval that is meant; raises Refused where there is none, or where several are."""
    found = await pending(cluster, execution)
    where = f"execution {execution} of namespace {cluster.namespace}"
    if not found:
        raise Refused(f"{where} waits for no decision; `citadel approvals` lists what does")
    names = ", ".join(one_line(obj["spec"]["step"]) for obj in found)
    if step is None:
        if len(found) > 1:
            raise Refused(f"{where} waits for {len(found)} decisions; name the step: {names}")
        return found[0]
    for obj in found:
        if obj["spec"]["step"] == step:
            return obj
    raise Refused(f"step: found {step!r:.80}, expected one that waits for a decision: {names}")


def table(items: "Sequence[Object]", now: float, *, everywhere: bool = False) -> str:
    """Approvals as columns."""
    rows = [_COLUMNS, *(_cells(item, now) for item in items)]
    if any(map(tool_call, items)):
        called = ["TOOL", *(_called(item) for item in items)]
        rows = [(*row, cell) for row, cell in zip(rows, called, strict=True)]
    if everywhere:
        spaces = ["NAMESPACE", *(item["metadata"]["namespace"] for item in items)]
        rows = [(space, *row) for space, row in zip(spaces, rows, strict=True)]
    return columns(rows)


def _cells(item: "Object", now: float) -> tuple[str, ...]:
    spec = item["spec"]
    cells = (
        _execution(item),
        spec["step"],
        approvers(spec),
        spec.get("deadline") or "",
        lasted(seconds_of(item["metadata"].get("creationTimestamp")), None, now),
    )
    return tuple(one_line(str(cell)) for cell in cells)


def tool_call(item: "Object") -> "dict[str, Any] | None":
    """What an agent wants to call, where that is asked: tool, arguments, and their digest."""
    shown = item["spec"].get("shown")
    asks = item["spec"]["step"].endswith(f".{APPROVE}") and isinstance(shown, dict)
    return shown if asks and shown.keys() == {"tool", "arguments", "digest"} else None


def _called(item: "Object") -> str:
    """The call in a few words."""
    call = tool_call(item)
    if call is None:
        return ""
    text = f"{call['tool']} {json.dumps(call['arguments'], ensure_ascii=False)}"
    return one_line(text if len(text) <= _LONGEST_CALL else f"{text[:_LONGEST_CALL]}…")


def approvers(spec: "dict[str, Any]") -> str:
    """Who may decide, in one line."""
    named = spec.get("approvers") or {}
    groups = [f"group {group}" for group in named.get("groups") or ()]
    return ", ".join([*(named.get("users") or ()), *groups])


def described(item: "Object") -> str:
    """All that an approver should look at."""
    spec = item["spec"]
    lines = [f"step {spec['step']} of execution {_execution(item)} asks {approvers(spec)}"]
    if spec.get("deadline"):
        lines.append(f"until {spec['deadline']}")
    if large := spec.get("shownLarge"):
        lines.append(f"shown: {large['size']} bytes, more than fits here; their digest is {large['digest']}")
    elif (call := tool_call(item)) is not None:
        lines.append(f"the agent wants to call its tool {call['tool']} with:\n{_indented(call['arguments'])}")
        lines.append(f"digest of these arguments, which alone are sent: {call['digest']}")
    elif spec.get("shown"):
        lines.append(f"shown:\n{_indented(spec['shown'])}")
    if spec.get("form"):
        lines.append(f"form to fill in (JSON Schema):\n{_indented(spec['form'])}")
    if spec.get("reasonRequired"):
        lines.append("a reason is required")
    conditions = (item.get("status") or {}).get("conditions") or ()
    lines += [condition["message"] for condition in conditions if condition.get("message")]
    return safe("\n".join(lines))


def _indented(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(f"  {line}" for line in text.split("\n"))
