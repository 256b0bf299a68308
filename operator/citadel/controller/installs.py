"""What of a Runtime must be installed, and whether that has been done: read from the objects, pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.meta import PACKAGES_LABEL
from citadel.api.reasons import ConditionType, Reason
from citadel.api.runtime import InstalledPackages, RuntimeSpec
from citadel.api.workflow import WorkflowSpec
from citadel.controller.images import pinned
from citadel.installers import source
from citadel.kube.resources import Object
from citadel.render.packages import SCRATCH, Indexes, Install


class NotInstalled(Exception):
    """The packages of a Runtime are not there; `reason` says whether they are on their way."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True)
class Outcome:
    """How the packages of a Runtime stand."""

    installed: InstalledPackages | None = None
    problem: NotInstalled | None = None
    again: float | None = None
    """Seconds after which to look again."""


def install_of(runtime: Object, spec: RuntimeSpec, indexes: Indexes) -> Install | None:
    """What is to be installed for a Runtime; None where nothing is. Raises NotInstalled without an index."""
    listed = list(spec.packages.listed()) if spec.packages is not None else []
    if not listed:
        return None
    ((ecosystem, lines),) = listed
    if ecosystem not in indexes.urls:
        raise NotInstalled(
            Reason.PACKAGES_FAILED,
            f"spec.packages.{ecosystem}: this installation has no index for {ecosystem}; "
            f"its admin names one in the chart's value packages.indexes.{ecosystem}",
        )
    metadata = runtime["metadata"]
    return Install(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        spec,
        ecosystem,
        lines,
        source(ecosystem),
        indexes,
    )


def installed(runtime: Object, spec: RuntimeSpec, indexes: Indexes) -> Mapping[str, Any] | None:
    """Where the packages of a Runtime are, as a definition names them; raises NotInstalled."""
    install = install_of(runtime, spec, indexes)
    if install is None:
        return None
    found = recorded(runtime)
    if found is not None and found.execution.startswith(f"{install.name}-"):
        return {"namespace": install.namespace, "digest": found.digest, "size": found.size}
    raise NotInstalled(*_why_not(runtime))


def recorded(runtime: Object) -> InstalledPackages | None:
    """What the status says of installed packages, of whatever spec."""
    status = runtime.get("status")
    said = status.get("packages") if isinstance(status, dict) else None
    try:
        return InstalledPackages.model_validate(said) if said is not None else None
    except ValueError:
        return None


def _why_not(runtime: Object) -> tuple[Reason, str]:
    name = runtime["metadata"]["name"]
    for item in (runtime.get("status") or {}).get("conditions") or ():
        current = item.get("observedGeneration") == runtime["metadata"].get("generation", 0)
        if (
            current
            and (item.get("type"), item.get("status")) == (ConditionType.READY, "False")
            and item.get("reason") in (Reason.INSTALLING_PACKAGES, Reason.PACKAGES_FAILED)
        ):
            return Reason(item["reason"]), f"Runtime {name}: {item.get('message', '')}"
    return Reason.INSTALLING_PACKAGES, f"Runtime {name}: its packages are being installed"


def owner_of(obj: Object) -> tuple[str, str] | None:
    """Name and uid of the Runtime for which a Workflow or Execution says that it installs packages."""
    metadata = obj["metadata"]
    uid = (metadata.get("labels") or {}).get(PACKAGES_LABEL)
    for owner in metadata.get("ownerReferences") or () if uid else ():
        if owner.get("kind") == "Runtime" and owner.get("uid") == uid:
            return owner["name"], owner["uid"]
    return None


@dataclass(frozen=True)
class RuntimePackages:
    """Packages of the Runtimes that one workflow uses, by Runtime."""

    found: Mapping[str, Mapping[str, Any]]
    index: str | None = None
    """Set where the workflow is what installs packages: from there, as `host:port`."""

    @property
    def digest(self) -> str:
        """What tells definitions apart that differ in this alone."""
        return " ".join((self.index or "", *(item["digest"] for item in self.found.values())))

    def spec(self, runtime: Object) -> Mapping[str, Any]:
        """The spec of a Runtime, as such a definition pins it."""
        return for_installing(pinned(runtime)) if self.index else pinned(runtime)


def packages_of(
    workflow: Object,
    spec: WorkflowSpec,
    runtimes: Mapping[str, Object],
    owner: Object | None,
    indexes: Indexes,
) -> RuntimePackages:
    """Where the packages of a workflow's Runtimes are; raises NotInstalled.

    `owner` is the Runtime for which the workflow says that it installs.
    """
    if owner is not None and (install := _own_install(workflow, spec, owner, indexes)) is not None:
        return RuntimePackages({}, indexes.destination(install.ecosystem))
    found = {name: installed(item, _spec(item), indexes) for name, item in runtimes.items()}
    return RuntimePackages({name: item for name, item in found.items() if item is not None})


def _own_install(workflow: Object, spec: WorkflowSpec, owner: Object, indexes: Indexes) -> Install | None:
    """The install that a Workflow is, if it is the operator's own to the letter: no other gets the index."""
    if owner_of(workflow) != (owner["metadata"]["name"], owner["metadata"]["uid"]):
        return None
    try:
        install = install_of(owner, _spec(owner), indexes)
    except (ValueError, NotInstalled):
        return None
    if install is None or workflow["metadata"]["name"] != install.name:
        return None
    return install if spec == WorkflowSpec.model_validate(install.workflow_spec()) else None


def _spec(runtime: Object) -> RuntimeSpec:
    return RuntimeSpec.model_validate(runtime["spec"])


def for_installing(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a Runtime in which packages are installed: without any, with room to unpack them."""
    return {**{key: value for key, value in runtime.items() if key != "packages"}, "scratch": SCRATCH}
