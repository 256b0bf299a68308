"""The controller's one queue: who works on which key, and what is looked at without being asked."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from citadel.controller.agent_readiness import AgentReadiness
from citadel.controller.approvals import Approvals
from citadel.controller.children import Children
from citadel.controller.deliveries import Deliveries
from citadel.controller.executions import FIRST_PAUSE, Executions
from citadel.controller.forgetting import namespace_changed
from citadel.controller.history import History
from citadel.controller.installs import owner_of
from citadel.controller.keeping import Keeper
from citadel.controller.metrics import ControllerMetrics
from citadel.controller.model_readiness import ModelReadiness
from citadel.controller.objects import is_finished, status_of
from citadel.controller.policies import Policies
from citadel.controller.readiness import Readiness
from citadel.controller.sandboxes import SandboxPods
from citadel.controller.signals import Signals
from citadel.controller.strays import Strays
from citadel.controller.tool_readiness import ToolReadiness, changed
from citadel.controller.triggers import Triggers
from citadel.controller.turns import Turns
from citadel.controller.watching import WATCHED, Key
from citadel.kube.cache import Cache, key_of
from citadel.kube.client import KubeClient
from citadel.kube.metrics import Metrics
from citadel.kube.queue import WorkQueue
from citadel.kube.resources import (
    AGENTS,
    EXECUTIONS,
    MODELS,
    PODS,
    RUNTIMES,
    TOOLS,
    WORKFLOWS,
    Resource,
)
from citadel.render.child import origin_of
from citadel.store.journal import Notice
from citadel.store.sandboxes import SandboxRow
from citadel.store.sql.database import Database

#: Seconds between two complete looks at rows and pods.
SWEEP_SECONDS = 15.0
#: Seconds between two complete lists: kopf tells nothing of what was deleted in a gap of its watch.
RELIST_SECONDS = 300.0
_ARCHIVED_AT_ONCE = 10_000
#: Notices that are of use here.
_TOPICS = ("execution", "progress", "approval", "signal", "tool-checked", "sandbox", "delivery")
#: What agents use, and workflows, by what the queue calls it.
_USED = MappingProxyType({"agent": AGENTS, "tool": TOOLS})


class Reconciler:
    """Dispatches keys to reconcilers, and adds the keys nobody told about."""

    def __init__(
        self,
        kube: KubeClient,
        cache: Cache,
        database: Database,
        executions: Executions,
        children: Children,
        readiness: Readiness,
        pods: SandboxPods,
        deliveries: Deliveries,
        approvals: Approvals,
        signals: Signals,
        policies: Policies,
        metrics: Metrics,
        counted: ControllerMetrics,
        sandbox_namespace: str,
        keeper: Keeper,
        triggers: Triggers,
        history: History,
        turns: Turns,
        models: ModelReadiness,
        agents: AgentReadiness,
        tools: ToolReadiness,
        *,
        gateway_ready: Callable[[], Awaitable[bool]],
    ) -> None:
        self._kube, self._cache, self._database = kube, cache, database
        self._executions, self._children, self._readiness = executions, children, readiness
        self.pods, self._deliveries, self._policies = pods, deliveries, policies
        self._approvals, self._signals = approvals, signals
        self._counted, self._sandbox_namespace = counted, sandbox_namespace
        self.keeper, self._triggers, self._history, self._turns = keeper, triggers, history, turns
        self._models, self._agents, self._tools = models, agents, tools
        self._names: dict[str, Key] = {}
        self._checked: dict[Key, Any] = {}
        """What was true of each Runtime, Model, Agent and Tool when others were last checked by it."""
        self.strays = Strays(kube, cache, database.journal, pods, gateway_ready)
        self._look = asyncio.Event()
        self.queue: WorkQueue[Key] = WorkQueue("controller", self._work, metrics=metrics)

    def add(self, key: Key) -> None:
        """Something happened to this object."""
        if key.kind == "execution":
            obj = self._cache.get(EXECUTIONS, key.namespace, key.name)
            if obj is not None:
                self._names[obj["metadata"]["uid"]] = key
                self._children.news(obj)
                self._add_each(self._history.news(obj))
        elif key.kind == "runtime":
            self.keeper.poke()
            if self._is_another(key):
                self._tell_users(key.namespace)
                self._add_all(TOOLS, "tool", self._reach(key.namespace))
        elif key.kind == "workflow":
            self._add_each(self._history.of_workflow(key.namespace, key.name))
            self._add_all(TOOLS, "tool", key.namespace)
        elif key.kind == "policy":
            self._add_governed()
        elif key.kind == "namespace":
            self._add_governed(key.name)
        elif key.kind == "model" and self._is_new(key):
            self._add_all(MODELS, "model")  # it may be a fallback of any
            self._tell_users(key.namespace)
        elif key.kind in _USED:
            obj = self._cache.get(_USED[key.kind], key.namespace, key.name)
            before = self._checked.pop(key, None)
            if obj is not None:
                self._checked[key] = obj
            if changed(before, obj):
                self._tell_users(key.namespace)
        self.queue.add(key)

    def _is_new(self, key: Key) -> bool:
        """Whether a Model was not there before, or not by this spec, or is there no longer."""
        obj = self._cache.get(MODELS, key.namespace, key.name)
        now = None if obj is None else (obj["metadata"]["uid"], obj["metadata"].get("generation", 0))
        before = self._checked.pop(key, None)
        if now is not None:
            self._checked[key] = now
        return bool(before != now)

    def _is_another(self, key: Key) -> bool:
        """Whether anything but the size of its pool has changed of a Runtime since it was last seen."""
        obj = self._cache.get(RUNTIMES, key.namespace, key.name)
        if obj is None:
            return self._checked.pop(key, None) is not None
        said = {name: value for name, value in status_of(obj).items() if name != "pool"}
        # Its version, and whether its pool is for agents, are annotations.
        metadata = obj["metadata"]
        now = metadata["uid"], metadata.get("generation", 0), metadata.get("annotations"), said
        before, self._checked[key] = self._checked.get(key), now
        return before != now

    def _reach(self, namespace: str) -> str | None:
        """Where what is defined in a namespace can be used; None for everywhere."""
        return None if namespace == self._agents.shared else namespace

    def _tell_users(self, namespace: str) -> None:
        """A Runtime, Model, Tool or Agent of this namespace is not what it was."""
        self._add_all(AGENTS, "agent", self._reach(namespace))
        self._add_all(WORKFLOWS, "workflow", self._reach(namespace))

    def _add_each(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.queue.add(key)

    def _add_governed(self, namespace: str | None = None) -> None:
        """Policies may say something else of all that they bound."""
        for resource, kind in (
            (WORKFLOWS, "workflow"),
            (RUNTIMES, "runtime"),
            (MODELS, "model"),
            (TOOLS, "tool"),
        ):
            self._add_all(resource, kind, namespace)

    def _add_all(self, resource: Resource, kind: str, namespace: str | None = None) -> None:
        """What is true of these may have changed, though they have not."""
        for obj in self._cache.objects(resource):
            metadata = obj["metadata"]
            if namespace in (None, metadata["namespace"]):
                self.queue.add(Key(kind, metadata["namespace"], metadata["name"]))

    def sandbox_changed(self, row: SandboxRow) -> None:
        """The reason for which an execution waits has changed."""
        if row.uid is not None:
            self._execution_changed(row.uid)

    def take(self, notice: Notice) -> None:
        """Something happened in the journal."""
        if notice.topic == "listening":
            self._look.set()
        elif notice.topic == "execution":
            self._execution_changed(notice.id)
        elif notice.topic == "progress" and (key := self._names.get(notice.id)) is not None:
            self.queue.add_after(key, FIRST_PAUSE)
        elif notice.topic == "approval":
            namespace, _, name = notice.id.partition("/")
            self.queue.add(Key("approval", namespace, name))
        elif notice.topic == "signal":
            self.queue.add(Key("signal", "", notice.id))
        elif notice.topic == "tool-checked":
            namespace, _, name = notice.id.partition("/")
            self.queue.add(Key("tool", namespace, name))
        elif notice.topic in ("sandbox", "delivery"):
            self.keeper.stir()
            self.queue.add(Key(notice.topic, self._sandbox_namespace, notice.id))

    def _execution_changed(self, uid: str) -> None:
        key = self._names.get(uid)
        if key is not None:
            self.queue.add(key)

    def _tell_others(self, key: Key) -> None:
        """An Execution may have ended, also one that installs packages; of what we wrote no watch tells."""
        obj = self._cache.get(EXECUTIONS, key.namespace, key.name)
        if obj is None or not is_finished(obj):
            return
        self._add_each(self._history.news(obj))
        if (origin := origin_of(obj)) is not None:
            self._execution_changed(origin.uid)
        runtime = owner_of(obj)
        if runtime is not None:
            self.queue.add(Key("runtime", key.namespace, runtime[0]))

    async def _work(self, key: Key) -> float | None:
        match key.kind:
            case "execution":
                again = await self._executions.reconcile(key.namespace, key.name)
                self._tell_others(key)
                return again
            case "gone":
                self._names.pop(key.uid, None)
                self._add_each(self._history.gone(key.uid))
                await self._executions.gone(key.uid, key.name)
                await self._database.archive.mark([key.uid])
                if (parent := self._children.gone(key.uid)) is not None:
                    self._execution_changed(parent)
            case "workflow":
                return await self._readiness.workflow(key.namespace, key.name)
            case "runtime":
                before = self._cache.get(RUNTIMES, key.namespace, key.name)
                again = await self._readiness.runtime(key.namespace, key.name)
                if self._cache.get(RUNTIMES, key.namespace, key.name) is not before:
                    self._add_all(WORKFLOWS, "workflow")  # of what we wrote ourselves no watch tells
                return again
            case "model":
                return await self._telling(MODELS, key, self._models.reconcile)
            case "agent":
                return await self._telling(AGENTS, key, self._agents.reconcile)
            case "tool":
                return await self._telling(TOOLS, key, self._tools.reconcile)
            case "trigger":
                return await self._triggers.reconcile(key.namespace, key.name)
            case "history":
                await self._history.reconcile(key.namespace, key.name)
            case "policy":
                await self._policies.publish()
                return await self._readiness.policy(key.name)
            case "namespace":
                await self._policies.namespace_changed(key.name)
                await namespace_changed(self._cache, self._database.conversations, key.name)
            case "approval":
                return await self._approvals.reconcile(key.namespace, key.name)
            case "signal":
                await self._signals.deliver(key.name)
            case "delivery":
                await self._deliveries.reconcile(key.name)
            case "sandbox":
                again = await self.pods.reconcile(key.name)
                waiting = self.pods.next_queued()
                if waiting is not None and waiting != key.name:
                    self.queue.add(Key("sandbox", key.namespace, waiting))
                return again
        return None

    async def _telling(
        self, resource: Resource, key: Key, reconcile: Callable[[str, str], Awaitable[float | None]]
    ) -> float | None:
        """Reconciles an object; of what we write ourselves no watch tells those that use it."""
        before = self._cache.get(resource, key.namespace, key.name)
        again = await reconcile(key.namespace, key.name)
        now = self._cache.get(resource, key.namespace, key.name)
        if now is not before and changed(before, now):
            if key.kind in _USED and now is not None:
                self._checked[key] = now
            self._tell_users(key.namespace)
        return again

    async def follow(self) -> None:
        """Takes the journal's notices, for ever."""
        async for notice in self._database.journal.listen(_TOPICS):
            self.take(notice)

    async def sweep(self) -> None:
        """Looks at every open row and every pod, and ends what nobody owns."""
        rows = await self._database.sandboxes.open()
        self._counted.sandboxes([row.status for row in rows])
        names = {row.name for row in rows}
        names |= {pod["metadata"]["name"] for pod in self._cache.objects(PODS)}
        for name in names:
            self.queue.add(Key("sandbox", self._sandbox_namespace, name))
        for delivery in await self._database.sandboxes.deliveries():
            if delivery.sealed is None:
                self.queue.add(Key("delivery", self._sandbox_namespace, delivery.sandbox))
        for obj in self._cache.objects(EXECUTIONS):
            if not is_finished(obj):
                self.add(Key("execution", obj["metadata"]["namespace"], obj["metadata"]["name"]))
        for namespace, name in await self._approvals.unsettled():
            self.queue.add(Key("approval", namespace, name))
        for uid in await self._signals.waiting():
            self.queue.add(Key("signal", "", uid))
        await self._turns.wake()
        await self._executions.outside.agents.left()
        self._add_each(await self.strays.orphans())
        await self.strays.end_silent(rows)
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_SECONDS):
                await self._look.wait()
        self._look.clear()

    async def relist(self) -> None:
        """Compares the cache with complete lists."""
        await asyncio.sleep(RELIST_SECONDS)
        kinds: list[tuple[Resource, str, str | None]] = [(*watched, None) for watched in WATCHED]
        kinds.append((PODS, "sandbox", self._sandbox_namespace))
        # Read before the list: what ended, and has no object in it, is of the archive.
        ended = await self._database.archive.present(_ARCHIVED_AT_ONCE)
        for resource, kind, namespace in kinds:
            found = await self._kube.list(resource, namespace)
            if resource is EXECUTIONS:
                uids = {item["metadata"]["uid"] for item in found.items}
                await self._database.archive.mark([uid for uid in ended if uid not in uids])
            before = {key_of(obj): obj for obj in self._cache.objects(resource)}
            for key in self._cache.replace(resource, found.items, found.resource_version):
                uid = before[key]["metadata"]["uid"] if kind == "execution" else ""
                self.add(Key("gone" if uid else kind, key.namespace, key.name, uid))
            for item in found.items:
                self.add(Key(kind, *key_of(item)))
