"""What the leading controller does: everything is made anew for each term, so nothing stale is believed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from citadel.api.meta import API_VERSION, TRIGGER_LABEL
from citadel.controller.agent_readiness import AgentReadiness
from citadel.controller.agents import Agents
from citadel.controller.approvals import Approvals
from citadel.controller.asking import Asking, Calling
from citadel.controller.board import Board
from citadel.controller.bootstrap import Installation, keep_prepared
from citadel.controller.children import Children
from citadel.controller.definitions import Definitions
from citadel.controller.deliveries import Deliveries
from citadel.controller.executions import Executions, Waiting
from citadel.controller.forgetting import keep_forgetting
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
from citadel.controller.runtimes import apply_default_runtimes
from citadel.controller.sandboxes import SandboxPods
from citadel.controller.sealing import Sealer
from citadel.controller.shelf import Shelf
from citadel.controller.signals import Signals
from citadel.controller.site import RuntimeClasses, find_site
from citadel.controller.tool_readiness import ToolReadiness
from citadel.controller.tools import Tools
from citadel.controller.triggers import Triggers
from citadel.controller.turns import Turns
from citadel.controller.watching import Key, Watcher
from citadel.kube.cache import Cache, key_of
from citadel.kube.client import KubeClient
from citadel.kube.events import EventPoster
from citadel.kube.metrics import Metrics
from citadel.kube.resources import (
    AGENTS,
    EXECUTIONS,
    MODELS,
    NAMESPACES,
    NODES,
    PODS,
    POLICIES,
    RUNTIMES,
    TOOLS,
)
from citadel.render.pod import Site
from citadel.serving import background, take_due
from citadel.settings import Settings
from citadel.store.blobs import BlobLimits
from citadel.store.sql.database import Database

log = logging.getLogger(__name__)

#: Executions whose time has come, taken in one go; the gateways take them too.
DUE_BATCH = 64
#: Seconds between two looks for executions that ended too long ago to be kept.
PRUNE_SECONDS = 3600.0


@dataclass
class Leader:
    """One process's means to lead."""

    settings: Settings
    kube: KubeClient
    database: Database
    metrics: Metrics
    counted: ControllerMetrics
    watching: Callable[[], None] = lambda: None
    """Called when kopf has started, which takes the process's signals for itself."""
    cache: Cache = field(default_factory=Cache)

    async def lead(self, lost: asyncio.Event) -> None:
        """Watches and reconciles until `lost` is set."""
        log.info("leading: watching %s", API_VERSION)
        self.cache = Cache()
        await apply_default_runtimes(self.kube, self.settings)
        site = await find_site(self.kube, self.settings)
        async with AsyncExitStack() as stack:
            poster = EventPoster(
                self.kube, "citadel-controller", self.settings.pod_name, count=self.metrics.event
            )
            reconciler = self._reconciler(site, await stack.enter_async_context(poster))
            # How many sandboxes are live must be known before the first is made.
            listed = await self.kube.list(PODS, self.settings.sandbox_namespace)
            self.cache.replace(PODS, listed.items, listed.resource_version)
            # And what is permitted, before anything starts.
            known = {
                POLICIES: "policy",
                NAMESPACES: "namespace",
                RUNTIMES: "runtime",
                MODELS: "model",
                TOOLS: "tool",
                AGENTS: "agent",
            }
            for resource in known:
                listed = await self.kube.list(resource)
                self.cache.replace(resource, listed.items, listed.resource_version)
            # And what schedules have started already.
            started = await self.kube.list(EXECUTIONS, label_selector=TRIGGER_LABEL)
            for obj in started.items:
                self.cache.put(EXECUTIONS, obj)
            await reconciler.pods.start()
            reconciler.queue.start()
            for obj in started.items:
                reconciler.add(Key("execution", *key_of(obj)))
            for resource, kind in known.items():
                for obj in self.cache.objects(resource):  # to the watch these are no news
                    reconciler.add(Key(kind, *key_of(obj)))
            stack.push_async_callback(reconciler.queue.stop, 3.0)
            async with background(self._work(reconciler)):
                namespace = self.settings.sandbox_namespace
                await Watcher(self.cache, reconciler.add, namespace, self.watching).run(lost)

    def _reconciler(self, site: Site, events: EventPoster) -> Reconciler:
        settings, kube, cache = self.settings, self.kube, self.cache
        journal, sandboxes = self.database.journal, self.database.sandboxes
        waiting = Waiting({})
        policies = Policies(kube, cache, self.database.policies)
        account = f"{settings.namespace}:{settings.service_account}"
        references = References(kube, account)
        models = Models(cache, references, policies.of, settings.namespace)
        shelf = Shelf(kube, settings.namespace)
        tools = Tools(shelf, references, policies.of, Documents(references))
        agents = Agents(shelf, references, models, tools)
        definitions = Definitions(kube, shelf, policies, self.database.revisions, settings.indexes, agents)
        blobs = self.database.blobs(BlobLimits())
        packages = Packages(kube, cache, journal, blobs, settings.indexes, time.time)
        reruns = Reruns(kube, cache, journal, definitions, blobs)
        pods = SandboxPods(
            kube,
            cache,
            journal,
            sandboxes,
            policies,
            RuntimeClasses(kube, site),
            site.namespace,
            waiting,
            self.database.pools,
            limits=Limits(settings.max_sandboxes, settings.max_sandboxes_per_namespace),
            patience=settings.unschedulable_seconds,
            changed=lambda row: reconciler.sandbox_changed(row),
            failed=lambda row, diagnosis: keeper.failed(row, diagnosis),
        )
        board = Board()
        keeper = Keeper(
            cache,
            definitions,
            sandboxes,
            self.database.pools,
            board,
            self.counted.pools,
            lambda namespace, name: reconciler.queue.add(Key("runtime", namespace, name)),
            self._nodes,
        )
        readiness = Readiness(kube, cache, definitions, events, time.time, packages.reconcile, board)

        def started(namespace: str, name: str) -> None:
            reconciler.add(Key("execution", namespace, name))

        children = Children(kube, cache, journal, self.database.archive, lambda key: reconciler.add(key))
        turns = Turns(journal, self.database.admissions, children)
        to_tools = Sealer(kube, settings.namespace, f"{settings.name}-tools-key")
        means = Means(models, Sealer(kube, settings.namespace, f"{settings.name}-models-key"))
        paying = Paying(kube, cache, journal, policies.of)
        outside = Outside(
            Asking(journal, self.database.model_calls, means, paying),
            Calling(journal, self.database.tool_calls, tools, to_tools),
            Granting(journal, self.database.model_grants, means, paying, settings.namespace),
        )
        executions = Executions(
            kube,
            cache,
            journal,
            sandboxes,
            definitions,
            reruns,
            events,
            waiting,
            children,
            turns,
            outside,
            self.counted.ended,
            usage=self.database.ledger.usage,
        )

        reconciler = Reconciler(
            kube,
            cache,
            self.database,
            executions,
            children,
            readiness,
            pods,
            Deliveries(kube, journal, sandboxes, account),
            Approvals(kube, cache, journal, self.database.approvals, events),
            Signals(journal, self.database.signals),
            policies,
            self.metrics,
            self.counted,
            settings.sandbox_namespace,
            keeper,
            Triggers(kube, cache, readiness, events, started),
            History(kube, cache),
            turns,
            ModelReadiness(cache, models, readiness),
            AgentReadiness(cache, agents, readiness, settings.namespace),
            ToolReadiness(cache, tools, self.database.tool_checks, to_tools, readiness),
            gateway_ready=self._gateway_ready,
        )
        return reconciler

    async def _nodes(self) -> int:
        """How many nodes there are: each starts one member of a pool at a time."""
        return len((await self.kube.list(NODES)).items)

    async def _gateway_ready(self) -> bool:
        """Whether a gateway serves: it is ready only while the journal answers it."""
        namespace = self.settings.namespace
        selector = "app.kubernetes.io/name=citadel,app.kubernetes.io/component=gateway"
        pods = (await self.kube.list(PODS, namespace, label_selector=selector)).items
        conditions = (item for pod in pods for item in pod.get("status", {}).get("conditions") or ())
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def _work(self, reconciler: Reconciler) -> dict[str, Callable[[], Awaitable[None]]]:
        """What is done beside watching, again and again."""
        return {
            "following notices": reconciler.follow,
            "keeping pools": reconciler.keeper.keep,
            "sweeping": reconciler.sweep,
            "listing": reconciler.relist,
            "taking what is due": lambda: take_due(self.database.journal, DUE_BATCH),
            "pruning": self._prune,
            "forgetting": lambda: keep_forgetting(self.kube, self.database.conversations),
            "renewing certificates": lambda: keep_prepared(self.kube, Installation.from_env()),
        }

    async def _prune(self) -> None:
        while await self.database.journal.prune(self.settings.retention_days * 86400.0):
            pass  # a few at a time: others have transactions too
        await asyncio.sleep(PRUNE_SECONDS)
