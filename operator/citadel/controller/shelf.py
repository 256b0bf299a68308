"""Objects that workflows and agents name, read as they are now: of a namespace, else shared ones."""

import time

from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import Object, Resource

#: Seconds for which what was read of the shared namespace, and any Runtime, is taken to be unchanged.
FRESH_SECONDS = 1.0
_MOST = 10_000


class Shelf:
    """Finds objects by name; `shared` is the namespace of those that serve all namespaces."""

    def __init__(self, kube: KubeClient, shared: str) -> None:
        self._kube, self.shared = kube, shared
        self._known: dict[tuple[Resource, str, str], tuple[float, Object | None]] = {}

    async def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object of this namespace, else the shared one."""
        if namespace != self.shared and (own := await self.own(resource, namespace, name)) is not None:
            return own
        return await self.recent(resource, self.shared, name)

    async def recent(
        self, resource: Resource, namespace: str, name: str, *, fresh: bool = False
    ) -> Object | None:
        """The object of this namespace, as it was a moment ago; `fresh`: as it is now."""
        at, known = self._known.get((resource, namespace, name), (float("-inf"), None))
        if not fresh and time.monotonic() - at < FRESH_SECONDS:
            return known
        known = await self.own(resource, namespace, name)
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[resource, namespace, name] = time.monotonic(), known
        return known

    def where(self, namespace: str) -> str:
        """Where it is looked for what a namespace names, after `exists`."""
        if namespace == self.shared:
            return f"not in namespace {namespace}"
        return f"neither in namespace {namespace} nor in {self.shared}"

    async def own(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object of this namespace."""
        try:
            return await self._kube.get(resource, name, namespace)
        except NotFound:
            return None
