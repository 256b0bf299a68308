"""What a sandbox is told to do, as the JSON of the protocol."""

from collections.abc import Mapping
from typing import Any

from citadel.core.jsonvalues import Json
from citadel.core.state import State
from citadel.core.values import ByReference, Values, decode
from citadel.store.journal import Advance


def assignment(advance: Advance, sealed: Mapping[str, Any] | None) -> dict[str, Any]:
    """The assignment of the step that the advance gave to its claimant."""
    state, name = advance.state, advance.step
    assert name is not None
    assert state.plan is not None
    step, compiled = state.steps[name], state.plan.steps[name]
    assert step.payload is not None
    values = Values(loaded=dict(advance.values))
    payload: Any = values.get(step.payload)
    arguments: dict[str, Json] = {}
    for argument, encoded in payload["arguments"].items():
        value = decode(encoded)
        if not isinstance(value, ByReference):
            arguments[argument] = values.get(value)
    told: dict[str, Any] = {
        "step": name,
        "attempt": step.attempt,
        "exclusive": state.plan.placements[name].exclusive,
        "timeoutSeconds": compiled.timeout,
        "input": arguments,
        "sealed": dict(sealed or {}),
        "env": _environment(state, name, payload["env"]),
    }
    if compiled.spec.run is not None:
        runtime = state.plan.runtimes[compiled.spec.run.runtime]
        code = compiled.spec.run.code or state.plan.code[name]
        return {**told, "action": "run", "language": runtime.language, "code": code}
    container = compiled.spec.container
    assert container is not None
    return {**told, "action": "container", "command": list(container.command), "args": list(container.args)}


def _environment(state: State, name: str, given: list[dict[str, str]]) -> list[dict[str, str]]:
    """The Runtime's variables, then the step's, which win."""
    assert state.plan is not None
    run = state.plan.steps[name].spec.run
    variables: dict[str, str] = {}
    if run is not None:
        variables = {item.name: item.value for item in state.plan.runtimes[run.runtime].env}
    variables.update({item["name"]: item["value"] for item in given})
    return [{"name": key, "value": value} for key, value in variables.items()]
