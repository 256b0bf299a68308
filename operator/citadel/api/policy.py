"""The ExecutionPolicy resource: what the cluster's admin lets sandboxes of some namespaces be and use."""

from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from citadel.api.budget import DailyBudget
from citadel.api.egress import Destination
from citadel.api.meta import Duration, Model, ObjectName, Quantity
from citadel.api.runtime import Toleration
from citadel.api.workflow import Isolation

#: A registry's host is never left out: `alpine` and `docker.io/library/alpine` are the same image.
IMAGE_PREFIX_PATTERN = r"^([a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]{1,5})?|[a-z0-9-]+:[0-9]{1,5}|localhost)/[^\s]*$"
PRIVATE_PATTERN = r"^[0-9a-f.:]+/[0-9]{1,3}:[0-9]{1,5}$"
LABEL_PATTERN = r"^([A-Za-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"

ImagePrefix = Annotated[str, StringConstraints(pattern=IMAGE_PREFIX_PATTERN, min_length=1, max_length=512)]
LabelKey = Annotated[str, StringConstraints(pattern=LABEL_PATTERN, max_length=316)]
LabelValue = Annotated[str, StringConstraints(max_length=63)]


def _network(text: str) -> str:
    """A network with a port as it was written; raises ValueError."""
    network, _, port = text.rpartition(":")
    try:
        if not 0 < int(port) < 65536:
            raise ValueError
        ip_network(network)
    except ValueError:
        raise ValueError(f"found {text!r}, expected a network and a port such as 10.1.0.0/16:5432") from None
    return text


PrivateDestination = Annotated[
    str, StringConstraints(pattern=PRIVATE_PATTERN, max_length=64), AfterValidator(_network)
]


class LabelRequirement(Model):
    """One demand on a namespace's labels."""

    key: LabelKey
    """Label that is meant."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """What is demanded of it."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()
    """Values for In and NotIn; empty for the others."""

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            expected = "values" if self.operator in ("In", "NotIn") else "no values"
            raise ValueError(f"found {len(self.values)} values with {self.operator}, expected {expected}")
        return self


class NamespaceSelector(Model):
    """Which namespaces are meant: those that fit all of it. An empty one means all."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    """Labels with the values they must have."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=16)] = ()
    """Further demands."""


class ImageRules(Model):
    """Images by what their full reference begins with, up to a border: host/team does not mean host/team2."""

    allow: Annotated[tuple[ImagePrefix, ...], Field(max_length=64)] | None = None
    """What images must be below; without it every image is allowed."""
    deny: Annotated[tuple[ImagePrefix, ...], Field(max_length=64)] = ()
    """What images must not be below, whoever allows it."""


class RuntimeClassRules(Model):
    """RuntimeClasses of the sandboxes."""

    name: ObjectName | None = None
    """RuntimeClass of every sandbox whose Runtime names none."""
    allowed: Annotated[tuple[ObjectName, ...], Field(max_length=16)] | None = None
    """RuntimeClasses that a sandbox may have at all; without it the one of name, if that is set."""

    @model_validator(mode="after")
    def _allows_its_own(self) -> Self:
        if self.name and self.allowed is not None and self.name not in self.allowed:
            raise ValueError(f"found name {self.name!r}, expected one of allowed")
        return self


class EgressPolicy(Model):
    """Destinations beyond the sandboxes, as host:port, the host a full name or *. and one."""

    allow: Annotated[tuple[Destination, ...], Field(max_length=256)] | None = None
    """What steps may name and reach. Where no policy allows anything, nothing is reached."""
    deny: Annotated[tuple[Destination, ...], Field(max_length=256)] = ()
    """What is never reached, whoever allows it."""


class Credential(Model):
    """A credential of the admin's, and where it may be sent."""

    name: ObjectName
    """Name by which it is asked for."""
    hosts: Annotated[tuple[Destination, ...], Field(min_length=1, max_length=64)]
    """Destinations that it may be sent to, and no other."""


class SandboxLimits(Model):
    """What one sandbox may have at most."""

    cpu: Quantity | None = None
    """Highest limit of processor cores."""
    memory: Quantity | None = None
    """Highest limit of memory."""
    scratch: Quantity | None = None
    """Highest scratch of a Runtime."""
    timeout: Duration | None = None
    """Longest time of one attempt; steps that say none get this one."""


class PoolLimits(Model):
    """Warm pools of the Runtimes of these namespaces."""

    max: Annotated[int, Field(ge=0, le=1000)]
    """Highest spec.pool.max of a Runtime."""


class ExecutionPolicySpec(Model):
    """Bounds for all sandboxes of the namespaces it selects. Of several policies each must permit."""

    namespace_selector: NamespaceSelector = NamespaceSelector()
    """Namespaces that it holds for; empty: all."""
    images: ImageRules = ImageRules()
    """Images of container steps and of the namespaces' own Runtimes. Shared Runtimes are the admin's."""
    runtime_class: RuntimeClassRules = RuntimeClassRules()
    """RuntimeClasses, such as gVisor's."""
    egress: EgressPolicy = EgressPolicy()
    """What is reached beyond the sandboxes; without a policy that allows it: nothing."""
    private_destinations: Annotated[tuple[PrivateDestination, ...], Field(max_length=64)] | None = None
    """Networks, with a port, that a name which may be reached may stand for though they are private."""
    credentials: Annotated[
        tuple[Credential, ...], Field(max_length=64, json_schema_extra={"map": "name"})
    ] = ()
    """Credentials of the admin's. Nothing sends these yet: this is checked, and bounds nothing."""
    limits: SandboxLimits = SandboxLimits()
    """What one sandbox may have at most."""
    budget: DailyBudget | None = None
    """What the models may cost that executions of each of these namespaces ask in a day."""
    record_prompts: bool = False
    """Whether what agents ask models is kept beside the answers, until the execution is gone: for a record of
    a run that can be played back. It holds whatever they read and were told. One policy that says so is
    enough."""
    pools: PoolLimits | None = None
    """Warm pools of the namespaces' own Runtimes."""
    image_pull_secrets: Annotated[tuple[ObjectName, ...], Field(max_length=64)] | None = None
    """Secrets of the sandbox namespace that the namespaces' own Runtimes may name. Where no policy has this
    list, they may name none."""
    node_selector: (
        Annotated[
            dict[LabelKey, Annotated[tuple[LabelValue, ...], Field(min_length=1, max_length=64)]],
            Field(max_length=16),
        ]
        | None
    ) = None
    """Labels that they may ask of nodes, each with the values it may have; likewise."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] | None = None
    """Taints that they may tolerate, as widely as this or less; likewise."""
    priority_class_names: Annotated[tuple[ObjectName, ...], Field(max_length=16)] | None = None
    """PriorityClasses that they may have; likewise."""
    isolation: Isolation = Isolation()
    """What must be proven of a sandbox before it gets work."""
