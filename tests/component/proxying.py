"""The real egress proxy and the real desk that it asks, for tests of processes that have no other way out."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from citadel.controller.certificates import Identity, issue, new_authority
from citadel.core.egress import EgressRules
from citadel.egress.asking import Answer, Record
from citadel.egress.metrics import EgressMetrics
from citadel.egress.requests import Refused, Request
from citadel.egress.tunnels import Tunnels
from citadel.gateway.egress import EgressDesk, callers
from citadel.store.sql.database import Database


class Gateway:
    """The gateway as the proxy asks it: the real desk, without the way there."""

    def __init__(self, desk: EgressDesk) -> None:
        self.desk = desk
        self.records: list[Record] = []

    async def ask(self, request: Request) -> Answer:
        told = await self.desk.verdict(asdict(request))
        return Answer(
            told["allowed"], told["reason"], tuple(told["privateAllowed"]), told["uid"], told["sandbox"]
        )

    def report(self, record: Record) -> None:
        self.records.append(record)


class Dialler:
    """Every name is this machine: what may be dialled is tested elsewhere."""

    async def addresses(self, host: str, port: int, listed: Sequence[str]) -> list[str]:
        return ["127.0.0.1"]

    async def dial(self, addresses: Sequence[str], port: int) -> tuple[Any, str]:
        made = socket.socket()
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, (addresses[0], port))
        except OSError:
            made.close()
            raise Refused(502, "nobody answers") from None
        return made, addresses[0]


@dataclass
class Certificates:
    """Of one authority, for localhost and a host."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    folder: Path

    @classmethod
    def make(cls, folder: Path, host: str) -> "Certificates":
        authority = new_authority("citadel", datetime.now(UTC))
        pair = issue(authority, Identity(["localhost", host], ["127.0.0.1"]), datetime.now(UTC))
        files = {"ca.crt": authority.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        return cls(server, ssl.create_default_context(cafile=str(folder / "ca.crt")), folder)


async def proxied(
    stack: AsyncExitStack,
    tls: ssl.SSLContext,
    database: Database,
    rules: Callable[[str], Awaitable[Sequence[EgressRules]]],
) -> tuple[Gateway, tuple[str, int]]:
    """A proxy that serves until the stack closes: whom it asks, and where it is."""
    desk = EgressDesk(None, database.journal, database.connections, rules, callers(database))  # type: ignore[arg-type]
    gateway = Gateway(desk)
    tunnels = Tunnels(tls, gateway, Dialler(), EgressMetrics(CollectorRegistry()))  # type: ignore[arg-type]
    listening = await asyncio.get_running_loop().create_server(tunnels.accept, "127.0.0.1", 0)
    stack.callback(listening.close)
    stack.push_async_callback(tunnels.close)
    return gateway, ("localhost", listening.sockets[0].getsockname()[1])
