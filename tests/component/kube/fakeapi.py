"""A small API server in this process: objects in memory, list, watch, patch, delete, and faults on demand.

It checks nothing that the tests do not need: no schemas, no authorisation beyond one bearer token.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from citadel.kube.config import KubeConfig
from citadel.kube.credentials import Credentials, StaticToken

Object = dict[str, Any]


@dataclass
class Fault:
    """An answer instead of the real one, `times` times, to requests of a method.

    `status` 0 cuts the connection; `hold` never answers; `after` does the work first: the client does not
    learn that it was done.
    """

    method: str
    status: int
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: Object = field(default_factory=dict)
    after: bool = False
    hold: bool = False


def merge(target: Object, patch: Object) -> Object:
    """RFC 7386."""
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            here = result.get(key)
            result[key] = merge(here if isinstance(here, dict) else {}, value)
        else:
            result[key] = value
    return result


class FakeApi:
    """The server's state, for tests to look at and to spoil."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}  # by path
        self.log: list[tuple[int, str, str, Object]] = []  # version, event type, path, object
        self.version = 100
        self.oldest = 0  # watches from before get 410
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.tokens: set[str] = set()  # accepted ones; none: no authentication
        self.forbidden: set[str] = set()  # paths
        self.watchers = 0
        self.open = 0  # requests being answered
        self.most_open = 0
        self.gate: asyncio.Event | None = None  # requests wait for it
        self.url = ""
        self._changed = asyncio.Condition()
        self._stop = False

    def config(self, credentials: Credentials | None = None) -> KubeConfig:
        return KubeConfig(self.url, None, credentials or StaticToken(None))

    def count(self, method: str) -> int:
        return sum(1 for known, _, _ in self.requests if known == method)

    async def change(self, kind: str, path: str, obj: Object) -> Object:
        """Store (ADDED, MODIFIED) or remove (DELETED) an object, and tell the watches."""
        self.version += 1
        metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
        metadata.setdefault("uid", str(uuid.uuid4()))
        obj = {**obj, "metadata": metadata}
        if kind == "DELETED":
            del self.objects[path]
        else:
            self.objects[path] = obj
        self.log.append((self.version, kind, path, obj))
        async with self._changed:
            self._changed.notify_all()
        return obj

    async def send(self, kind: str, path: str, obj: Object) -> None:
        """Tell the watches something that is no change: a BOOKMARK, an ERROR."""
        self.version += 1
        self.log.append((self.version, kind, path, obj))
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; looked at on every request and change."""
        async with self._changed:
            await self._changed.wait_for(holds)

    async def seen(self, requests: int) -> None:
        """Wait until that many requests have come in all."""
        await self.until(lambda: len(self.requests) >= requests)

    async def watched(self, watchers: int = 1) -> None:
        """Wait until that many watches are open."""
        await self.until(lambda: self.watchers >= watchers)

    async def end_watches(self) -> None:
        """End all watches as the server's timeout would."""
        async with self._changed:
            self._stop = True
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self.watchers == 0)
            self._stop = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.query)))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        async with self._changed:
            self._changed.notify_all()
        try:
            if self.gate is not None:
                await self.gate.wait()
            if (
                self.tokens
                and request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens
            ):
                return _status(401, "Unauthorized", "no")
            return await self._faulty(request)
        finally:
            self.open -= 1

    async def _faulty(self, request: web.Request) -> web.StreamResponse:
        for fault in self.faults:
            if fault.method == request.method and fault.times > 0:
                fault.times -= 1
                if fault.after:
                    await self._route(request)
                if fault.hold:
                    await asyncio.Event().wait()
                if fault.status == 0:
                    assert request.transport is not None
                    request.transport.close()
                return web.json_response(fault.body, status=fault.status or 500, headers=fault.headers)
        return await self._route(request)

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removesuffix("/status")
        if path in self.forbidden:
            return _status(403, "Forbidden", f"no right to {path}")
        if path == "/openid/v1/jwks":
            if "*/*" not in request.headers["Accept"]:
                return web.Response(status=406, text="406: Not Acceptable")
            return web.Response(text='{"keys":[]}', content_type="application/jwk-set+json")
        if path == "/readyz":
            return web.Response(text="ok")
        if request.method == "POST":
            return await self._create(path, await request.json())
        if request.method == "GET" and _is_collection(path):
            if request.query.get("watch"):
                return await self._watch(request, path)
            return self._list(path, request.query.get("limit"), request.query.get("continue"))
        apply = request.content_type == "application/apply-patch+yaml"
        if request.method == "PATCH" and apply and path not in self.objects:
            return web.json_response(await self.change("ADDED", path, await request.json()), status=201)
        here = self.objects.get(path)
        if here is None:
            return _status(404, "NotFound", f"{path} not found", {"name": path.rpartition("/")[2]})
        if request.method == "PATCH":
            return await self._patch(path, here, await request.json())
        if request.method == "DELETE":
            wanted = ((await request.json()).get("preconditions") or {}).get("uid")
            if wanted and wanted != here["metadata"]["uid"]:
                return _status(409, "Conflict", "the UID in the precondition does not match")
            await self.change("DELETED", path, here)
        return web.json_response(here)

    async def _create(self, path: str, obj: Object) -> web.Response:
        path = f"{path}/{obj['metadata']['name']}"
        if path in self.objects:
            return _status(409, "AlreadyExists", f"{path} already exists")
        return web.json_response(await self.change("ADDED", path, obj), status=201)

    async def _patch(self, path: str, here: Object, patch: Object | list[Object]) -> web.Response:
        if isinstance(patch, list):
            for step in patch:
                here = merge(here, _nested(step["path"], step.get("value")))
            return web.json_response(await self.change("MODIFIED", path, here))
        uid = patch.get("metadata", {}).get("uid")
        if uid is not None and uid != here["metadata"]["uid"]:
            return _status(422, "Invalid", "field is immutable", {"causes": [{"field": "metadata.uid"}]})
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != here["metadata"]["resourceVersion"]:
            return _status(409, "Conflict", "the object has been modified")
        return web.json_response(await self.change("MODIFIED", path, merge(here, patch)))

    def _list(self, path: str, limit: str | None, more: str | None) -> web.Response:
        items = [obj for where, obj in sorted(self.objects.items()) if _within(where, path)]
        metadata: Object = {"resourceVersion": str(self.version)}
        start = int(more or 0)
        if limit and start + int(limit) < len(items):
            metadata["continue"] = str(start + int(limit))
        end = start + int(limit) if limit else None
        bare = [{k: v for k, v in obj.items() if k not in ("apiVersion", "kind")} for obj in items[start:end]]
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": bare})

    async def _watch(self, request: web.Request, path: str) -> web.StreamResponse:
        since = int(request.query.get("resourceVersion") or self.version)
        if since < self.oldest:
            return _status(410, "Expired", "too old resource version")
        answer = web.StreamResponse()
        await answer.prepare(request)
        async with self._changed:
            self.watchers += 1
            self._changed.notify_all()
        try:
            while True:
                for version, kind, where, obj in list(self.log):
                    if version > since and _within(where, path):
                        await answer.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")
                since = max(since, self.version)
                async with self._changed:
                    if self._stop:
                        return answer
                    if since == self.version:
                        await self._changed.wait()
        finally:
            self.watchers -= 1
            async with self._changed:
                self._changed.notify_all()


def _status(code: int, reason: str, message: str, details: Object | None = None) -> web.Response:
    body = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details or {},
    }
    return web.json_response(body, status=code)


def _is_collection(path: str) -> bool:
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    return len(rest) in (1, 3) if rest[0] == "namespaces" else len(rest) == 1


def _within(where: str, collection: str) -> bool:
    if where.rpartition("/")[0] == collection:
        return True
    root, _, plural = collection.rpartition("/")
    parts = where.removeprefix(root + "/").split("/")
    return where.startswith(root + "/namespaces/") and len(parts) == 4 and parts[2] == plural


def _nested(path: str, value: object) -> Object:
    for part in reversed(path.strip("/").split("/")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


@asynccontextmanager
async def serve_fake_api() -> AsyncIterator[FakeApi]:
    """The server on a free port of the loopback interface."""
    api = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    api.url = f"http://{host}:{port}"
    try:
        yield api
    finally:
        await runner.cleanup()
