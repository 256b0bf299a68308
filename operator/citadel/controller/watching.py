"""kopf watches; every handler is one line: into the cache, and its key into the queue.

kopf's own state (annotations, finalizers, retries) is switched off: reconciling is level-triggered, by us.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import kopf

from citadel.kube.cache import Cache
from citadel.kube.config import load_config
from citadel.kube.resources import (
    AGENTS,
    APPROVALS,
    EXECUTIONS,
    MODELS,
    NAMESPACES,
    PODS,
    POLICIES,
    RUNTIMES,
    TOOLS,
    TRIGGERS,
    WORKFLOWS,
    Resource,
)

LOGIN_LIFETIME = timedelta(minutes=30)


#: What is watched in the whole cluster, and what the queue calls it.
WATCHED: tuple[tuple[Resource, str], ...] = (
    (EXECUTIONS, "execution"),
    (APPROVALS, "approval"),
    (WORKFLOWS, "workflow"),
    (RUNTIMES, "runtime"),
    (MODELS, "model"),
    (AGENTS, "agent"),
    (TOOLS, "tool"),
    (TRIGGERS, "trigger"),
    (POLICIES, "policy"),
    (NAMESPACES, "namespace"),
)


class Key(NamedTuple):
    """What a queue works on."""

    kind: str
    namespace: str
    name: str
    uid: str = ""


class _NoProgress(kopf.ProgressStorage):
    """Keeps nothing: there are no handlers whose progress matters."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...

    def purge(self, **_: Any) -> None: ...

    def touch(self, **_: Any) -> None: ...

    def clear(self, *, essence: Any) -> Any:
        return essence


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing: building kopf's diff base costs 0.6 ms for a pod, and nobody reads it."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None: ...


def settings() -> kopf.OperatorSettings:
    """kopf, reduced to authentication and watching."""
    found = kopf.OperatorSettings()
    found.persistence.progress_storage = _NoProgress()
    found.persistence.diffbase_storage = _NoDiffBase()
    found.persistence.finalizer = "citadel.dev/none"
    found.posting.enabled = False
    found.scanning.disabled = True
    found.queueing.worker_limit = None
    found.queueing.idle_timeout = 0.1
    found.watching.server_timeout = 240
    return found


class Watcher:
    """Feeds the cache and the queue from the API server. `add` takes a key, and must return at once.

    kopf takes the process's signals for itself when it starts; `started` is called then, to take them back.
    """

    def __init__(
        self,
        cache: Cache,
        add: Callable[[Key], None],
        sandbox_namespace: str,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self._cache, self._add, self._sandbox_namespace = cache, add, sandbox_namespace
        self._started = started

    async def run(self, stop: asyncio.Event) -> None:
        """Watches until `stop` is set, or kopf ends by itself."""
        definitions = kopf.OperatorRegistry()
        for resource, kind in WATCHED:
            self._handle(definitions, resource, kind)
        pods = kopf.OperatorRegistry()
        self._handle(pods, PODS, "sandbox")
        # Without peering it means nothing; left to itself kopf asks for a user name, and our uid has none.
        identity: Any = "citadel-controller"
        common: dict[str, Any] = {"standalone": True, "identity": identity, "stop_flag": stop}
        tasks: list[asyncio.Task[Any]] = []
        try:
            tasks += await kopf.spawn_tasks(
                registry=definitions, clusterwide=True, settings=settings(), **common
            )
            tasks += await kopf.spawn_tasks(
                registry=pods, namespaces=[self._sandbox_namespace], settings=settings(), **common
            )
            self._started()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # kopf.operator would take every task of the process for its own: wait for it, then cancel it.
            stop.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    def _handle(self, registry: kopf.OperatorRegistry, resource: Resource, kind: str) -> None:
        kopf.on.login(registry=registry)(_login)

        async def event(type: str | None, body: Mapping[str, Any], **_: Any) -> None:  # noqa: A002
            self.take(resource, kind, type, dict(body))

        kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)(event)

    def take(self, resource: Resource, kind: str, type: str | None, obj: dict[str, Any]) -> None:  # noqa: A002
        """One event: cache, then queue. A deletion also queues the uid, which the cache no longer knows."""
        metadata = obj["metadata"]
        key = Key(kind, metadata.get("namespace", ""), metadata["name"])
        if type == "DELETED":
            self._cache.delete(resource, obj)
            if kind == "execution":
                self._add(Key("gone", key.namespace, key.name, metadata["uid"]))
                return
        elif not self._cache.put(resource, obj):
            return
        self._add(key)


async def _login(**_: Any) -> kopf.AiohttpSession:
    """The way to the API server is our own client's: the same files, the same TLS rules."""
    config = load_config()
    token = await config.credentials.token()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=config.tls or False),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        proxy=config.proxy,
    )
    # Tokens rotate; kopf asks again then, and closes the session that it no longer uses.
    expiration = datetime.now(UTC) + LOGIN_LIFETIME
    return kopf.AiohttpSession(
        server=config.server,
        default_namespace=config.namespace,
        aiohttp_session=session,
        expiration=expiration,
    )
