"""The Runtime resource: the image in which code of one language runs, and where."""

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

from citadel.api.egress import Network
from citadel.api.meta import Model, NameRef, Quantity
from citadel.api.step import EnvVar, ResourceList, Resources

_Label = Annotated[str, StringConstraints(max_length=316)]


Language = Literal["python", "javascript"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


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
    image_pull_secrets: Annotated[
        tuple[NameRef, ...], Field(max_length=8, json_schema_extra={"map": "name"})
    ] = ()
    """Secrets of the sandbox namespace with which the image is pulled."""
    node_selector: Annotated[
        dict[_Label, Annotated[str, StringConstraints(max_length=63)]], Field(max_length=16)
    ] = Field(default_factory=dict)
    """Labels a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints that are tolerated."""
    priority_class_name: Annotated[str, StringConstraints(max_length=253)] | None = None
    """PriorityClass of the sandboxes."""
    network: Network | None = None
    """What every step that uses this Runtime reaches beyond its sandbox."""
