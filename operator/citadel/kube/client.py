"""An asynchronous client of the Kubernetes API: get, list, watch, create, patch, delete.

Objects are plain dictionaries, as they are on the wire.

Must never decide anything: no caching, no waiting for states, no knowledge of workflows.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp

from citadel.kube.config import KubeConfig
from citadel.kube.errors import Conflict, Gone, Invalid, Unavailable
from citadel.kube.resources import Object, Resource
from citadel.kube.transport import Call, CountRequest, Limits, Transport
from citadel.kube.watching import WatchEvent, decode_watch


class Patch(StrEnum):
    """The kinds of patch, by content type."""

    MERGE = "application/merge-patch+json"
    APPLY = "application/apply-patch+yaml"
    JSON = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class ObjectList:
    """All objects of a list, and the resourceVersion from which a watch sees everything that came after."""

    items: list[Object]
    resource_version: str


class KubeClient:
    """One identity's access to one API server; safe to share between tasks of one event loop.

    Every method raises a subclass of ApiError, and ConfigError when credentials cannot be had.
    """

    def __init__(
        self,
        config: KubeConfig,
        *,
        count: CountRequest | None = None,
        limits: Limits | None = None,
        user_agent: str = "citadel",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.config = config
        self._limits = limits or Limits()
        self._transport = Transport(
            config,
            self._limits,
            count=count or (lambda verb, resource, code: None),
            user_agent=user_agent,
            sleep=sleep,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        await self._transport.close()

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> Object:
        """One object, read from the quorum."""
        return await self._object(_call("get", resource, namespace, name, subresource))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """All objects of a kind, of one namespace or of all, fetched in chunks.

        Items get the apiVersion and kind that the server leaves out of lists.
        """
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        query = {key: value for key, value in selectors.items() if value}
        try:
            return await self._pages(resource, namespace, {**query, "limit": str(self._limits.chunk)})
        except Gone:
            # The continue token outlived the server's history: one unchunked list cannot.
            return await self._pages(resource, namespace, query)

    async def _pages(self, resource: Resource, namespace: str | None, query: Mapping[str, str]) -> ObjectList:
        items: list[Object] = []
        more: dict[str, str] = {}
        while True:
            page = await self._object(_call("list", resource, namespace, query={**query, **more}))
            identity = {
                "apiVersion": resource.api_version,
                "kind": str(page.get("kind", "")).removesuffix("List"),
            }
            items += [{**identity, **item} for item in page.get("items") or ()]
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return ObjectList(items, str(metadata.get("resourceVersion", "")))
            more = {"continue": str(metadata["continue"])}

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        timeout: float = 300.0,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, BOOKMARKs included, until the server ends the watch.

        Ends normally after `timeout` seconds or at a closed connection: watch again from the last
        resourceVersion seen. Raises Gone when that version is too old (list again), Unavailable when the
        connection fell silent.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, int(timeout)))}
        selectors = {
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        query.update({key: value for key, value in selectors.items() if value})
        call = _call("watch", resource, namespace, query=query)
        limits = aiohttp.ClientTimeout(connect=self._limits.connect, sock_read=self._limits.silence)
        # Watches live for minutes, so they do not take the slots of the short calls.
        async with self._transport.answer(call, limits) as answer:
            async for event in decode_watch(answer.content.iter_any(), call.told):
                yield event

    async def create(
        self,
        resource: Resource,
        obj: Object,
        namespace: str | None = None,
        *,
        name: str | None = None,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Create an object, in `namespace` or else the one its metadata names.

        With `subresource`, `name` is the object's (a token request, an eviction). Only a 429 is retried:
        after any other failure it is unknown whether the object exists.
        """
        if resource.namespaced:
            namespace = namespace or (obj.get("metadata") or {}).get("namespace")
            if not namespace:
                raise ValueError(f"creating {resource.plural} needs a namespace")
        query = {"dryRun": "All"} if dry_run else {}
        return await self._object(
            _call("create", resource, namespace, name, subresource, query=query, body=obj, repeatable=False)
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        body: Object | Sequence[Object],
        namespace: str | None = None,
        *,
        kind: Patch = Patch.MERGE,
        subresource: str | None = None,
        field_manager: str = "citadel",
        force: bool = True,
    ) -> Object:
        """Patch an object and return it as it is then.

        A merge patch that carries metadata.resourceVersion raises Conflict if the object changed meanwhile.
        APPLY creates what does not exist; `force` takes fields over from other managers. A JSON patch is not
        retried.
        """
        query = {"fieldManager": field_manager}
        if kind is Patch.APPLY:
            query["force"] = "true" if force else "false"
        return await self._object(
            _call(
                "patch",
                resource,
                namespace,
                name,
                subresource,
                query=query,
                body=body,
                content_type=kind.value,
                repeatable=kind is not Patch.JSON,
            )
        )

    async def patch_status(
        self,
        resource: Resource,
        name: str,
        status: Object,
        namespace: str | None = None,
        *,
        uid: str | None = None,
    ) -> Object:
        """Merge into the status; with `uid`, raises Conflict where the name belongs to a newer object."""
        body: Object = {"status": status}
        if uid is not None:
            body["metadata"] = {"uid": uid}
        try:
            return await self.patch(resource, name, body, namespace, subresource="status")
        except Invalid as error:
            causes = error.details.get("causes") or ()
            if not any(cause.get("field") == "metadata.uid" for cause in causes):
                raise
            # The API server calls another uid an attempt to change it.
            told = f"the uid is no longer {uid}"
            raise Conflict(409, "Conflict", told, error.details, request=error.request) from error

    async def replace_status(
        self, resource: Resource, name: str, status: Object, namespace: str | None, uid: str
    ) -> Object:
        """Replaces the status as a whole, which keeps nulls within it: a merge patch takes them for removals.

        Raises Conflict where the name belongs to another object than that of `uid`.
        """
        body: list[Object] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/status", "value": status},
        ]
        try:
            return await self.patch(resource, name, body, namespace, kind=Patch.JSON, subresource="status")
        except Invalid as error:
            if (await self.get(resource, name, namespace))["metadata"]["uid"] == uid:
                raise
            told = f"the uid is no longer {uid}"
            raise Conflict(409, "Conflict", told, error.details, request=error.request) from error

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str | None = None,
    ) -> None:
        """Ask for an object's deletion.

        With `uid`, raises Conflict where the name belongs to another object. `propagation` is Background,
        Foreground or Orphan. NotFound is raised as such: to most callers it is success.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        await self._transport.request(_call("delete", resource, namespace, name, body=options))

    async def raw(self, path: str) -> Any:
        """GET of a path outside the resources, as /version: the parsed JSON, else the text."""
        return await self._transport.request(Call("GET", path, "get", "raw", {}))

    async def _object(self, call: Call) -> Object:
        found = await self._transport.request(call)
        if not isinstance(found, dict):
            raise Unavailable(200, "InvalidAnswer", "expected a JSON object", request=call.told)
        return found


def _call(
    verb: str,
    resource: Resource,
    namespace: str | None = None,
    name: str | None = None,
    subresource: str | None = None,
    *,
    query: Mapping[str, str] | None = None,
    body: object = None,
    content_type: str = "application/json",
    repeatable: bool = True,
) -> Call:
    if name is None and verb in ("get", "patch", "delete"):
        raise ValueError(f"{verb} {resource.plural} needs a name")
    return Call(
        method={"create": "POST", "patch": "PATCH", "delete": "DELETE"}.get(verb, "GET"),
        path=resource.path(namespace, name, subresource),
        verb=verb,
        resource=f"{resource.plural}/{subresource}" if subresource else resource.plural,
        query=query or {},
        body=body,
        content_type=content_type,
        repeatable=repeatable,
    )
