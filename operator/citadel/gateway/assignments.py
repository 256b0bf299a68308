"""What a sandbox is told to do, as the JSON of the protocol."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from citadel.core.dispatch import dispatch
from citadel.store.journal import Advance


def assignment(advance: Advance, sealed: Mapping[str, Any] | None) -> dict[str, Any]:
    """The assignment of the step that the advance gave to its claimant."""
    state, name = advance.state, advance.step
    assert name is not None
    assert state.plan is not None
    given = dispatch(state, name, advance.values)
    told: dict[str, Any] = {
        "step": name,
        "attempt": given.attempt,
        "exclusive": state.plan.placement(name).exclusive,
        "timeoutSeconds": given.timeout,
        "input": given.arguments,
        "sealed": dict(sealed or {}),
        "env": [{"name": key, "value": value} for key, value in given.env.items()],
        "egress": list(state.plan.placement(name).egress),
    }
    if given.files:
        told["files"] = dict(given.files)
    if given.taken or given.left:
        told["artifacts"] = {
            "in": [{"path": path, **asdict(content)} for path, content in given.taken.items()],
            "out": [{"name": left, "path": path} for left, path in given.left.items()],
        }
    compiled = state.plan.step(name)
    spec = compiled.spec
    if spec.run is not None:
        runtime = state.plan.runtimes[spec.run.runtime]
        action = "build" if compiled.builds is not None else "run"
        told |= {"action": action, "language": runtime.language, "code": given.code}
        if compiled.agent is not None:
            told["agent"] = True
        if spec.run.entrypoint is not None:
            told["entrypoint"] = spec.run.entrypoint
        return told if given.program is None else {**told, "program": asdict(given.program)}
    assert spec.container is not None
    command, args = list(spec.container.command), list(spec.container.args)
    return {**told, "action": "container", "command": command, "args": args}
