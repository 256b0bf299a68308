"""What need not run because it ran before: what an earlier execution has recorded, and programs."""

from typing import Any

from citadel.api.reasons import StepStatus
from citadel.core.builds import build_key
from citadel.core.compiled import PROGRAM, CompiledStep
from citadel.core.events import Failure, StepRecalled
from citadel.core.plan import Plan
from citadel.core.state import State, StepState
from citadel.core.values import BuildKey, Content, Inline, MissingValues, Values, decode_value

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


def built(program: Content) -> Inline:
    """The output of a build."""
    return Inline({"program": program.digest, "size": program.size})
