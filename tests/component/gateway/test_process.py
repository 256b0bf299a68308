"""The gateway's process as it is started in its pod: environment in, TLS out, an orderly end."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from citadel.controller.certificates import Identity, issue, new_authority
from citadel.gateway import process
from component.postgres import PostgresServer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    """Certificates in `tmp_path`; the context trusts their CA alone."""
    now = datetime.now(UTC)
    authority = new_authority("test", now)
    server = issue(authority, Identity(["localhost"], ["127.0.0.1"]), now)
    (tmp_path / "tls.crt").write_bytes(server.certificate)
    (tmp_path / "tls.key").write_bytes(server.key)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    return ssl.create_default_context(cadata=authority.certificate.decode())


async def test_it_serves_tls_says_whether_it_is_ready_and_ends_when_told(
    postgres_url: str,
    postgres_server: PostgresServer,
    tls: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, health, internal = free_port(), free_port(), free_port()
    for name, value in {
        "CITADEL_DATABASE_URL": postgres_url,
        "CITADEL_TLS_DIR": str(tmp_path),
        "CITADEL_PORT": str(port),
        "CITADEL_HEALTH_PORT": str(health),
        "CITADEL_TRIPWIRE_PORT": str(free_port()),
        "CITADEL_INTERNAL_PORT": str(internal),
    }.items():
        monkeypatch.setenv(name, value)
    stop = asyncio.Event()
    running = asyncio.create_task(process.main(stop))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as client:

        async def status(path: str) -> int:
            async with client.get(f"http://127.0.0.1:{health}{path}") as answer:
                return answer.status

        async def register() -> int:
            body = {"protocol": 1, "sandbox": "cx-0", "key": "none", "publicKey": "A" * 43 + "="}
            async with client.post(f"https://127.0.0.1:{port}/v1/register", json=body) as answer:
                return answer.status

        async with asyncio.timeout(10):
            while True:
                assert not running.done(), running.exception()
                try:
                    assert await status("/readyz") == 200
                    assert await register() == 410
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.02)
        postgres_server.stop()
        try:
            assert await status("/readyz") == 503
            assert await status("/healthz") == 200
        finally:
            postgres_server.start()
        assert await status("/readyz") == 200
        stop.set()
        async with asyncio.timeout(15):
            await running
        with pytest.raises(aiohttp.ClientConnectionError):
            await register()
