"""A cluster around the controller: an API server's double, a real Postgres, and sandboxes that tests play."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry

from citadel.controller.agent_readiness import AgentReadiness
from citadel.controller.agents import Agents
from citadel.controller.approvals import Approvals
from citadel.controller.asking import Asking, Calling
from citadel.controller.board import Board
from citadel.controller.children import Children
from citadel.controller.definitions import Definitions
from citadel.controller.deliveries import Deliveries
from citadel.controller.executions import Executions, Waiting
from citadel.controller.granting import Granting
from citadel.controller.history import History
from citadel.controller.keeping import Keeper
from citadel.controller.means import Means
from citadel.controller.metrics import ControllerMetrics
from citadel.controller.model_readiness import ModelReadiness
from citadel.controller.models import Models
from citadel.controller.openapi import Documents
from citadel.controller.outside import Outside
from citadel.controller.packages import Packages
from citadel.controller.paying import Paying
from citadel.controller.policies import Policies
from citadel.controller.readiness import Readiness
from citadel.controller.reconciler import Reconciler
from citadel.controller.referring import References
from citadel.controller.reruns import Reruns
from citadel.controller.room import Limits
from citadel.controller.sandboxes import SandboxPods
from citadel.controller.sealing import Sealer
from citadel.controller.shelf import Shelf
from citadel.controller.signals import Signals
from citadel.controller.site import RuntimeClasses
from citadel.controller.tool_readiness import ToolReadiness
from citadel.controller.tools import Tools
from citadel.controller.triggers import Triggers
from citadel.controller.turns import Turns
from citadel.controller.watching import WATCHED, Key, Watcher
from citadel.core import events as ev
from citadel.core.state import State
from citadel.core.values import Values
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.events import EventPoster
from citadel.kube.metrics import Metrics
from citadel.kube.resources import PODS, RUNTIMES, Object
from citadel.render.packages import Indexes
from citadel.render.pod import Site
from citadel.serving import forever
from citadel.store.blobs import BlobLimits
from citadel.store.journal import ExecutionUnknown
from citadel.store.sandboxes import SandboxRow
from citadel.store.sql.database import Database
from component.controller.clusterapi import SANDBOXES, ClusterApi, path_of

INDEXES = Indexes({"pip": "http://files.example.com:8080/pip"})
ACCOUNT = "citadel-system:citadel-controller"
SITE = Site(SANDBOXES, "runner:1", "https://10.96.0.7:8443", "ca", user_namespaces=False)


class Controller:
    """One term of leading, without a Lease and without kopf: watches feed it directly."""

    def __init__(self, cluster: "Cluster", limit: int = 10, per_namespace: int = 0) -> None:
        self.cache = Cache()
        kube, cache, database = cluster.kube, self.cache, cluster.database
        journal, sandboxes = database.journal, database.sandboxes
        registry = CollectorRegistry()
        self.metrics = Metrics(registry)
        self.waiting = Waiting({})
        self.poster = EventPoster(kube, "citadel-controller", "test")
        policies = Policies(kube, cache, database.policies)
        references = References(kube, ACCOUNT)
        models = Models(cache, references, policies.of, "citadel-system")
        shelf = Shelf(kube, "citadel-system")
        tools = Tools(shelf, references, policies.of, Documents(references))
        agents = Agents(shelf, references, models, tools)
        definitions = Definitions(kube, shelf, policies, database.revisions, INDEXES, agents)
        self.blobs = database.blobs(BlobLimits())
        packages = Packages(kube, cache, journal, self.blobs, INDEXES, cluster.now)
        children = Children(kube, cache, journal, database.archive, lambda key: self.reconciler.add(key))
        turns = Turns(journal, database.admissions, children)
        to_tools = Sealer(kube, "citadel-system", "citadel-tools-key")
        means = Means(models, Sealer(kube, "citadel-system", "citadel-models-key"))
        paying = Paying(kube, cache, journal, policies.of)
        outside = Outside(
            Asking(journal, database.model_calls, means, paying, cluster.now),
            Calling(journal, database.tool_calls, tools, to_tools, cluster.now),
            Granting(journal, database.model_grants, means, paying, "citadel-system", cluster.now),
        )
        self.executions = Executions(
            kube,
            cache,
            journal,
            sandboxes,
            definitions,
            Reruns(kube, cache, journal, definitions, self.blobs),
            self.poster,
            self.waiting,
            children,
            turns,
            outside,
            now=cluster.now,
            usage=database.ledger.usage,
        )
        self.pods = SandboxPods(
            kube,
            cache,
            journal,
            sandboxes,
            policies,
            RuntimeClasses(kube, SITE),
            SANDBOXES,
            self.waiting,
            database.pools,
            limits=Limits(limit, per_namespace or limit),
            patience=600.0,
            changed=lambda row: self.reconciler.sandbox_changed(row),
            failed=lambda row, diagnosis: self.keeper.failed(row, diagnosis),
            now=cluster.now,
        )
        counted = ControllerMetrics(registry)
        self.board = Board()
        self.keeper = Keeper(
            cache,
            definitions,
            sandboxes,
            database.pools,
            self.board,
            counted.pools,
            lambda namespace, name: self.reconciler.queue.add(Key("runtime", namespace, name)),
            self._nodes,
            cluster.now,
        )
        readiness = Readiness(
            kube, cache, definitions, self.poster, cluster.now, packages.reconcile, self.board
        )
        self.triggers = Triggers(kube, cache, readiness, self.poster, self._started, cluster.now)
        self.reconciler = Reconciler(
            kube,
            cache,
            database,
            self.executions,
            children,
            readiness,
            self.pods,
            Deliveries(kube, journal, sandboxes, ACCOUNT),
            Approvals(kube, cache, journal, database.approvals, self.poster, cluster.now),
            Signals(journal, database.signals),
            policies,
            self.metrics,
            counted,
            SANDBOXES,
            self.keeper,
            self.triggers,
            History(kube, cache),
            turns,
            ModelReadiness(cache, models, readiness),
            AgentReadiness(cache, agents, readiness, "citadel-system"),
            ToolReadiness(cache, tools, database.tool_checks, to_tools, readiness, cluster.now),
            gateway_ready=self._gateway_ready,
        )
        self.gateway_is_ready = False
        self.watcher = Watcher(cache, self.reconciler.add, SANDBOXES)

    async def _nodes(self) -> int:
        return 1

    def _started(self, namespace: str, name: str) -> None:
        self.reconciler.add(Key("execution", namespace, name))

    async def _gateway_ready(self) -> bool:
        return self.gateway_is_ready

    @asynccontextmanager
    async def running(self, cluster: "Cluster") -> AsyncIterator[None]:
        """Reconciles what the watches and the journal tell."""
        kinds = (*WATCHED, (PODS, "sandbox"))

        async def watch(resource: Any, kind: str) -> None:
            async for event in cluster.kube.watch(resource, resource_version="0"):
                self.watcher.take(resource, kind, event.type, event.object)

        heard = asyncio.Event()

        async def follow() -> None:
            async for notice in cluster.database.journal.listen():
                heard.set()
                self.reconciler.take(notice)

        async with self.poster:
            tasks = [asyncio.create_task(watch(*kind)) for kind in kinds]
            tasks.append(asyncio.create_task(follow()))
            await self.pods.start()
            runtimes = await cluster.kube.list(RUNTIMES)
            self.cache.replace(RUNTIMES, runtimes.items, runtimes.resource_version)
            tasks.append(asyncio.create_task(forever("keeping pools", self.keeper.keep)))
            self.reconciler.queue.start()
            await cluster.api.watched(len(kinds))
            await cluster.ping(heard)
            try:
                yield
            finally:
                await self.reconciler.queue.stop(1.0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


class Cluster:
    """What there is in the cluster, and what tests do to it.

    `ahead` sets the controller's clock forward; by `still` it stands still at that time.
    """

    def __init__(
        self, api: ClusterApi, kube: KubeClient, database: Database, url: str, stack: AsyncExitStack
    ) -> None:
        self.api, self.kube, self.database, self.url, self._stack = api, kube, database, url, stack
        self.ahead = 0.0
        self.still: float | None = None

    def now(self) -> float:
        return (time.time() if self.still is None else self.still) + self.ahead

    async def ping(self, heard: asyncio.Event) -> None:
        """Announces something until somebody hears it: before that, notices are lost."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            async with asyncio.timeout(5):
                while True:
                    await connection.execute("NOTIFY citadel, 'ping all'")
                    with suppress(TimeoutError):
                        await asyncio.wait_for(heard.wait(), 0.05)
                        return

    async def lead(self, limit: int = 10, per_namespace: int = 0) -> Controller:
        """A controller that runs until the end of the test."""
        controller = Controller(self, limit, per_namespace)
        await self._stack.enter_async_context(controller.running(self))
        return controller

    async def apply(self, kind: str, name: str, spec: Any, **fields: Any) -> Object:
        """Creates or replaces an object of ours, as kubectl would."""
        path = path_of(kind, name)
        before = self.api.objects.get(path)
        old = before["metadata"] if before else {}
        metadata = {"generation": 1, **old, "name": name, "namespace": "team", **fields.pop("metadata", {})}
        if before is not None:
            metadata["generation"] = old.get("generation", 1) + 1
        obj = {"apiVersion": "citadel.dev/v1alpha1", "kind": kind.removesuffix("s").capitalize()}
        obj |= {"spec": spec, **({"status": before["status"]} if before and "status" in before else {})}
        obj |= {"metadata": metadata, **fields}
        return await self.api.change("MODIFIED" if before else "ADDED", path, obj)

    async def define(self, *steps: Mapping[str, Any], **spec: Any) -> None:
        """The workflow `flow` and its Runtime, once the controller has found them good."""
        await self.apply("runtimes", "python", {"language": "python", "image": "python:1"})
        await self.until(lambda: self.ready("python", "runtimes") == "True")
        await self.apply("workflows", "flow", {"steps": list(steps), **spec})
        await self.until(lambda: self.ready("flow", "workflows") == "True")

    async def define_unled(self, *steps: Mapping[str, Any], **spec: Any) -> None:
        """The same, before any controller looks at them."""
        await self.apply("runtimes", "python", {"language": "python", "image": "python:1"})
        await self.apply("workflows", "flow", {"steps": list(steps), **spec})

    def events(self) -> list[str]:
        """The reasons of the events that were posted."""
        return [obj["reason"] for path, obj in self.api.objects.items() if "/events/" in path]

    def ready(self, name: str, kind: str) -> str | None:
        """The status of the condition Ready."""
        conditions = self.status(name, kind).get("conditions") or ()
        return next((item["status"] for item in conditions if item["type"] == "Ready"), None)

    async def submit(self, name: str = "run", **fields: Any) -> str:
        """An Execution of `flow`; returns its uid."""
        made = await self.apply("executions", name, {"workflowRef": {"name": "flow"}, **fields})
        return str(made["metadata"]["uid"])

    def status(self, name: str = "run", kind: str = "executions") -> dict[str, Any]:
        found = self.api.objects[path_of(kind, name)].get("status")
        return found if isinstance(found, dict) else {}

    async def until(self, holds: Callable[[], object], seconds: float = 8.0) -> None:
        """Waits until something holds of the API server's objects or requests."""
        async with asyncio.timeout(seconds):
            await self.api.until(lambda: bool(holds()))

    async def phase(self, phase: str, name: str = "run", seconds: float = 8.0) -> dict[str, Any]:
        """The status of an Execution once it is in this phase."""
        await self.until(lambda: self.status(name).get("phase") == phase, seconds)
        return self.status(name)

    def pods(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.api.objects if "/pods/" in path]

    async def rows(self, hold: Callable[[list[SandboxRow]], object]) -> list[SandboxRow]:
        """The open rows of sandboxes, once something holds of them."""
        async with asyncio.timeout(8):
            while True:
                found = await self.database.sandboxes.open()
                if hold(found):
                    return found
                await asyncio.sleep(0.01)

    async def state(self, uid: str, holds: Callable[[State], object]) -> State:
        """The state of an execution, once something holds of it."""
        async with asyncio.timeout(8):
            while True:
                with suppress(ExecutionUnknown):
                    found = await self.database.journal.read(uid)
                    if holds(found):
                        return found
                await asyncio.sleep(0.01)

    async def archived(self) -> list[str]:
        """The uids of the executions in the archive."""
        return [row.uid for row in await self.database.archive.of("team", 0.0, 100)]

    async def archived_once(self, holds: Callable[[list[str]], object]) -> None:
        """Waits until something holds of the archive."""
        async with asyncio.timeout(8):
            while True:
                if holds(await self.archived()):
                    return
                await asyncio.sleep(0.01)

    async def sandbox(self, uid: str) -> SandboxRow:
        """The first sandbox of an execution, once its pod is recorded."""

        def recorded(rows: list[SandboxRow]) -> list[SandboxRow]:
            return [row for row in rows if row.uid == uid and row.pod_uid is not None]

        return recorded(await self.rows(recorded))[0]

    async def register(self, uid: str, key: str = "key") -> SandboxRow:
        """The sandbox's runner registers, and takes its first attempt."""
        row = await self.sandbox(uid)
        assert row.pod_uid is not None
        assert await self.database.sandboxes.register(row.name, row.pod_uid, "hash", key)
        await self.database.journal.advance(uid, [ev.SandboxRegistered(row.name)], claim=row.name)
        return row

    async def succeed(self, row: SandboxRow, step: str, output: Any = None) -> None:
        """The attempt of a step succeeds; the sandbox takes the next one."""
        values = Values()
        fact = ev.AttemptSucceeded(step, 1, row.name, values.put(output))
        await self.database.journal.advance(row.uid, [fact], claim=row.name, outputs=values.made)

    async def set_pod(self, name: str, **status: Any) -> None:
        """What the kubelet says of a pod."""
        path = path_of("pods", name)
        await self.api.change("MODIFIED", path, {**self.api.objects[path], "status": status})

    async def forget_blobs(self) -> None:
        """All blobs are gone."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute("DELETE FROM blobs")

    async def remove(self, kind: str, name: str) -> None:
        path = path_of(kind, name)
        await self.api.change("DELETED", path, self.api.objects[path])
