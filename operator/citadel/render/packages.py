"""The Workflow and the Execution that install the packages of a Runtime: ordinary ones, with own names.

The name says what is installed for what, so another image or list is another install. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from citadel.api.meta import API_VERSION, PACKAGES_LABEL
from citadel.api.packages import ECOSYSTEMS
from citadel.api.runtime import RuntimeSpec
from citadel.core.jsonvalues import Json, canonical, digest

STEP = "install"
#: The artifact that an install leaves: a tree.
ARTIFACT = "packages"
#: Packages of other languages are unpacked by the shared Runtime of this one.
INSTALLER = "python"
#: Memory for files while packages are unpacked, in place of what the Runtime's steps have.
SCRATCH = "768Mi"
_RESOURCES = {"requests": {"memory": "128Mi"}, "limits": {"memory": "1Gi"}}
_TIMEOUT = "10m"
_SECOND_NAME_LENGTH = 40


@dataclass(frozen=True)
class Indexes:
    """Where the admin lets packages come from: a URL for each ecosystem that has one."""

    urls: Mapping[str, str] = field(default_factory=dict)
    ca: str = ""
    """PEM of the CA that signed the certificates of the indexes; empty: one that the image trusts."""

    def destination(self, ecosystem: str) -> str:
        """Host and port of an ecosystem's index, as egress names them."""
        parts = urlsplit(self.urls[ecosystem])
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


@dataclass(frozen=True)
class Install:
    """What is to be installed for one Runtime."""

    namespace: str
    runtime: str
    uid: str
    spec: RuntimeSpec
    ecosystem: str
    lines: tuple[str, ...]
    code: str
    indexes: Indexes

    @property
    def name(self) -> str:
        """The name of the Workflow; an Execution's has the number of its attempt behind it."""
        url = self.indexes.urls[self.ecosystem]
        made_of: list[Json] = [self.runtime, self.spec.language, self.spec.image, *sorted(self.lines), url]
        short = self.runtime[:_SECOND_NAME_LENGTH].rstrip("-.")
        return f"{short}-packages-{digest(canonical(made_of)).removeprefix('sha256:')[:10]}"

    def workflow_spec(self) -> dict[str, Any]:
        """What installs them; whoever has changed it has made another workflow of it."""
        own = self.ecosystem == ECOSYSTEMS[INSTALLER]
        step = {
            "name": STEP,
            "run": {
                "runtime": self.runtime if own else INSTALLER,
                "code": self.code,
                "resources": _RESOURCES,
            },
            "with": {
                "packages": list(self.lines),
                "index": self.indexes.urls[self.ecosystem],
                "ca": self.indexes.ca,
            },
            "network": {"egress": [self.indexes.destination(self.ecosystem)]},
            "artifacts": {"out": {ARTIFACT: "packages"}},
            "isolation": "step",
            "timeout": _TIMEOUT,
        }
        return {"steps": [step]}

    def workflow(self) -> dict[str, Any]:
        """The Workflow."""
        return self._object("Workflow", self.name, self.workflow_spec())

    def execution(self, attempt: int) -> dict[str, Any]:
        """The Execution of one attempt, counted from 1."""
        return self._object("Execution", f"{self.name}-{attempt}", {"workflowRef": {"name": self.name}})

    def _object(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        owner = {"apiVersion": API_VERSION, "kind": "Runtime", "name": self.runtime, "uid": self.uid}
        return {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {PACKAGES_LABEL: self.uid},
                "ownerReferences": [owner],
            },
            "spec": spec,
        }
