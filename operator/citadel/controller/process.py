"""The controller process: waits for the Lease, then leads until it is lost."""

import asyncio
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from citadel.controller.leading import Leader
from citadel.controller.metrics import ControllerMetrics
from citadel.kube.client import KubeClient
from citadel.kube.config import load_config
from citadel.kube.election import identity_of
from citadel.kube.lease import Lease
from citadel.kube.metrics import Metrics
from citadel.serving import answering, end_on_signals, forever, health_app, run_process, serve
from citadel.settings import Settings
from citadel.store.sql.database import open_database
from citadel.tracing import tracing

LEASE_NAME = "citadel-controller"
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
        database = open_database(settings.database_url, per_namespace=settings.max_sandboxes_per_namespace)
        stack.push_async_callback(database.close)
        tracing(stack, "controller", database.follow)
        kube = await stack.enter_async_context(KubeClient(load_config(), count=metrics.request))
        counted = ControllerMetrics(registry)
        leader = Leader(settings, kube, database, metrics, counted, lambda: end_on_signals(stop))

        async def alive() -> str | None:
            ages = [age for age in leader.cache.ages().values() if age is not None]
            deaf = lease.leads and ages and min(ages) > DEAF_SECONDS
            return "nothing was heard of the API server for long" if deaf else None

        identity = identity_of(settings.pod_name, settings.pod_uid)
        lease = Lease(kube, settings.namespace, LEASE_NAME, identity, on_change=metrics.leading)
        await serve(stack, health_app(registry, answering(database.ping), alive), settings.health_port)

        async def compete() -> None:
            await lease.lead(leader.lead)

        competing = asyncio.create_task(forever("leading", compete))
        await stop.wait()
        competing.cancel()
        await asyncio.gather(competing, return_exceptions=True)
