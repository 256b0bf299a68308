"""The gateway process."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from citadel.core.egress import EgressRules
from citadel.core.policy import egress_rules
from citadel.gateway.egress import EgressDesk, callers
from citadel.gateway.internal import internal_app, internal_tls
from citadel.gateway.metrics import GatewayMetrics
from citadel.gateway.policies import LivePolicies
from citadel.gateway.routes import Routes
from citadel.gateway.service import Gateway
from citadel.limiting import LimitedServer
from citadel.serving import (
    answering,
    background,
    health_app,
    keep_certificate,
    run_process,
    serve,
    server_tls,
    take_due,
)
from citadel.settings import Settings
from citadel.store.blobs import BlobLimits, Blobs
from citadel.store.objects import open_objects
from citadel.store.sql.database import open_database
from citadel.store.waking import Waker
from citadel.tracing import tracing

HANDSHAKE_SECONDS = 5.0
#: Notices that are of use here.
_TOPICS = ("execution", "progress", "control", "sandbox", "sealed")
DUE_BATCH = 32
#: Seconds between two looks for blobs that nothing names any more.
PRUNE_SECONDS = 600.0


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The tripwire: a port that sandboxes must not reach, and whose answer is all that it is for."""
    writer.close()


def run() -> None:
    """Serves sandboxes until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = Settings.from_env()
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url, per_namespace=settings.max_sandboxes_per_namespace)
        stack.push_async_callback(database.close)
        tracing(stack, "gateway", database.follow)
        waker = Waker()
        registry = CollectorRegistry()
        metrics = GatewayMetrics(registry)
        objects = await open_objects(settings.s3, stack) if settings.s3 is not None else None
        blobs = database.blobs(BlobLimits(settings.artifact_bytes), objects)
        gateway = Gateway(
            database.journal,
            database.sandboxes,
            database.policies,
            blobs,
            waker,
            database.conversations,
            metrics.ended,
            metrics.told,
            database.ledger,
        )
        health = health_app(registry, answering(database.ping))
        await serve(stack, health, settings.health_port)
        server = LimitedServer(Routes(gateway, metrics).handle, access_log=None)
        tls = server_tls(str(settings.tls_dir))
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            server,
            None,
            settings.port,
            ssl=tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            backlog=512,
            reuse_address=True,
        )
        stack.callback(listening.close)
        tripwire = await asyncio.start_server(_hang_up, None, settings.tripwire_port, backlog=512)
        stack.callback(tripwire.close)
        policies = LivePolicies(database.policies)

        async def rules(namespace: str) -> Sequence[EgressRules]:
            return egress_rules(await policies.of(namespace))

        desk = EgressDesk(gateway.registry, database.journal, database.connections, rules, callers(database))
        internal = internal_tls(str(settings.tls_dir))
        await serve(stack, internal_app(desk, settings.egress_service), settings.internal_port, internal)

        work = {
            "following notices": lambda: waker.follow(database.journal.listen(_TOPICS)),
            "taking what is due": lambda: take_due(database.journal, DUE_BATCH),
            "pruning blobs": lambda: prune(blobs),
            "renewing the certificate": lambda: keep_certificate(tls, str(settings.tls_dir)),
            "renewing the internal one": lambda: keep_certificate(internal, str(settings.tls_dir)),
        }
        async with background(work):
            await stop.wait()
        await server.shutdown(3.0)


async def prune(blobs: Blobs) -> None:
    """One round of deleting blobs that nothing names any more."""
    while await blobs.prune():
        pass
    await asyncio.sleep(PRUNE_SECONDS)
