"""The process `tools`."""

import asyncio
import logging
import ssl
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from citadel.calls.proxy import EgressProxy
from citadel.calls.sealing import Opener
from citadel.calls.trust import Trust
from citadel.serving import answering, background, health_app, run_process, serve
from citadel.settings import ToolSettings
from citadel.store.sql.database import open_database
from citadel.tools.asking import Asker
from citadel.tools.metrics import ToolMetrics
from citadel.tools.working import CheckWorker, ToolWorker
from citadel.tracing import tracing

#: Seconds between two looks at the CA, which may be a new one.
CA_SECONDS = 60.0
#: Notices that are of use here.
_TOPICS = ("tool", "tool-check", "control")
#: Seconds that calls have to come to their end when the process is to: what is cut off may have happened.
GRACE_SECONDS = 30.0


def run() -> None:
    """Makes calls of tools until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = ToolSettings.from_env()
    for chatty in ("httpx2", "httpcore2"):
        # URLs have arguments in them.
        logging.getLogger(chatty).setLevel(logging.WARNING)
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        tracing(stack, "tools", database.follow)
        registry = CollectorRegistry()
        metrics = ToolMetrics(registry)
        tls = ssl.create_default_context(cafile=str(settings.ca_file))
        proxy = EgressProxy(settings.egress_host, settings.egress_port, tls)
        stack.push_async_callback(proxy.aclose)
        trust = Trust(settings.trust_file)
        asker = Asker(Opener.from_file(settings.key_file), proxy, trust.context)
        workers = (
            ToolWorker(database.journal, database.tool_calls, asker, metrics.told),
            CheckWorker(database.tool_checks, asker, metrics.told),
        )
        metrics.under_way.set_function(lambda: sum(worker.under_way for worker in workers))
        await serve(stack, health_app(registry, answering(database.ping)), settings.health_port)

        async def follow() -> None:
            async for notice in database.journal.listen(_TOPICS):
                for worker in workers:
                    worker.take(notice)

        async def keep() -> None:
            await asyncio.sleep(CA_SECONDS)
            tls.load_verify_locations(str(settings.ca_file))
            trust.renew()

        async with background({"following notices": follow, "renewing the CA": keep}):
            taking = {"taking calls": workers[0].work, "taking checks": workers[1].work}
            async with background(taking):
                await stop.wait()
            await workers[0].close(GRACE_SECONDS)
            await workers[1].close()
