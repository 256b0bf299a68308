"""What every process of the control plane has in common: HTTP servers, health, and an orderly end."""

import asyncio
import logging
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from citadel.store.journal import Journal, JournalUnavailable

log = logging.getLogger(__name__)

#: Seconds between two looks at the files of a server's certificate.
CERTIFICATE_SECONDS = 60.0
#: Why a process is not ready, or None when it is.
Ready = Callable[[], Awaitable[str | None]]


def health_app(registry: CollectorRegistry, ready: Ready, alive: Ready | None = None) -> web.Application:
    """/healthz, /readyz and /metrics, in plain HTTP for kubelet and Prometheus."""

    async def answer(check: Ready | None) -> web.Response:
        problem = await check() if check is not None else None
        return web.Response(status=200 if problem is None else 503, text=problem or "ok")

    async def healthz(_: web.Request) -> web.Response:
        return await answer(alive)

    async def readyz(_: web.Request) -> web.Response:
        return await answer(ready)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), content_type="text/plain", charset="utf-8")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


def answering(ping: Callable[[], Awaitable[None]]) -> Ready:
    """Ready when the journal answers."""

    async def ready() -> str | None:
        try:
            await ping()
        except JournalUnavailable as error:
            return f"the journal is unavailable: {error}"
        return None

    return ready


async def serve(
    stack: AsyncExitStack, app: web.Application, port: int, tls: ssl.SSLContext | None = None
) -> None:
    """Serves `app` on all addresses until the stack closes; requests in progress get 3 s then."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=3.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, None, port, ssl_context=tls, backlog=512).start()


def server_tls(folder: str) -> ssl.SSLContext:
    """A server's TLS context from tls.crt and tls.key of a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
    return context


async def keep_certificate(context: ssl.SSLContext, folder: str) -> None:
    """One round of taking over a renewed certificate; connections that are open keep theirs."""
    await asyncio.sleep(CERTIFICATE_SECONDS)
    context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")


def end_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stop` from now on, whatever they did before."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def run_process(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main` until it ends; SIGTERM and SIGINT set the event that it is given."""

    async def supervised() -> None:
        stop = asyncio.Event()
        end_on_signals(stop)
        await main(stop)

    import uvloop

    uvloop.run(supervised())


async def forever(name: str, work: Callable[[], Awaitable[None]], pause: float = 1.0) -> None:
    """Runs `work` again and again; an error is logged and followed by a pause, never by the end."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("%s failed; again in %.0f s", name, pause)
            await asyncio.sleep(pause)


@asynccontextmanager
async def background(work: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Does all of `work` for ever, by its names in the log, while the context lasts."""
    tasks = [asyncio.create_task(forever(name, what)) for name, what in work.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def take_due(journal: Journal, batch: int) -> None:
    """One round of advancing executions whose time has come; pauses when there were fewer than `batch`."""
    if len(await journal.due(batch)) < batch:
        await asyncio.sleep(0.25)
