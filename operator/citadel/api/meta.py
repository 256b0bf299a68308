"""Names every part shares: API group, labels, annotations, and the base of all resource models."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "citadel.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

#: Labels of sandbox pods are constant: each distinct set is a network identity of its own under Cilium.
SANDBOX_LABELS = {
    "app.kubernetes.io/name": "citadel",
    "app.kubernetes.io/component": "sandbox",
    "app.kubernetes.io/managed-by": "citadel",
}
#: One more, of pods in which agents run: they alone reach the model gateway.
AGENTS_LABELS = {f"{GROUP}/agents": "true"}
#: On a Runtime: its warm pool is for agents.
AGENTS_ANNOTATION = f"{GROUP}/agents"
EXECUTION_ANNOTATION = f"{GROUP}/execution"
SPEC_HASH_ANNOTATION = f"{GROUP}/spec-hash"
#: On an Execution: the Trigger that started it, and for which time of its schedule.
TRIGGER_LABEL = f"{GROUP}/trigger"
SCHEDULED_ANNOTATION = f"{GROUP}/scheduled-time"
#: On an Execution of a Trigger that somebody started by hand: "manual".
MANUAL_ANNOTATION = f"{GROUP}/instantiate"
#: On an Execution that a step of another one wanted: the uid of that one, the step, its attempt, and whether
#: it was suspended because that one is.
PARENT_LABEL = f"{GROUP}/parent"
PARENT_STEP_ANNOTATION = f"{GROUP}/parent-step"
PARENT_ATTEMPT_ANNOTATION = f"{GROUP}/parent-attempt"
SUSPENDED_BY_PARENT_ANNOTATION = f"{GROUP}/suspended-by-parent"
#: On Workflow and Execution that install packages: the uid of the Runtime for which.
PACKAGES_LABEL = f"{GROUP}/packages-of"
#: On a Secret: where it may be sent as the credential of a Model or Tool, as host:port with commas between.
HOSTS_ANNOTATION = f"{GROUP}/hosts"
#: On what has no field for it, such as a Runtime: its version, by which Agents may depend on it.
VERSION_ANNOTATION = f"{GROUP}/version"
#: On a RuntimeClass: "true" if sandboxes of this class can have a user namespace of their own.
USER_NAMESPACES_ANNOTATION = f"{GROUP}/user-namespaces"
#: On a RuntimeClass: "true" if its sandboxes have a kernel of their own, which lets any process mount memory.
OWN_MOUNTS_ANNOTATION = f"{GROUP}/own-mounts"

STEP_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"
#: A duration of Go's grammar, restricted to what people write, and with days: `500ms`, `30s`, `1h30m`, `2d`.
DURATION_PATTERN = r"^([0-9]{1,7}(ms|s|m|h|d))+$"
QUANTITY_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,6})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
DNS_SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
ARGUMENT_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
ENV_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

#: By what the API server tells objects of one name apart; it goes into queries of a database.
UID_PATTERN = r"^[A-Za-z0-9-]+$"
#: A sha256 in hexadecimal, or the beginning of one.
REVISION_PATTERN = r"^(sha256:)?[0-9a-f]{8,64}$"

StepName = Annotated[str, StringConstraints(pattern=STEP_NAME_PATTERN, max_length=63)]
Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=32)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY_PATTERN, max_length=32)]
ObjectName = Annotated[str, StringConstraints(pattern=DNS_SUBDOMAIN_PATTERN, min_length=1, max_length=253)]
Revision = Annotated[str, StringConstraints(pattern=REVISION_PATTERN, min_length=8, max_length=71)]
ArgumentName = Annotated[str, StringConstraints(pattern=ARGUMENT_NAME_PATTERN, max_length=63)]
#: How many executions that ended are kept as objects.
HistoryLimit = Annotated[int, Field(ge=0, le=10_000)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Model(BaseModel):
    """A part of a resource: immutable, camelCase on the wire, and strict about unknown fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class NameRef(Model):
    """A reference to an object by its name."""

    name: ObjectName
    """Name of the object."""


class KeyRef(Model):
    """A reference to one key of a ConfigMap or Secret in the execution's own namespace."""

    name: ObjectName
    """Name of the ConfigMap or Secret."""
    key: Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]
    """Key whose value is meant."""
