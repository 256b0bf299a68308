"""A definition, compiled: what the engine knows of a workflow before anything happened.

A definition is the JSON document that an execution pins: `{"spec": WorkflowSpec,
"runtimes": {name: RuntimeSpec}, "code": {step: text}}`, and what the admin's policies make of it: `"shared"`,
the Runtimes that are the admin's own, and `"runtimeClassName"` of sandboxes that name none; and `"packages"`,
where those of its Runtimes are, and `"images"`, the ids of their images.
Its digest names the plan, so a plan may be cached for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from citadel.api.actions import ResourceList, Resources
from citadel.api.durations import quantity
from citadel.api.problems import Problem
from citadel.api.runtime import RuntimeSpec
from citadel.api.workflow import WorkflowSpec
from citadel.core import builds
from citadel.core.checking import Sight
from citadel.core.compiled import CompiledStep
from citadel.core.graph import dependents
from citadel.core.inputs import InputSchema, InvalidSchema, compile_inputs
from citadel.core.instances import container, definition, turn, visible
from citadel.core.jsonvalues import canonical, digest
from citadel.core.parcels import is_data
from citadel.core.steps import StepCompiler
from citadel.core.templates import Template

DEFAULT_RESOURCES = Resources(
    requests=ResourceList(cpu="50m", memory="64Mi"), limits=ResourceList(cpu="1", memory="256Mi")
)


class InvalidDefinition(ValueError):
    """The definition cannot run; `problems` says where and why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class Placement:
    """Which sandbox a step may run in. Steps with equal keys may share one, unless `exclusive`."""

    key: str
    template: Mapping[str, Any]
    exclusive: bool
    egress: tuple[str, ...] = ()
    """What is reached from there, as `host:port`, sorted. No part of the template: the runner is told with
    each assignment."""
    index: str | None = None
    """The one of them that the installation itself grants: packages are installed from there."""
    pool: str | None = None
    """The warm pool that may have such a sandbox ready: only images of Runtimes have pools."""

    @property
    def asked(self) -> tuple[str, ...]:
        """The destinations that policies have to allow."""
        return tuple(destination for destination in self.egress if destination != self.index)


@dataclass(frozen=True)
class Given:
    """What a definition says of its sandboxes beside the Runtimes."""

    shared: frozenset[str] = frozenset()
    """Runtimes of the operator's namespace."""
    runtime_class: str | None = None
    """RuntimeClass of sandboxes whose Runtime names none."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Ids of images that have no digest to name them by, by Runtime."""
    packages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Installed packages by Runtime: `{"namespace", "digest", "size"}`."""
    index: str | None = None
    """Where this definition installs packages from, if it is the operator's own for that."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """What an admin lets a sandbox have at most: for what nobody asks for, such as builds."""


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
        if turn(instance) is None and (step := self.step(instance)).in_own_scope:
            return step.scope
        return container(instance)

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
    spec = WorkflowSpec.model_validate(definition["spec"])
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
    steps = builds.with_builds(workflow.steps, runtimes, given.limits)
    if len(steps) > len(workflow.steps):
        after = {name: step.after for name, step in steps.items()}
        finishers = finishers_of(steps.values())
        workflow = replace(workflow, steps=steps, dependents=dependents(after), finishers=finishers)
    return Plan(
        digest=digest(canonical(dict(definition))),
        workflow=workflow,
        placements={
            name: place(step, runtimes, given) for name, step in workflow.steps.items() if step.sandboxed
        },
        code=definition["code"],
        runtimes=runtimes,
        index=definition.get("index"),
    )


def place(step: CompiledStep, runtimes: Mapping[str, RuntimeSpec], given: Given | None = None) -> Placement:
    """Where the attempts of a step run; raises InvalidDefinition for a runtime that is not there."""
    template: dict[str, Any]
    given = given or Given()
    egress = set(step.spec.network.egress) if step.spec.network else set()
    if step.spec.run is not None:
        name = step.spec.run.runtime
        if name not in runtimes:
            path = (*step.place, "run", "runtime")
            raise InvalidDefinition([Problem(path, f"found {name!r}, expected the name of a Runtime")])
        runtime = runtimes[name]
        if step.spec.run.entrypoint is not None and runtime.language in builds.FLAGS:
            found = f"found one, but {runtime.language} is compiled from code; expected code or codeFrom"
            raise InvalidDefinition([Problem((*step.place, "run", "entrypoint"), found)])
        egress.update(runtime.network.egress if runtime.network else ())
        template = runtime_template(runtime, step.spec.run.resources, given.packages.get(name))
        if step.builds is not None:
            resources, scratch = builds.room(given.limits)
            template |= {"resources": _dumped(resources), "scratch": scratch}
            egress = set()
    else:
        assert step.spec.container is not None
        resources = merge_resources(DEFAULT_RESOURCES, step.spec.container.resources)
        template = {"image": step.spec.container.image, "resources": _dumped(resources)}
        if any(is_data(path) for path in (*step.taken, *step.left.values())):
            # A volume more, which only those pay for that use it.
            template["data"] = True
    if given.runtime_class is not None:
        template.setdefault("runtimeClassName", given.runtime_class)
    exclusive = (
        step.spec.isolation == "step" or step.spec.container is not None or step.spec.cache is not None
    )
    key = template_key(template)
    # Any egress: a sandbox is told of it with its assignment.
    pool = key if step.spec.run is not None else None
    reached = tuple(sorted(egress))
    if reached:
        # Steps of one session reach the same: nothing is left behind that a later one could not fetch itself.
        key += "+" + digest(canonical(list(reached))).removeprefix("sha256:")[:8]
    if step.spec.run is not None and step.spec.run.runtime in given.shared:
        template["shared"] = True  # whose it is makes no other sandbox of it
    if step.spec.run is not None and step.spec.run.runtime in given.images:
        template["imageId"] = given.images[step.spec.run.runtime]  # what it turns out to be, neither
    placed = f"{key}/{step.name}" if exclusive else key
    return Placement(placed, template, exclusive, reached, pool=pool, index=given.index)


def runtime_template(
    runtime: RuntimeSpec, override: Resources | None = None, packages: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the pods of a Runtime are made of. Its steps may `override` resources; `packages` says where."""
    template = runtime.model_dump(
        by_alias=True, exclude_none=True, exclude={"env", "network", "packages", "pool"}, mode="json"
    )
    resources = merge_resources(DEFAULT_RESOURCES, runtime.resources)
    if override is not None:
        resources = merge_resources(resources, override)
    template["resources"] = _dumped(resources)
    return template if packages is None else {**template, "packages": dict(packages)}


def template_key(template: Mapping[str, Any]) -> str:
    """Sandboxes of equal keys are alike: a change of a Runtime is another key."""
    return digest(canonical(dict(template))).removeprefix("sha256:")[:16]


def _dumped(resources: Resources) -> dict[str, Any]:
    return resources.model_dump(by_alias=True, exclude_none=True, mode="json")


def merge_resources(base: Resources, override: Resources) -> Resources:
    """`override` where it says something; requests never exceed limits: often only a limit is named."""
    limits = _merge(base.limits, override.limits)
    requests = _merge(base.requests, override.requests)
    for amount in ("cpu", "memory"):
        wanted, most = getattr(requests, amount), getattr(limits, amount)
        if wanted and most and quantity(wanted) > quantity(most):
            requests = requests.model_copy(update={amount: most})
    return Resources(requests=requests, limits=limits)


def _merge(base: ResourceList, override: ResourceList) -> ResourceList:
    return base.model_copy(update=override.model_dump(exclude_none=True))


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
