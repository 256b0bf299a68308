"""Where the attempts of a step run: what its sandbox is made of, and who may share it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.api.actions import ResourceList, Resources
from citadel.api.durations import quantity
from citadel.api.problems import Problem
from citadel.api.runtime import RuntimeSpec
from citadel.core import builds
from citadel.core.compiled import CompiledStep
from citadel.core.jsonvalues import canonical, digest
from citadel.core.parcels import is_data

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


def place(step: CompiledStep, runtimes: Mapping[str, RuntimeSpec], given: Given | None = None) -> Placement:
    """Where the attempts of a step run; raises InvalidDefinition for a runtime that is not there."""
    template: dict[str, Any]
    given = given or Given()
    egress = set(step.spec.network.egress) if step.spec.network else set()
    if step.spec.run is not None:
        name = step.spec.run.runtime
        if name not in runtimes:
            raise InvalidDefinition([_no_runtime(step, name)])
        runtime = runtimes[name]
        if step.agent is not None and runtime.language != "python":
            found = f"found Runtime {name} of the language {runtime.language}, expected one of python"
            raise InvalidDefinition([Problem((*step.place, "agent", "name"), found)])
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
    if step.agent is not None:
        template["agent"] = True  # a member of the Runtime's pool does as well
        if step.depth:
            template["agentsAround"] = step.depth  # by which room is kept for what agents call
    placed = f"{key}/{step.name}" if exclusive else key
    return Placement(placed, template, exclusive, reached, pool=pool, index=given.index)


def _no_runtime(step: CompiledStep, name: str) -> Problem:
    own = step.agent is None and step.tool is None
    field = (
        ("run", "runtime") if own else ("agent" if step.agent is not None or step.hidden else "tool", "name")
    )
    by = "" if own else f" for what step {step.path} runs"
    return Problem((*step.place, *field), f"found {name!r}, expected the name of a Runtime{by}")


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
