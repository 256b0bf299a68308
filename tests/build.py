"""Definitions and facts for tests that drive a journal."""

from collections.abc import Mapping
from typing import Any

from citadel.core import events as ev
from citadel.core.jsonvalues import canonical, digest
from citadel.core.values import Inline, Stored, Value

Definition = dict[str, Any]


def python_step(name: str, **fields: Any) -> dict[str, Any]:
    """A step that runs Python; `arguments` stands for `with`."""
    if "arguments" in fields:
        fields["with"] = fields.pop("arguments")
    return {"name": name, "run": {"runtime": "python", "code": "def main(**args): return args"}, **fields}


def definition(*steps: dict[str, Any], **spec: Any) -> Definition:
    """The definition of a workflow of these steps."""
    image = {"language": "python", "image": "citadel-python"}
    return {"spec": {"steps": list(steps), **spec}, "runtimes": {"python": image}, "code": {}}


def chain(length: int, **fields: Any) -> Definition:
    """`length` Python steps `s0`, `s1`, …, each after the one before."""
    return definition(*(python_step(f"s{number}", **fields) for number in range(length)))


def created(
    uid: str, definition: Definition, inputs: Mapping[str, Any] | None = None, name: str = "run"
) -> ev.Created:
    """The fact that an execution of `definition` begins."""
    pinned = digest(canonical(definition))
    return ev.Created(name, "team", uid, "flow", pinned, Inline(dict(inputs or {})))


def stored(content: Any) -> tuple[Value, dict[str, bytes]]:
    """A value by digest, and the body that goes with it."""
    body = canonical(content)
    name = digest(body)
    return Stored(name, len(body)), {name: body}


def succeeded(step: str, sandbox: str, output: Any = None, attempt: int = 1) -> ev.AttemptSucceeded:
    """The fact that an attempt gave `output`."""
    return ev.AttemptSucceeded(step, attempt, sandbox, Inline(output))


def failed(
    step: str, sandbox: str, reason: str = "Error", attempt: int = 1, message: str = "boom"
) -> ev.AttemptFailed:
    """The fact that an attempt failed."""
    return ev.AttemptFailed(step, attempt, sandbox, ev.Failure(reason, message))
