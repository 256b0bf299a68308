"""An asynchronous client of the Kubernetes API on aiohttp: get, list, watch, create, patch, delete.

Objects are plain dictionaries. It bounds connections, time and retries, and counts every request.
Must never decide anything: no caching, no waiting for states, no knowledge of workflows.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp

from citadel.kube.config import KubeConfig
from citadel.kube.errors import ApiError, Gone, Unauthorized, Unavailable, error_from
from citadel.kube.resources import Object, Resource
from citadel.kube.watching import WatchEvent, decode_watch

CountRequest = Callable[[str, str, str], None]
"""Told of each try: verb, resource (`pods`, `executions/status`), and the HTTP status or "error"."""


class Patch(StrEnum):
    """The kinds of patch, by content type."""

    MERGE = "application/merge-patch+json"
    APPLY = "application/apply-patch+yaml"
    JSON = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on every call. Times in seconds.

    `tries` includes the first; `retry_after` caps what the server may ask to wait. `silence` is how long a watch may
    say nothing: bookmarks come about once a minute, so a longer silence is a dead connection.
    """

    connections: int = 32
    timeout: float = 30.0
    connect: float = 10.0
    tries: int = 4
    backoff: float = 0.2
    retry_after: float = 10.0
    silence: float = 90.0
    chunk: int = 500


@dataclass(frozen=True, slots=True)
class ObjectList:
    """All objects of a list, and the resourceVersion from which a watch sees everything that came after."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True)
class _Call:
    """One request as it is tried: `repeatable` says that doing it twice is the same as doing it once."""

    method: str
    path: str
    verb: str
    resource: str
    query: Mapping[str, str]
    body: object = None
    content_type: str = "application/json"
    repeatable: bool = True


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
        self._count = count or (lambda verb, resource, code: None)
        self._limits = limits or Limits()
        self._user_agent = user_agent
        self._sleep = sleep
        self._slots = asyncio.Semaphore(self._limits.connections)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
        """Changes after `resource_version`, BOOKMARKs included, until the server ends the watch (`timeout` seconds).

        Ends normally at the server's timeout or a closed connection: watch again from the last resourceVersion seen.
        Raises Gone when that version is too old (list again), Unavailable when the connection fell silent.
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
        async with self._answer(call, limits) as answer:
            async for event in decode_watch(answer.content.iter_any(), _told(call)):
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

        With `subresource`, `name` is the object's (a token request, an eviction). Only a 429 is retried: after any
        other failure it is unknown whether the object exists.
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

        A merge patch that carries metadata.resourceVersion raises Conflict if the object changed meanwhile. APPLY
        creates what does not exist; `force` takes fields over from other managers. A JSON patch is not retried.
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
        return await self.patch(resource, name, body, namespace, subresource="status")

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

        With `uid`, raises Conflict where the name belongs to another object. `propagation` is Background, Foreground
        or Orphan. NotFound is raised as such: to most callers it is success.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        await self._request(_call("delete", resource, namespace, name, body=options))

    async def raw(self, path: str) -> Any:
        """GET of a path outside the resources, as /version or /openid/v1/jwks: the parsed JSON, else the text."""
        return await self._request(_Call("GET", path, "get", "raw", {}))

    async def _object(self, call: _Call) -> Object:
        found = await self._request(call)
        if not isinstance(found, dict):
            raise Unavailable(200, "InvalidAnswer", "expected a JSON object", request=_told(call))
        return found

    async def _request(self, call: _Call) -> Any:
        renewed = False
        attempt = 1
        while True:
            try:
                return await self._once(call)
            except Unauthorized:
                if renewed or not self.config.credentials.expire():
                    raise
                renewed = True
            except Unavailable as error:
                # 429 is sent before anything is done, so even a create may be repeated.
                if attempt >= self._limits.tries or not (call.repeatable or error.status == 429):
                    raise
                await self._sleep(self._pause(attempt, error))
                attempt += 1

    def _pause(self, attempt: int, error: ApiError) -> float:
        jitter = 1 + random.random() / 2  # noqa: S311 - spreads retries, keeps no secret
        backoff = self._limits.backoff * 2 ** (attempt - 1) * jitter
        return max(backoff, min(error.retry_after or 0.0, self._limits.retry_after))

    async def _once(self, call: _Call) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._limits.timeout, connect=self._limits.connect)
        async with self._slots, self._answer(call, timeout) as answer:
            return _parsed(await answer.read())

    @asynccontextmanager
    async def _answer(
        self, call: _Call, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One try: yields a successful answer, raises ApiError for everything else, also while it is read."""
        token = await self.config.credentials.token()
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data: bytes | None = None
        if call.body is not None:
            data = json.dumps(call.body, separators=(",", ":")).encode()
            headers["Content-Type"] = call.content_type
        counted = False
        try:
            async with self._open_session().request(
                call.method,
                self.config.server + call.path,
                params=call.query,
                data=data,
                headers=headers,
                timeout=timeout,
                server_hostname=self.config.server_name,
                proxy=self.config.proxy,
                allow_redirects=False,
            ) as answer:
                self._count(call.verb, call.resource, str(answer.status))
                counted = True
                if answer.status >= 300:
                    raise error_from(
                        answer.status,
                        _parsed(await answer.read()),
                        request=_told(call),
                        retry_after=_seconds(answer.headers.get("Retry-After")),
                    )
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            if not counted:
                self._count(call.verb, call.resource, "error")
            told = str(error) or type(error).__name__
            raise Unavailable(0, "Unreachable", told, request=_told(call)) from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # the semaphore bounds the calls, and watches stand outside of it
                    ssl=self.config.tls if self.config.tls is not None else True,
                    keepalive_timeout=60,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent},
            )
        return self._session


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
) -> _Call:
    if name is None and verb in ("get", "patch", "delete"):
        raise ValueError(f"{verb} {resource.plural} needs a name")
    return _Call(
        method={"create": "POST", "patch": "PATCH", "delete": "DELETE"}.get(verb, "GET"),
        path=resource.path(namespace, name, subresource),
        verb=verb,
        resource=f"{resource.plural}/{subresource}" if subresource else resource.plural,
        query=query or {},
        body=body,
        content_type=content_type,
        repeatable=repeatable,
    )


def _told(call: _Call) -> str:
    return f"{call.method} {call.path}"


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; its other form, a date, is not used by API servers and counts as absent."""
    return float(text) if text and text.isdigit() else None
