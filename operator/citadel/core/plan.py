"""A definition, compiled: what the engine knows of a workflow before anything happened.

A definition is the JSON document that an execution pins: `{"spec": WorkflowSpec,
"runtimes": {name: RuntimeSpec}, "code": {step: text}}`, and what the admin's policies make of it: `"shared"`,
the Runtimes that are the admin's own, and `"runtimeClassName"` of sandboxes that name none; and `"packages"`,
where those of its Runtimes are, and `"images"`, the ids of their images. `"agents"` and `"tools"` are those
that its steps name, and those that these name (`core/pinned.py`), of which `"sharedAgents"` and
`"sharedTools"` are the admin's own.
Its digest names the plan, so a plan may be cached for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from citadel.api.agent import AgentSpec
from citadel.api.durations import quantity
from citadel.api.problems import Problem
from citadel.api.runtime import RuntimeSpec
from citadel.api.validate import without_nulls
from citadel.api.workflow import WorkflowSpec
from citadel.core import builds
from citadel.core.agentsteps import with_agents
from citadel.core.checking import Sight
from citadel.core.compiled import CompiledStep
from citadel.core.graph import dependents
from citadel.core.inputs import InputSchema, InvalidSchema, compile_inputs
from citadel.core.instances import around, container, definition, turn, visible
from citadel.core.jsonvalues import canonical, digest
from citadel.core.pinned import PinnedTool, pinned_agents, pinned_tools
from citadel.core.placing import Given, InvalidDefinition, Placement, place
from citadel.core.steps import StepCompiler
from citadel.core.templates import Template


@dataclass(frozen=True)
class Workflow:
    """What can be said of a workflow without its runtimes: enough to lint it."""

    spec: WorkflowSpec
    steps: dict[str, CompiledStep]
    """All steps by definition path: inner ones, those of `finally`, handlers, compensations."""
    dependents: dict[str, tuple[str, ...]]
    finishers: dict[str, tuple[str, ...]]
    """Steps with `join: finished`, by their scope: they run after a failure too."""
    inputs: InputSchema
    outputs: dict[str, Template]
    timeout: float | None
    pending_timeout: float | None = None
    group: Template | None = None
    """Name of the concurrency group, where it is not the Workflow's."""


@dataclass(frozen=True)
class Plan:
    """A workflow with everything it needs to run."""

    digest: str
    workflow: Workflow
    placements: dict[str, Placement]
    code: Mapping[str, str]
    runtimes: Mapping[str, RuntimeSpec]
    index: str | None = None
    """Where this definition installs packages from, as `host:port`, if it is the operator's own for that."""
    agents: Mapping[str, AgentSpec] = field(default_factory=dict)
    shared_agents: frozenset[str] = frozenset()
    """Those that are the admin's own: what they name is found beside them."""
    shared_tools: frozenset[str] = frozenset()
    tools: Mapping[str, PinnedTool] = field(default_factory=dict)
    layers: Mapping[str, int] = field(default_factory=dict)
    """Of placements of agents' calls: how many agents are around them. Those of a layer wait for what is in
    deeper ones alone, so each layer has its own `parallelism`; else calls could wait for their agents."""
    callable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Placements of what each agent may call, and of what that may call in turn, by the path of its step."""

    def step(self, instance: str) -> CompiledStep:
        """The definition of a step instance."""
        steps = self.workflow.steps
        # Most are their own definition, and this is asked for often.
        return steps.get(instance) or steps[definition(instance)]

    def placement(self, instance: str) -> Placement:
        """Where attempts of a step instance run; KeyError for steps that need no sandbox."""
        return self.placements[definition(instance)]

    def places(self, instance: str, placement: str) -> bool:
        """Whether attempts of a step instance run in sandboxes of this placement."""
        found = self.placements.get(definition(instance))
        return found is not None and found.key == placement

    def beside(self, instance: str, path: str) -> str:
        """The instance of the definition `path` that a step instance waits for, or that waits for it."""
        return path if self.steps[path].builds is not None else visible(instance, path)

    def scope_of(self, instance: str) -> str:
        """The id of the group or loop that a step instance counts in; empty for those at the top."""
        own = self.step(instance).counted_in if turn(instance) is None else None
        return container(instance) if own is None else own

    def code_of(self, step: CompiledStep) -> str | None:
        """The source text of a step that runs code, or builds it; None where the image has it."""
        assert step.spec.run is not None
        if step.spec.run.entrypoint is not None:
            return None
        return step.spec.run.code or self.code[step.builds or step.path]

    @property
    def steps(self) -> dict[str, CompiledStep]:
        return self.workflow.steps


def compile_workflow(spec: WorkflowSpec) -> Workflow:
    """The workflow's graph and expressions; raises InvalidDefinition with every problem found."""
    compiler = StepCompiler()
    steps = compiler.compile(spec.steps, spec.finally_steps)
    problems = compiler.problems
    try:
        inputs = compile_inputs(spec.inputs)
    except InvalidSchema as error:
        problems.append(Problem(("spec", "inputs", *error.path), error.message))
        inputs = compile_inputs(None)
    names = {step.spec.name: path for path, step in steps.items() if step.scope == ""}
    outputs: dict[str, Template] = {}
    for name, value in spec.outputs.items():
        template = compiler.template(("spec", "outputs", name), value, Sight("", names))
        if template is not None:
            outputs[name] = template
    problems += _resource_problems(steps.values())
    timeout = compiler.timeout(("spec", "timeout"), spec.timeout)
    pending_timeout = compiler.timeout(("spec", "pendingTimeout"), spec.pending_timeout)
    group = None
    if spec.concurrency is not None and spec.concurrency.group is not None:
        before = Sight("", {}, frozenset(("inputs", "execution")))
        group = compiler.template(("spec", "concurrency", "group"), spec.concurrency.group, before)
    if problems:
        raise InvalidDefinition(problems)
    return Workflow(
        spec=spec,
        steps=steps,
        dependents=dependents({path: step.after for path, step in steps.items()}),
        finishers=finishers_of(steps.values()),
        inputs=inputs,
        outputs=outputs,
        timeout=timeout,
        pending_timeout=pending_timeout,
        group=group,
    )


