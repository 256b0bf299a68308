"""Gateways on loopback over a real Postgres, and the executions they serve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from build import created
from citadel.core import events as ev
from citadel.core.hashing import hashed
from citadel.core.state import State
from citadel.gateway.metrics import GatewayMetrics
from citadel.gateway.routes import Routes
from citadel.gateway.service import Gateway
from citadel.limiting import LimitedServer
from citadel.store.blobs import BlobLimits
from citadel.store.sql.database import Database, open_database
from citadel.store.waking import Waker
from component.gateway.database import postgres_url, shared_database
from component.gateway.runner import Runner

__all__ = ["postgres_url", "shared_database"]  # fixtures for all tests here


@dataclass
class Process:
    """One gateway process: what it has of the database, and where it listens."""

    database: Database
    url: str
    gateway: Gateway


@dataclass
class Site:
    """A database, and what tests start on it."""

    postgres_url: str
    stack: AsyncExitStack
    database: Database
    gateways: list[Process] = field(default_factory=list)
    blob_limits: BlobLimits = field(default_factory=BlobLimits)

    async def gateway(self) -> Process:
        """Starts a gateway; returns when it hears the database's notices."""
        database = open_database(self.postgres_url, pool_size=4)
        self.stack.push_async_callback(database.close)
        waker = Waker()
        metrics = GatewayMetrics(CollectorRegistry())
        blobs = database.blobs(self.blob_limits)
        gateway = Gateway(
            database.journal,
            database.sandboxes,
            database.policies,
            blobs,
            waker,
            database.conversations,
            metrics.ended,
        )
        server = LimitedServer(Routes(gateway, metrics).handle, access_log=None)
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        self.stack.push_async_callback(server.shutdown, 0.1)
        self.stack.callback(listening.close)
        following = asyncio.create_task(waker.follow(database.journal.listen()))
        self.stack.push_async_callback(asyncio.gather, following, return_exceptions=True)
        self.stack.callback(following.cancel)
        await self._hears(waker)
        port = listening.sockets[0].getsockname()[1]
        self.gateways.append(Process(database, f"http://127.0.0.1:{port}", gateway))
        return self.gateways[-1]

    async def _hears(self, waker: Waker) -> None:
        async with await psycopg.AsyncConnection.connect(self.postgres_url, autocommit=True) as connection:
            while True:
                expected = waker.expect("control ping")
                await connection.execute("NOTIFY \"citadel-control\", 'control ping'")
                if await expected.met(0.05):
                    return

    async def start(self, definition: dict[str, Any], uid: str = "uid-1", **inputs: Any) -> list[str]:
        """Takes an execution in, and creates the pods of its sandboxes; returns their names."""
        fact = created(uid, definition, inputs)
        await self.database.journal.advance(uid, [fact], definition=definition)
        return await self.create_pods(uid)

    async def create_pods(self, uid: str = "uid-1") -> list[str]:
        """Records a pod for each sandbox that is wanted, as the controller would; returns all names."""
        rows = [row for row in await self.database.sandboxes.open() if row.uid == uid]
        for row in rows:
            if row.pod_uid is None:
                key_hash = hashed(f"key of {row.name}")
                await self.database.sandboxes.observe(row.name, pod_uid=f"pod-{row.name}", key_hash=key_hash)
        return [row.name for row in rows]

    async def runner(self, sandbox: str, **changes: Any) -> Runner:
        """The runner in a sandbox's pod, at the first gateway unless `url` says otherwise."""
        key = f"key of {sandbox}"
        fields = {"url": self.gateways[0].url, "sandbox": sandbox, "key": key} | changes
        return await self.stack.enter_async_context(Runner(**fields))

    async def registered(self, definition: dict[str, Any], uid: str = "uid-1", **inputs: Any) -> Runner:
        """The runner of a new execution's first sandbox, registered and with its first attempt."""
        (sandbox, *_) = await self.start(definition, uid, **inputs)
        runner = await self.runner(sandbox)
        assert (await runner.register()).status == 200
        return runner

    async def post(self, *facts: ev.Event, uid: str = "uid-1") -> State:
        """Facts from elsewhere."""
        return (await self.database.journal.advance(uid, facts)).state

    async def state(self, uid: str = "uid-1") -> State:
        return await self.database.journal.read(uid)


@pytest.fixture
async def site(postgres_url: str) -> AsyncIterator[Site]:
    """A database, and one gateway."""
    async with AsyncExitStack() as stack:
        database = open_database(postgres_url, pool_size=4)
        stack.push_async_callback(database.close)
        found = Site(postgres_url, stack, database)
        await found.gateway()
        yield found
