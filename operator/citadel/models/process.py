"""The process `models`: the model gateway."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from importlib import import_module

import httpx2
from prometheus_client import CollectorRegistry

from citadel.api.reasons import Reason
from citadel.calls.dialling import Proxied, ProxiedTransport, Ticket
from citadel.calls.sealing import Opener, Unopened
from citadel.llm.asking import Target
from citadel.llm.provider import Provider, ProviderError
from citadel.llm.ways import provider_of
from citadel.models.metrics import ModelMetrics
from citadel.models.working import ModelWorker
from citadel.serving import answering, background, health_app, run_process, serve
from citadel.settings import ModelSettings
from citadel.store.sql.database import Database, open_database

PRUNE_SECONDS = 3600.0
#: Seconds between two looks at the CA, which may be a new one.
CA_SECONDS = 60.0


class Ways:
    """The ways to Models: what is sealed is opened here, for one call, and sent to its own host alone."""

    def __init__(
        self,
        opener: Opener,
        proxy: tuple[str, int],
        tls: ssl.SSLContext,
        to_providers: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` checks the egress proxy, `to_providers` those who answer: by default as everybody does."""
        self._opener, self._proxy, self._tls = opener, proxy, tls
        self._to_providers = to_providers or ssl.create_default_context()

    def __call__(self, target: Target, sealed: str | None, ticket: Ticket) -> Provider:
        """The way to a Model; raises ProviderError."""
        key = None if sealed is None else self._open(target, sealed)

        def client() -> httpx2.AsyncClient:
            backend = Proxied(*self._proxy, self._tls, ticket, _problem)
            # No redirects: what is sent is for the host that is named. Times are kept by the caller.
            transport = ProxiedTransport(backend, self._to_providers)
            return httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False)

        return provider_of(target.spec, key, client)

    def _open(self, target: Target, sealed: str) -> str:
        try:
            return self._opener.open(sealed, target.spec.destination)
        except Unopened as error:
            reason = Reason.HOST_NOT_ALLOWED if error.elsewhere else Reason.MODEL_ERROR
            raise ProviderError(reason, error.message, sent=False) from None


def _problem(message: str, *, passes: bool, sent: bool) -> ProviderError:
    return ProviderError(Reason.MODEL_UNAVAILABLE if passes else Reason.MODEL_ERROR, message, sent=sent)


def run() -> None:
    """Makes calls of models until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = ModelSettings.from_env()
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        registry = CollectorRegistry()
        metrics = ModelMetrics(registry)
        tls = ssl.create_default_context(cafile=str(settings.ca_file))
        ways = Ways(Opener.from_file(settings.key_file), (settings.egress_host, settings.egress_port), tls)
        worker = ModelWorker(database.journal, database.model_calls, database.ledger, ways, metrics.told)
        metrics.under_way.set_function(lambda: worker.under_way)
        await serve(stack, health_app(registry, answering(database.ping)), settings.health_port)

        # Seconds of work: not when the first call waits for it, and not in this thread.
        await asyncio.to_thread(import_module, "citadel.llm.langchain")

        async def follow() -> None:
            async for notice in database.journal.listen():
                worker.take(notice)

        work = {
            "following notices": follow,
            "taking calls": worker.work,
            "pruning the ledger": lambda: _prune(database),
            "renewing the CA": lambda: _keep(tls, settings),
        }
        async with background(work):
            await stop.wait()
        await worker.close()


async def _keep(tls: ssl.SSLContext, settings: ModelSettings) -> None:
    await asyncio.sleep(CA_SECONDS)
    tls.load_verify_locations(str(settings.ca_file))


async def _prune(database: Database) -> None:
    await database.ledger.prune()
    await asyncio.sleep(PRUNE_SECONDS)
