"""The kinds of resource that Citadel reads or writes, as the API server's URLs name them.

Must never hold state or talk to anything: paths are computed, nothing else.
"""

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as it is on the wire."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of resource: API group ("" is the core group), version, plural, whether in namespaces."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What `apiVersion` says on objects of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path of the collection, of one object, or of an object's subresource.

        A namespaced collection without `namespace` is the one over all namespaces.
        Raises ValueError where the parts do not fit the kind (a programming error, never a user's).
        """
        if namespace and not self.namespaced:
            raise ValueError(f"{self.plural} have no namespace, found {namespace!r}")
        if name is not None and self.namespaced and not namespace:
            raise ValueError(f"{self.plural}/{name} needs a namespace")
        for part in (namespace, name):
            if part is not None and (
                not part or "/" in part or "?" in part or "#" in part or part in (".", "..")
            ):
                raise ValueError(f"not the name of a Kubernetes object: {part!r}")
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        path = f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"
        if name is not None:
            path += f"/{name}"
        if subresource is not None:
            path += f"/{subresource}"
        return path


CITADEL_GROUP = "citadel.dev"
CITADEL_VERSION = "v1alpha1"

WORKFLOWS = Resource(CITADEL_GROUP, CITADEL_VERSION, "workflows")
RUNTIMES = Resource(CITADEL_GROUP, CITADEL_VERSION, "runtimes")
AGENTS = Resource(CITADEL_GROUP, CITADEL_VERSION, "agents")
TOOLS = Resource(CITADEL_GROUP, CITADEL_VERSION, "tools")
MODELS = Resource(CITADEL_GROUP, CITADEL_VERSION, "models")
EXECUTIONS = Resource(CITADEL_GROUP, CITADEL_VERSION, "executions")
APPROVALS = Resource(CITADEL_GROUP, CITADEL_VERSION, "approvals")
TRIGGERS = Resource(CITADEL_GROUP, CITADEL_VERSION, "triggers")
POLICIES = Resource(CITADEL_GROUP, CITADEL_VERSION, "executionpolicies", namespaced=False)

PODS = Resource("", "v1", "pods")
EVENTS = Resource("", "v1", "events")
CONFIGMAPS = Resource("", "v1", "configmaps")
SECRETS = Resource("", "v1", "secrets")
SERVICES = Resource("", "v1", "services")
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
NODES = Resource("", "v1", "nodes", namespaced=False)

ENDPOINTSLICES = Resource("discovery.k8s.io", "v1", "endpointslices")
RUNTIMECLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", namespaced=False)

DEPLOYMENTS = Resource("apps", "v1", "deployments")
STATEFULSETS = Resource("apps", "v1", "statefulsets")
LEASES = Resource("coordination.k8s.io", "v1", "leases")
NETWORKPOLICIES = Resource("networking.k8s.io", "v1", "networkpolicies")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False)
TOKENREVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", namespaced=False)
SUBJECTACCESSREVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False)
SELFSUBJECTACCESSREVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False
)
SELFSUBJECTREVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False)