def finishers_of(steps: Iterable[CompiledStep]) -> dict[str, tuple[str, ...]]:
    """The steps that run after a failure too, by scope."""
    found: dict[str, tuple[str, ...]] = {}
    for step in steps:
        if step.spec.join == "finished":
            found[step.scope] = (*found.get(step.scope, ()), step.name)
    return found


def compile_definition(definition: Mapping[str, Any]) -> Plan:
    """The plan of a pinned definition; raises InvalidDefinition."""
    # Below some depth the API server does not look, and keeps what is left empty.
    spec = WorkflowSpec.model_validate(without_nulls(WorkflowSpec, definition["spec"]))
    runtimes = {name: RuntimeSpec.model_validate(item) for name, item in definition["runtimes"].items()}
    workflow = compile_workflow(spec)
    given = Given(
        frozenset(definition.get("shared", ())),
        definition.get("runtimeClassName"),
        definition.get("images", {}),
        definition.get("packages", {}),
        definition.get("index"),
        definition.get("limits", {}),
    )
    agents, tools = pinned_agents(definition), pinned_tools(definition)
    steps = with_agents(workflow.steps, agents, tools, given.limits)
    changed = any(step.agent is not None or step.tool is not None for step in steps.values())
    steps = builds.with_builds(steps, runtimes, given.limits)
    if changed or len(steps) > len(workflow.steps):
        after = {name: step.after for name, step in steps.items()}
        finishers = finishers_of(steps.values())
        workflow = replace(workflow, steps=steps, dependents=dependents(after), finishers=finishers)
    placements = {
        name: place(step, runtimes, given) for name, step in workflow.steps.items() if step.sandboxed
    }
    layers = {
        placements[name].key: depth
        for name in placements
        if changed and (depth := sum(steps[path].agent is not None for path in around(name)))
    }
    return Plan(
        digest=digest(canonical(dict(definition))),
        workflow=workflow,
        placements=placements,
        code=definition["code"],
        runtimes=runtimes,
        index=definition.get("index"),
        agents=agents,
        shared_agents=frozenset(definition.get("sharedAgents", ())),
        shared_tools=frozenset(definition.get("sharedTools", ())),
        tools=tools,
        layers=layers,
        callable=_callable(steps, placements, runtimes) if changed else {},
    )


def _callable(
    steps: Mapping[str, CompiledStep],
    placements: Mapping[str, Placement],
    runtimes: Mapping[str, RuntimeSpec],
) -> dict[str, tuple[str, ...]]:
    """Where calls of each agent would run, in the order of its tools, what those call behind each: without
    those that people have to approve, and those for which a pool has sandboxes ready."""
    found: dict[str, list[str]] = {}
    for name, placement in placements.items():
        step = steps[name]
        pool = None if step.spec.run is None else runtimes[step.spec.run.runtime].pool
        if not step.hidden or (pool is not None and pool.min):
            continue
        for path in around(name):
            if steps[path].children:
                break
            if steps[path].agent is not None:
                found.setdefault(path, []).append(placement.key)
    return {path: tuple(keys) for path, keys in found.items()}


def _resource_problems(steps: Iterable[CompiledStep]) -> list[Problem]:
    problems = []
    for step in steps:
        action = step.spec.run or step.spec.container
        for amount in ("cpu", "memory") if action is not None else ():
            assert action is not None
            wanted = getattr(action.resources.requests, amount)
            most = getattr(action.resources.limits, amount)
            if wanted and most and quantity(wanted) > quantity(most):
                kind = "run" if step.spec.run else "container"
                path = (*step.place, kind, "resources", "requests", amount)
                problems.append(Problem(path, f"found {wanted}, expected at most the limit {most}"))
    return problems
