"""The controller process: waits for the Lease, then watches and reconciles until it is lost."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from citadel.api.meta import API_VERSION
from citadel.controller.definitions import Definitions
from citadel.controller.deliveries import Deliveries
from citadel.controller.executions import Executions, Waiting
from citadel.controller.keys import keep_published, publish
from citadel.controller.readiness import Readiness
from citadel.controller.reconciler import Reconciler
from citadel.controller.runtimes import apply_default_runtimes
from citadel.controller.sandboxes import SandboxPods
from citadel.controller.watching import Watcher
from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.config import load_config
from citadel.kube.events import EventPoster
from citadel.kube.lease import Lease, identity_of
from citadel.kube.metrics import Metrics
from citadel.kube.resources import NODES, SERVICES
from citadel.render.pod import Site
from citadel.serving import answering, forever, health_app, run_process, serve
from citadel.settings import Settings
from citadel.store.sql.database import Database, open_database

log = logging.getLogger(__name__)

LEASE_NAME = "citadel-controller"
#: Executions whose time has come, taken in one go; the gateway takes them too.
DUE_BATCH = 64
#: Seconds without any sign of life from the API server after which the process asks to be restarted.
DEAF_SECONDS = 600.0


def run() -> None:
    """Leads or stands by until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = Settings.from_env()
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        kube = await stack.enter_async_context(KubeClient(load_config(), count=metrics.request))
        cache = Cache()

        async def alive() -> str | None:
            ages = [age for age in cache.ages().values() if age is not None]
            return (
                "nothing was heard of the API server for long" if ages and min(ages) > DEAF_SECONDS else None
            )

        await serve(stack, health_app(registry, answering(database.ping), alive), settings.health_port)
        identity = identity_of(settings.pod_name, settings.pod_uid)
        lease = Lease(kube, settings.namespace, LEASE_NAME, identity, on_change=metrics.leading)

        async def lead(lost: asyncio.Event) -> None:
            await _lead(settings, kube, cache, database, metrics, lost)

        async def compete() -> None:
            while True:
                await lease.lead(lead)

        competing = asyncio.create_task(forever("leading", compete))
        await stop.wait()
        competing.cancel()
        await asyncio.gather(competing, return_exceptions=True)


async def _lead(
    settings: Settings,
    kube: KubeClient,
    cache: Cache,
    database: Database,
    metrics: Metrics,
    lost: asyncio.Event,
) -> None:
    log.info("leading: watching %s", API_VERSION)
    await publish(kube, database.keys)
    await apply_default_runtimes(kube, settings)
    site = await find_site(kube, settings)
    waiting = Waiting({})
    async with AsyncExitStack() as stack:
        poster = EventPoster(kube, "citadel-controller", settings.pod_name, count=metrics.event)
        events = await stack.enter_async_context(poster)
        definitions = Definitions(kube, settings.namespace)
        journal, sandboxes = database.journal, database.sandboxes
        executions = Executions(kube, cache, journal, definitions, events, waiting)
        readiness = Readiness(kube, cache, definitions, events, time.time)
        account = f"{settings.namespace}:{settings.service_account}"
        deliveries = Deliveries(kube, journal, sandboxes, account)
        pods = SandboxPods(
            kube,
            cache,
            journal,
            sandboxes,
            site,
            waiting,
            limit=settings.max_sandboxes,
            patience=settings.unschedulable_seconds,
            changed=lambda row: reconciler.sandbox_changed(row),
        )
        reconciler = Reconciler(
            kube,
            cache,
            database,
            executions,
            readiness,
            pods,
            deliveries,
            metrics,
            settings.sandbox_namespace,
        )
        reconciler.queue.start()
        stack.push_async_callback(reconciler.queue.stop, 3.0)

        async def take_due() -> None:
            if len(await journal.due(DUE_BATCH)) < DUE_BATCH:
                await asyncio.sleep(0.25)

        work = {
            "following notices": reconciler.follow,
            "sweeping": reconciler.sweep,
            "listing": reconciler.relist,
            "taking what is due": take_due,
            "publishing keys": lambda: keep_published(kube, database.keys),
        }
        tasks = [asyncio.create_task(forever(name, what)) for name, what in work.items()]
        try:
            await Watcher(cache, reconciler.add, settings.sandbox_namespace).run(lost)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def find_site(kube: KubeClient, settings: Settings) -> Site:
    """What the cluster offers to sandboxes: the gateway's address, and user namespaces on every node."""
    service = await kube.get(SERVICES, settings.gateway_service, settings.namespace)
    port = service["spec"]["ports"][0]["port"]
    nodes = (await kube.list(NODES)).items
    return Site(
        namespace=settings.sandbox_namespace,
        runner_image=settings.runner_image,
        gateway_url=f"https://{service['spec']['clusterIP']}:{port}",
        ca=settings.ca,
        user_namespaces=bool(nodes) and all(_has_user_namespaces(node) for node in nodes),
    )


def _has_user_namespaces(node: dict[str, object]) -> bool:
    """Whether the node's default runtime announces user namespaces."""
    status = node.get("status")
    handlers = status.get("runtimeHandlers") or () if isinstance(status, dict) else ()
    default = [item for item in handlers if not item.get("name")]
    return any((item.get("features") or {}).get("userNamespaces") for item in default or handlers)
