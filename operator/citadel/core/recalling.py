"""What need not run because it ran before: what an earlier execution has recorded, and programs."""

from collections.abc import Mapping
from typing import Any

from citadel.api.reasons import StepStatus
from citadel.core.builds import build_key
from citadel.core.compiled import PROGRAM, CompiledStep
from citadel.core.dispatch import taken_by
from citadel.core.events import StepRecalled
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json, canonical, digest
from citadel.core.pinned import PinnedTool
from citadel.core.plan import Plan
from citadel.core.state import State, StepState
from citadel.core.values import BuildKey, CacheKey, Content, Inline, MissingValues, Values, decode_value

_NEVER = StepState()


def recalled(state: State, compiled: CompiledStep, name: str, values: Values) -> StepRecalled | None:
    """The end of a step whose result is known; None when it has to run. Raises MissingValues."""
    assert state.created is not None
    if state.created.recalled is not None:
        taken: Any = values.get(state.created.recalled)
        if (found := taken.get(name)) is not None:
            artifacts = {key: Content(**content) for key, content in found.get("artifacts", {}).items()}
            failure = Failure(**found["failure"]) if "failure" in found else None
            output, origin = decode_value(found["output"]), state.created.rerun_of
            return StepRecalled(name, output, artifacts, failure, "execution", origin)
    if compiled.builds is None:
        return None
    assert state.plan is not None
    plan, namespace = state.plan, state.created.namespace
    key = key_of(plan, namespace, compiled)
    if key not in values.builds:
        # All at once: each round of looking up is a round trip.
        waiting = (
            step
            for name, step in plan.steps.items()
            if step.builds is not None and state.steps.get(name, _NEVER).status is StepStatus.PENDING
        )
        raise MissingValues(builds=frozenset(key_of(plan, namespace, step) for step in waiting))
    program = values.builds[key]
    if program is None:
        return None
    return StepRecalled(name, built(program), {PROGRAM: program})


def key_of(plan: Plan, namespace: str, compiled: CompiledStep) -> BuildKey:
    """What the program of a build is known by."""
    assert compiled.spec.run is not None
    template = plan.placements[compiled.path].template
    parts = (template.get("packages", {}).get("digest"), template.get("imageId"))
    code = plan.code_of(compiled)
    assert code is not None
    return build_key(namespace, plan.runtimes[compiled.spec.run.runtime], code, parts)


def cache_key(state: State, name: str, payload: Mapping[str, Json], given: Json) -> CacheKey:
    """What the output of a step depends on: what runs, on what, and the step's own `given` key."""
    assert state.plan is not None
    assert state.created is not None
    plan, compiled = state.plan, state.plan.step(name)
    if compiled.spec.llm is not None:
        asked = compiled.spec.llm.model_dump(mode="json", exclude={"prompt", "system"})
        asks: dict[str, Json] = {
            "llm": asked,
            "payload": dict(payload),
            "schema": compiled.spec.output_schema,
            "key": given,
        }
        return CacheKey(state.created.namespace, digest(canonical(asks)))
    if compiled.spec.tool is not None:
        called: dict[str, Json] = {
            "tool": _dumped(compiled.tool),
            "function": compiled.spec.tool.function,
            "payload": dict(payload),
            "schema": compiled.spec.output_schema,
            "key": given,
        }
        return CacheKey(state.created.namespace, digest(canonical(called)))
    template, run = plan.placements[compiled.path].template, compiled.spec.run
    made_of: dict[str, Any] = {
        "image": [template["image"], template.get("imageId")],
        "packages": template.get("packages", {}).get("digest"),
        "payload": payload,
        "taken": {path: content.digest for path, content in taken_by(state, name).items()},
        "left": dict(compiled.left),
        "schema": compiled.spec.output_schema,
        "key": given,
    }
    if compiled.agent is not None:
        # All of them: which of them it works with, it decides itself.
        made_of["agents"] = {name: agent.model_dump(mode="json") for name, agent in plan.agents.items()}
        made_of["tools"] = {name: _dumped(tool) for name, tool in plan.tools.items()}
        made_of["name"] = compiled.spec.agent.name if compiled.spec.agent is not None else ""
    if run is not None:
        runtime = plan.runtimes[run.runtime]
        made_of["run"] = [runtime.language, run.entrypoint, plan.code_of(compiled)]
        made_of["env"] = [[item.name, item.value] for item in runtime.env]
    else:
        assert compiled.spec.container is not None
        made_of["container"] = [compiled.spec.container.command, compiled.spec.container.args]
    return CacheKey(state.created.namespace, digest(canonical(made_of)))


def _dumped(tool: PinnedTool | None) -> Json:
    if tool is None:
        return None
    functions: Any = dict(tool.functions)
    return [tool.spec.model_dump(mode="json"), functions, tool.code]


def from_cache(
    state: State, name: str, key: CacheKey, ttl: float | None, values: Values, now: float
) -> StepRecalled | None:
    """The end of a step whose output an earlier execution has given; None if it has to run.

    Raises MissingValues.
    """
    assert state.created is not None
    if state.created.no_cache:
        return None
    if key not in values.cached:
        raise MissingValues(cached=frozenset((key,)))
    found = values.cached[key]
    if found is None or (ttl is not None and found.at + ttl <= now):
        return None
    return StepRecalled(name, values.put(found.output), found.artifacts, None, "cache", found.origin)


def built(program: Content) -> Inline:
    """The output of a build."""
    return Inline({"program": program.digest, "size": program.size})
