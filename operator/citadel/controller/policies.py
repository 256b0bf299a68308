"""The ExecutionPolicies that hold for a namespace now: for the controller's own decisions, and for the
gateway, which knows no Kubernetes and reads them from the database."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from citadel.api.reasons import Reason
from citadel.controller.checking import Unusable
from citadel.core.egress import judge
from citadel.core.policy import Policy, applying, egress_rules, read_policy
from citadel.kube.cache import Cache, version_of
from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import NAMESPACES, POLICIES, Object
from citadel.store.journal import PolicyTable

#: The policies of a namespace, as `Policies.of` finds them.
PoliciesOf = Callable[[str], Awaitable[tuple[Policy, ...]]]


class Policies:
    """Policies as the watches tell them; a namespace that was not heard of yet is asked for."""

    def __init__(self, kube: KubeClient, cache: Cache, table: PolicyTable) -> None:
        self._kube, self._cache, self._table = kube, cache, table
        self._published: dict[str, list[Object]] | None = None
        self._telling = asyncio.Lock()
        self._versions: tuple[tuple[str, int], ...] = ()
        self._read: list[Policy] = []

    async def of(self, namespace: str) -> tuple[Policy, ...]:
        """The policies of a namespace; the gateway is told of them before anything starts by them."""
        if not namespace:
            return ()  # a member of a pool for all: it is checked again when it gets work
        understood = self._understood()
        if not understood and self._published == {}:
            return ()
        labels = await self._labels(namespace)
        await self._publish(namespace, labels)
        return applying(understood, labels)

    async def namespace_changed(self, name: str) -> None:
        """Tells the gateway what holds for a namespace now, or that there is none of this name."""
        found = self._cache.get(NAMESPACES, "", name)
        if found is None:
            await self._tell(name, [])
        else:
            await self._publish(name, found["metadata"].get("labels") or {})

    def _understood(self) -> list[Policy]:
        """The policies there are, read again only when one of them has changed."""
        objects = self._cache.objects(POLICIES)
        versions = tuple((obj["metadata"]["name"], version_of(obj)) for obj in objects)
        if versions != self._versions:
            self._versions, self._read = versions, [read_policy(obj) for obj in objects]
        return self._read

    async def publish(self) -> None:
        """Tells the gateway of every namespace whose policies have changed."""
        known = {item["metadata"]["name"]: item for item in self._cache.objects(NAMESPACES)}
        for name, item in known.items():
            await self._publish(name, item["metadata"].get("labels") or {})
        async with self._telling:
            told = await self._told()
        for name in told.keys() - known.keys():
            await self._tell(name, [])

    async def _labels(self, namespace: str) -> Mapping[str, str]:
        found = self._cache.get(NAMESPACES, "", namespace)
        if found is None:
            try:
                found = await self._kube.get(NAMESPACES, namespace)
            except NotFound:
                return {}
            self._cache.put(NAMESPACES, found)
        labels: Mapping[str, str] = found["metadata"].get("labels") or {}
        return labels

    async def _publish(self, namespace: str, labels: Mapping[str, str]) -> None:
        objects = {obj["metadata"]["name"]: obj for obj in self._cache.objects(POLICIES)}
        wanted = [_stated(objects[policy.name]) for policy in applying(self._understood(), labels)]
        await self._tell(namespace, wanted)

    async def _tell(self, namespace: str, wanted: list[Object]) -> None:
        if self._published is not None and self._published.get(namespace, []) == wanted:
            return
        async with self._telling:
            told = await self._told()
            if told.get(namespace, []) == wanted:
                return
            await self._table.put(namespace, wanted)
            told.pop(namespace, None)
            if wanted:
                told[namespace] = wanted

    async def _told(self) -> dict[str, list[Object]]:
        if self._published is None:
            self._published = await self._table.all()
        return self._published


async def check_reachable(policies: PoliciesOf, namespace: str, destination: str, whose: str) -> None:
    """Raises Unusable where no step of a namespace could reach a destination."""
    host, _, port = destination.rpartition(":")
    verdict = judge(egress_rules(await policies(namespace)), namespace, host, int(port))
    if not verdict.allowed:
        message = f"{whose}, endpoint {destination}: {verdict.reason}"
        raise Unusable(Reason.POLICY_DENIED, message, waits=True)


def _stated(obj: Mapping[str, Any]) -> Object:
    """What the gateway needs of a policy: its name and what it says."""
    return {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "metadata": {"name": obj["metadata"]["name"]},
        "spec": obj.get("spec"),
    }
