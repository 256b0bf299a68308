"""Whether definitions can be used, each by itself and under the policies of its namespace. Pure."""

from collections.abc import Mapping, Sequence

from citadel.api.reasons import Reason
from citadel.api.runtime import RuntimeSpec
from citadel.api.validate import InvalidObject, parse
from citadel.api.workflow import WorkflowSpec
from citadel.core.compiled import CompiledStep
from citadel.core.lookups import lookup_problems
from citadel.core.placing import InvalidDefinition, Placement
from citadel.core.plan import compile_workflow
from citadel.core.policy import Policy, step_denial
from citadel.kube.resources import Object

#: Seconds for which a missing Workflow, Runtime or ConfigMap is waited for.
NOT_FOUND_GRACE = 10.0


class Unusable(Exception):
    """A definition cannot be used; `waits` says whether that may pass by itself."""

    def __init__(self, reason: Reason, message: str, *, waits: bool, grace: float = NOT_FOUND_GRACE) -> None:
        super().__init__(message)
        self.reason, self.message, self.waits = reason, message, waits
        self.grace = grace
        """Seconds for which an Execution waits, where that may help."""

    def within(self, place: str) -> "Unusable":
        """The same, as it is told of what needs the definition; `place` comes before its words."""
        message = f"{place}: {self.message}"
        return Unusable(self.reason, message[:1024], waits=self.waits, grace=self.grace)


def together(problems: list[Unusable]) -> Unusable | None:
    """All of them in one: the first one's reason; None for none."""
    if not problems:
        return None
    messages = dict.fromkeys(problem.message for problem in problems)
    waits = all(problem.waits for problem in problems)
    return Unusable(problems[0].reason, "; ".join(messages)[:2048], waits=waits, grace=problems[0].grace)


def checked(workflow: Object) -> WorkflowSpec:
    """The spec of a Workflow, its graph and expressions checked; raises Unusable."""
    name = workflow["metadata"]["name"]
    try:
        spec = parse("Workflow", workflow)
    except InvalidObject as error:
        raise Unusable(Reason.INVALID_SPEC, str(error)[:1024], waits=False) from None
    try:
        compiled = compile_workflow(spec)
        if problems := lookup_problems(compiled):
            raise InvalidDefinition(problems)
    except InvalidDefinition as error:
        raise Unusable(Reason.INVALID_SPEC, f"Workflow {name}: {error}"[:1024], waits=False) from None
    return spec


def read_runtime(runtime: Object) -> RuntimeSpec:
    """The spec of a Runtime; raises Unusable."""
    try:
        return parse("Runtime", runtime)
    except InvalidObject as error:
        raise Unusable(Reason.INVALID_SPEC, str(error)[:1024], waits=False) from None


def runtime_names(spec: WorkflowSpec) -> list[str]:
    """The Runtimes that a workflow's steps name, each once."""
    return sorted({step.run.runtime for _, step in spec.every_step() if step.run is not None})


def check_steps(
    policies: Sequence[Policy],
    namespace: str,
    workflow: str,
    steps: Mapping[str, CompiledStep],
    placements: Mapping[str, Placement],
) -> None:
    """Raises Unusable for the first step that a policy does not permit."""
    for name, step in steps.items():
        placed = placements.get(name)
        if placed is None:
            continue
        denial = step_denial(policies, namespace, placed.template, placed.asked, step.spec.timeout)
        if denial is not None:
            message = f"Workflow {workflow}, step {name}: {denial}"
            # The policy or the namespace's labels may change as well as the workflow.
            raise Unusable(Reason.POLICY_DENIED, message[:1024], waits=True)
