"""Definitions and facts for tests that drive a journal."""

from collections.abc import Mapping
from typing import Any

from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import canonical, digest
from citadel.core.values import Inline, Stored, Value
from citadel.store.journal import Advance, Journal

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


def pinned(definition: Definition) -> str:
    """The digest by which an execution names its definition."""
    return digest(canonical(definition))


def created(
    uid: str, definition: Definition, inputs: Mapping[str, Any] | None = None, name: str = "run"
) -> ev.Created:
    """The fact that an execution of `definition` begins."""
    return ev.Created(name, "team", uid, "flow", pinned(definition), Inline(dict(inputs or {})))


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
    return ev.AttemptFailed(step, attempt, sandbox, Failure(reason, message))


async def begin(journal: Journal, definition: Definition, uid: str = "uid-1", **inputs: Any) -> Advance:
    """An execution whose first sandbox has registered and claims an attempt."""
    started = await journal.advance(uid, [created(uid, definition, inputs)], definition=definition)
    sandbox = only_sandbox(started)
    return await journal.advance(uid, [ev.SandboxRegistered(sandbox)], claim=sandbox)


def only_sandbox(advance: Advance) -> str:
    """The name of the one sandbox there is."""
    (name,) = advance.state.sandboxes
    return name
