"""The process `models`: the model gateway."""

import asyncio
import logging
import ssl
import warnings
from contextlib import AsyncExitStack
from importlib import import_module

from prometheus_client import CollectorRegistry

from citadel.calls.proxy import EgressProxy
from citadel.calls.sealing import Opener
from citadel.calls.trust import Trust
from citadel.limiting import LimitedServer
from citadel.llm.asking import Common
from citadel.llm.caching import AnswerCache
from citadel.models.answering import Answering
from citadel.models.door import Door
from citadel.models.grants import OpenGrants
from citadel.models.metrics import DoorMetrics, ModelMetrics
from citadel.models.sessions import Sessions
from citadel.models.ways import Ways
from citadel.models.working import ModelWorker
from citadel.serving import (
    answering,
    background,
    health_app,
    keep_certificate,
    run_process,
    serve,
    server_tls,
)
from citadel.settings import ModelSettings
from citadel.store.cached_answers import RedisAnswers
from citadel.store.policies import RecentPolicies
from citadel.store.sql.database import Database, open_database
from citadel.tracing import tracing

PRUNE_SECONDS = 3600.0
#: Notices that are of use here.
_TOPICS = ("execution", "control", "grant", "model")
_CHATTY = ("anthropic", "botocore", "httpcore2", "httpx2", "langchain_aws", "langchain_core", "openai")
#: Seconds between two looks at the CA, which may be a new one.
CA_SECONDS = 60.0
HANDSHAKE_SECONDS = 5.0
#: Seconds that calls of agents have to end when the process does; what is cut off is asked again.
SHUTDOWN_SECONDS = 5.0


def run() -> None:
    """Makes calls of models until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = ModelSettings.from_env()
    for chatty in _CHATTY:
        # At some level each of them tells what is asked.
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # These hold what was answered.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings")
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        tracer = tracing(stack, "models", database.follow)
        registry = CollectorRegistry()
        metrics = ModelMetrics(registry)
        tls = ssl.create_default_context(cafile=str(settings.ca_file))
        proxy = EgressProxy(settings.egress_host, settings.egress_port, tls)
        stack.push_async_callback(proxy.aclose)
        trust = Trust(settings.trust_file)
        ways = Ways(Opener.from_file(settings.key_file), proxy, trust.context)
        common = Common(cache=_cache(stack, settings, metrics), trace=tracer.asked if tracer else None)
        metrics.left_alone.set_function(lambda: common.breakers.open)
        worker = ModelWorker(
            database.journal, database.model_calls, database.ledger, ways, metrics.told, common
        )
        metrics.under_way.set_function(lambda: worker.under_way)
        await serve(stack, health_app(registry, answering(database.ping)), settings.health_port)

        # Seconds of work: not when the first call waits for it, and not in this thread.
        await asyncio.to_thread(import_module, "citadel.llm.bedrock")

        sessions = Sessions(database.journal, database.sandboxes)
        grants = OpenGrants(database.model_grants, ways.of_grant)
        stack.push_async_callback(grants.close)
        policies = RecentPolicies(database.policies)
        answers = Answering(
            database.journal,
            grants,
            database.model_records,
            database.ledger,
            policies,
            metrics.told,
            common,
        )
        counting = DoorMetrics(registry)
        door = Door(sessions, answers, counting)
        counting.under_way.set_function(lambda: door.under_way)
        # Whoever asks no longer is not answered: the provider's call ends with its client's connection.
        server = LimitedServer(door.handle, access_log=None, handler_cancellation=True)
        door_tls = server_tls(str(settings.tls_dir))
        listening = await asyncio.get_running_loop().create_server(
            server,
            None,
            settings.port,
            ssl=door_tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            backlog=512,
            reuse_address=True,
        )
        stack.callback(listening.close)

        async def follow() -> None:
            async for notice in database.journal.listen(_TOPICS):
                for follower in (worker, sessions, grants):
                    follower.take(notice)

        work = {
            "following notices": follow,
            "taking calls": worker.work,
            "closing grants that are idle": grants.sweep,
            "renewing the certificate": lambda: keep_certificate(door_tls, str(settings.tls_dir)),
            "pruning the ledger": lambda: _prune(database),
            "renewing the CA": lambda: _keep(tls, trust, settings),
        }
        async with background(work):
            await stop.wait()
        await worker.close()
        await server.shutdown(SHUTDOWN_SECONDS)


def _cache(stack: AsyncExitStack, settings: ModelSettings, metrics: ModelMetrics) -> AnswerCache | None:
    """The answers that are kept, where the installation has Redis."""
    redis = settings.redis
    if redis is None:
        return None
    password = redis.password_file.read_text().strip()
    answers = RedisAnswers(redis.host, redis.port, password, settings.key_file.read_bytes())
    stack.push_async_callback(answers.close)
    return AnswerCache(answers, metrics.looked)


async def _keep(tls: ssl.SSLContext, trust: Trust, settings: ModelSettings) -> None:
    await asyncio.sleep(CA_SECONDS)
    tls.load_verify_locations(str(settings.ca_file))
    trust.renew()


async def _prune(database: Database) -> None:
    await database.ledger.prune()
    await asyncio.sleep(PRUNE_SECONDS)
