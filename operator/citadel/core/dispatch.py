"""What an attempt is given: its evaluated arguments, environment and code, gathered from payload and plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.core.agents import agent_input
from citadel.core.compiled import PROGRAM, CompiledStep
from citadel.core.instances import visible
from citadel.core.jsonvalues import Json
from citadel.core.state import State, compiled_of
from citadel.core.values import ByReference, Content, Values, decode


@dataclass(frozen=True)
class Dispatch:
    """One attempt, ready to be run."""

    step: str
    attempt: int
    placing: int
    code: str | None
    """Source text; None for a container step."""
    arguments: Mapping[str, Json]
    references: Mapping[str, ByReference]
    """Arguments, and files by their paths, that are still to be read from ConfigMaps and Secrets."""
    env: Mapping[str, str]
    timeout: float | None
    """Seconds."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts by absolute path."""
    taken: Mapping[str, Content] = field(default_factory=dict)
    """Artifacts by the path where each is to stand."""
    left: Mapping[str, str] = field(default_factory=dict)
    """Paths of what it is to leave, by name."""
    command: tuple[str, ...] = ()
    """Program and arguments of a container step."""
    program: Content | None = None
    """What was built of the code, in a language that is compiled."""


def dispatch(state: State, name: str, loaded: Mapping[str, Json]) -> Dispatch:
    """The current attempt of a step; `loaded` holds the values its payload names. Raises MissingValues."""
    assert state.plan is not None
    step, compiled = state.steps[name], state.plan.step(name)
    assert step.payload is not None
    values = Values(loaded=dict(loaded))
    payload: Any = values.get(step.payload)
    arguments: dict[str, Json] = {}
    references: dict[str, ByReference] = {}
    for argument, encoded in payload["arguments"].items():
        value = decode(encoded)
        if isinstance(value, ByReference):
            references[argument] = value
        else:
            arguments[argument] = values.get(value)
    files: dict[str, str] = {}
    for path, encoded in payload.get("files", {}).items():
        value = decode(encoded)
        if isinstance(value, ByReference):
            references[path] = value
        else:
            files[path] = str(values.get(value))
    if compiled.agent is not None:
        arguments = {"agent": agent_input(state, name, payload["agent"], arguments)}
    run, container = compiled.spec.run, compiled.spec.container
    # The Runtime's variables, then the step's, which win.
    env: dict[str, str] = {}
    if run is not None and compiled.builds is None:
        env = {item.name: item.value for item in state.plan.runtimes[run.runtime].env}
    env |= {item["name"]: item["value"] for item in payload["env"]}
    return Dispatch(
        step=name,
        attempt=step.attempt,
        placing=step.placing,
        code=state.plan.code_of(compiled) if run else None,
        arguments=arguments,
        references=references,
        env=env,
        timeout=compiled.timeout,
        files=files,
        taken=taken_by(state, name),
        left=compiled.left,
        command=(*container.command, *container.args) if container else (),
        program=program_of(state, compiled),
    )


def contents(state: State, name: str) -> list[Content]:
    """Every blob that the current attempt of a step needs."""
    assert state.plan is not None
    compiled = state.plan.step(name)
    program = program_of(state, compiled)
    found = list(taken_by(state, name).values())
    return found if program is None else [*found, program]


def taken_by(state: State, name: str) -> dict[str, Content]:
    """The artifacts that a step takes, by path."""
    return {
        path: state.steps[visible(name, source.step)].artifacts[source.name]
        for path, source in compiled_of(state, name).taken.items()
    }


def program_of(state: State, compiled: CompiledStep) -> Content | None:
    """What the step's build made, if its code is built."""
    if compiled.program is None:
        return None
    return state.steps[compiled.program].artifacts[PROGRAM]
