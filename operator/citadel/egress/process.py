"""The egress process."""

import asyncio
import contextlib
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client import CollectorRegistry

from citadel.egress.addresses import Checks
from citadel.egress.asking import GatewayClient
from citadel.egress.dialling import Dialler, SystemResolver
from citadel.egress.metrics import EgressMetrics
from citadel.egress.tunnels import Tunnels
from citadel.serving import background, health_app, keep_certificate, run_process, serve, server_tls
from citadel.settings import EgressSettings


def run() -> None:
    """Carries connections of sandboxes until SIGTERM."""
    run_process(main)


async def main(stop: asyncio.Event) -> None:
    settings = EgressSettings.from_env()
    async with AsyncExitStack() as stack:
        registry = CollectorRegistry()
        resolver = SystemResolver()
        stack.callback(resolver.close)
        client_tls = _client_tls(settings.tls_dir)
        gateway = await stack.enter_async_context(GatewayClient(settings.gateway, client_tls))
        tls = server_tls(str(settings.tls_dir))
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tunnels = Tunnels(tls, gateway, Dialler(resolver, Checks()), EgressMetrics(registry))

        async def ready() -> str | None:
            return None

        await serve(stack, health_app(registry, ready), settings.health_port)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(
            tunnels.accept, None, settings.port, backlog=512, reuse_address=True
        )
        stack.callback(listening.close)

        async def keep() -> None:
            await keep_certificate(tls, str(settings.tls_dir))
            client_tls.load_cert_chain(settings.tls_dir / "tls.crt", settings.tls_dir / "tls.key")

        work = {"reporting connections": gateway.deliver, "renewing the certificate": keep}
        async with background(work):
            await stop.wait()
            listening.close()
            await tunnels.close()
        with contextlib.suppress(OSError):
            await gateway.flush()


def _client_tls(folder: Path) -> ssl.SSLContext:
    """How the gateway knows this process: by its certificate; and how it knows the gateway: by the CA."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context
