"""The gateway process."""

import asyncio
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from citadel.gateway.limits import LimitedServer
from citadel.gateway.metrics import GatewayMetrics
from citadel.gateway.routes import Routes
from citadel.gateway.service import Gateway
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
from citadel.store.sql.database import open_database
from citadel.store.waking import Waker

HANDSHAKE_SECONDS = 5.0
DUE_BATCH = 32


def run() -> None:
    """Serves sandboxes until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = Settings.from_env()
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        waker = Waker()
        registry = CollectorRegistry()
        metrics = GatewayMetrics(registry)
        gateway = Gateway(database.journal, database.sandboxes, database.policies, waker, metrics.ended)
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

        work = {
            "following notices": lambda: waker.follow(database.journal.listen),
            "taking what is due": lambda: take_due(database.journal, DUE_BATCH),
            "renewing the certificate": lambda: keep_certificate(tls, str(settings.tls_dir)),
        }
        async with background(work):
            await stop.wait()
        await server.shutdown(3.0)
