"""The api process."""

import asyncio
import ssl
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from citadel.kube.client import KubeClient
from citadel.kube.config import load_config
from citadel.kube.metrics import Metrics
from citadel.kube.resources import CONFIGMAPS
from citadel.serving import (
    answering,
    background,
    health_app,
    keep_certificate,
    run_process,
    serve,
    server_tls,
)
from citadel.settings import Settings
from citadel.store.sql.database import open_database
from citadel.store.waking import Waker
from citadel.tracing import tracing
from citadel.web.access import Access
from citadel.web.routes import Routes

#: Notices that are of use here.
_TOPICS = ("execution", "progress", "log")


def run() -> None:
    """Serves people until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = Settings.from_env()
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        tracing(stack, "api", database.follow)
        kube = await stack.enter_async_context(KubeClient(load_config(), count=Metrics(registry).request))
        await serve(stack, health_app(registry, answering(database.ping)), settings.health_port)
        waker = Waker()
        routes = Routes(
            kube,
            database.journal,
            Access(kube),
            waker,
            database.connections,
            database.revisions,
            database.archive,
            database.signals,
            database.admissions,
            database.conversations,
            database.ledger.usage,
            database.model_records,
        )
        tls = server_tls(str(settings.tls_dir))
        await accept_client_certificates(kube, tls)
        await serve(stack, routes.app(), settings.port, tls)
        work = {
            "following notices": lambda: waker.follow(database.journal.listen(_TOPICS)),
            "renewing the certificate": lambda: keep_certificate(tls, str(settings.tls_dir)),
        }
        async with background(work):
            await stop.wait()


async def accept_client_certificates(kube: KubeClient, tls: ssl.SSLContext) -> None:
    """Lets clients identify themselves as to the API server: by a certificate of the cluster's client CA."""
    found = await kube.get(CONFIGMAPS, "extension-apiserver-authentication", "kube-system")
    authority = (found.get("data") or {}).get("client-ca-file")
    if authority:
        tls.load_verify_locations(cadata=authority)
        tls.verify_mode = ssl.CERT_OPTIONAL
