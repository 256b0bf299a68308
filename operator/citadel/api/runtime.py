"""The Runtime resource: the image in which code of one language runs, and where."""

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from citadel.api.actions import EnvVar, ResourceList, Resources
from citadel.api.egress import Network
from citadel.api.meta import Duration, Model, NameRef, ObjectName, Quantity
from citadel.api.packages import ECOSYSTEMS, Packages
from citadel.api.workflow import DefinitionStatus

_Label = Annotated[str, StringConstraints(max_length=316)]


Language = Literal["python", "javascript", "go", "java"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


def _not_of_the_system(name: str) -> str:
    # They would push out what the cluster itself runs on; a Runtime is a namespace's business.
    if name.startswith("system-"):
        raise ValueError(f"found {name!r}, expected a PriorityClass that is not the cluster's own (system-…)")
    return name


class Toleration(Model):
    """A taint that sandboxes of this Runtime tolerate."""

    key: _Label | None = None
    """Taint key; empty means all."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How value is compared."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Taint value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect to tolerate; empty means all."""


class Pool(Model):
    """Sandboxes that are started ahead and wait, so that a step begins within milliseconds."""

    min: Annotated[int, Field(ge=0, le=100)] = 0
    """How many wait at least."""
    max: Annotated[int, Field(ge=1, le=100)]
    """How many wait at most, after much was asked for."""
    idle_ttl: Annotated[Duration, Field(alias="idleTTL")] = "5m"
    """Time without demand after which those beyond min end."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"found min {self.min} and max {self.max}, expected a min of at most max")
        return self


class RuntimeSpec(Model):
    """The image in which code of one language runs, its resources, and the nodes it may run on."""

    language: Language = "python"
    """Language whose harness the image carries."""
    image: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\s]+$")]
    """Image with the language's harness."""
    resources: Resources = Resources(
        requests=ResourceList(cpu="50m", memory="64Mi"), limits=ResourceList(cpu="1", memory="256Mi")
    )
    """What a sandbox asks for and may use at most."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra={"map": "name"})] = ()
    """Environment variables of every step that uses this Runtime; not templated."""
    scratch: Quantity | None = None
    """Memory that files in /work and /tmp may take together. Without it they share the 64Mi of /dev/shm, from
    which nothing can be executed, and a sandbox starts 0.3 s sooner."""
    packages: Packages | None = None
    """Packages that steps of this Runtime may import; installed once, from the indexes of the installation.
    They take their room of scratch."""
    image_pull_secrets: Annotated[
        tuple[NameRef, ...], Field(max_length=8, json_schema_extra={"map": "name"})
    ] = ()
    """Secrets of the sandbox namespace with which the image is pulled. Like the labels, taints and priority
    below, a Runtime beyond the operator's namespace has those that an ExecutionPolicy lists."""
    runtime_class_name: ObjectName | None = None
    """RuntimeClass of the sandboxes, such as one of gVisor; bounded by ExecutionPolicies."""
    node_selector: Annotated[
        dict[_Label, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=16)
    ] = Field(default_factory=dict)
    """Labels a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that are tolerated."""
    priority_class_name: (
        Annotated[str, StringConstraints(max_length=253), AfterValidator(_not_of_the_system)] | None
    ) = None
    """PriorityClass of the sandboxes; not one of the cluster's own, whose names begin with system-."""
    network: Network | None = None
    """What every step that uses this Runtime reaches beyond its sandbox."""
    pool: Pool | None = None
    """Warm sandboxes: a Runtime of the operator's namespace keeps them for all namespaces, any other for its
    own. Without it every sandbox is started when it is wanted."""

    @model_validator(mode="after")
    def _own_packages(self) -> Self:
        own = ECOSYSTEMS[self.language]
        for ecosystem, _ in self.packages.listed() if self.packages is not None else ():
            if ecosystem != own:
                raise ValueError(
                    f"found packages.{ecosystem}, expected packages.{own}: the language is {self.language}"
                )
        return self


class SeenImage(Model):
    """What an image reference stood for when a sandbox last ran it."""

    reference: Annotated[str, StringConstraints(max_length=512)]
    """As the spec names it."""
    id: Annotated[str, StringConstraints(max_length=512)]
    """As the node's container runtime names it: with a digest, where the image came from a registry."""


class InstalledPackages(Model):
    """The packages of a Runtime, installed."""

    digest: Annotated[str, StringConstraints(max_length=80)]
    """Digest of the tree."""
    size: Annotated[int, Field(ge=0)]
    """Its bytes."""
    execution: Annotated[str, StringConstraints(max_length=253)]
    """Execution that installed them; its name says for which image and packages."""


class PoolStatus(Model):
    """The warm sandboxes of a Runtime, as they were a while ago."""

    ready: Annotated[int, Field(ge=0)]
    """How many wait to be claimed."""
    wanted: Annotated[int, Field(ge=0)]
    """How many shall wait."""


class RuntimeStatus(DefinitionStatus):
    """Whether steps can use a Runtime, and what was made for it."""

    packages: InstalledPackages | None = None
    """Where its packages are."""
    image: SeenImage | None = None
    """Which image its reference stands for; Executions that start are given that one."""
    pool: PoolStatus | None = None
    """The warm pool, if there is one; written now and then."""
