"""The model gateway with all that is around it: a real Postgres, a real egress proxy, servers that speak as
providers do."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey, SealedBox

import build
from citadel.api.model import ModelSpec
from citadel.calls.proxy import EgressProxy
from citadel.calls.sealing import Opener
from citadel.core.egress import EgressRules
from citadel.core.spending import Account, account_of
from citadel.core.state import State
from citadel.llm import bedrock, langchain  # noqa: F401 - seconds of work, which no test is to wait for
from citadel.llm.asked import Told
from citadel.llm.asking import Common
from citadel.models.ways import Ways
from citadel.models.working import ModelWorker
from citadel.store.calls import PlacedCall
from citadel.store.sql.database import Database, open_database
from component.proxying import Certificates, Gateway, proxied
from providers import Providers

HOST, KEY = "models.example.com", "sk-very-secret-0123456789"
AWS = {"accessKeyId": "AKIA0123456789", "secretAccessKey": KEY, "region": "eu-west-3"}


class World:
    """What tests have of it."""

    def __init__(self, database: Database, providers: Providers, ways: Ways, key: PrivateKey) -> None:
        self.database, self.providers, self.ways, self.key = database, providers, ways, key
        self.allow: tuple[str, ...] | None = (f"{HOST}:{providers.port}",)
        self.told: list[Told] = []
        self.workers: list[tuple[ModelWorker, list[asyncio.Task[Any]]]] = []
        self.gateway: Gateway

    async def rules(self, namespace: str) -> list[EgressRules]:
        return [EgressRules("p", self.allow)]

    def spec(self, **fields: Any) -> dict[str, Any]:
        """A Model at the providers' address."""
        url = f"https://{HOST}:{self.providers.port}"
        given = {
            "provider": "openai",
            "model": "m-1",
            "endpoint": url if fields.get("provider") in ("anthropic", "bedrock") else f"{url}/v1",
            "prices": {"input": "1", "output": "10", "cachedInput": "0.5"},
            "credential": {"secretKeyRef": {"name": "s", "key": "k"}},
            **fields,
        }
        return {name: value for name, value in given.items() if value is not None}

    async def begin(self, uid: str, budget: Any = None, **step: Any) -> State:
        """An execution whose step `ask` asks the Model `m`."""
        llm = {"model": "m", "prompt": "What is it?", "maxTokens": 100, **step.pop("llm", {})}
        spec = {} if budget is None else {"budget": budget}
        flow = build.definition({"name": "ask", "llm": llm, **step}, **spec)
        advance = await self.database.journal.advance(
            uid, [build.created(uid, flow, {}, name=uid)], definition=flow
        )
        return advance.state

    async def place(
        self, state: State, *specs: dict[str, Any], accounts: Sequence[Account] = (), host: str | None = None
    ) -> PlacedCall:
        """The call that the execution wants, as the controller would place it."""
        assert state.created is not None
        assert state.plan is not None
        uid = state.created.uid
        found = [ModelSpec.model_validate(spec) for spec in specs or (self.spec(),)]
        models, sealed = [], {}
        for number, model in enumerate(found):
            name = f"m{number or ''}"
            models.append(
                {
                    "name": name,
                    "key": f"team/{name}",
                    "spec": model.model_dump(mode="json", by_alias=True, exclude_none=True),
                    "uid": f"uid-of-{name}",
                    "version": "7",
                }
            )
            if model.credential is not None:
                key = json.dumps(AWS) if model.provider == "bedrock" else KEY
                content = json.dumps({"key": key, "host": host or model.destination}).encode()
                box = SealedBox(self.key.public_key)
                sealed[f"team/{name}"] = base64.b64encode(box.encrypt(content)).decode()
        paying = [account_of(state.plan.workflow.spec.budget, uid, "the budget"), *accounts]
        body = {"models": models, "accounts": [asdict(account) for account in paying]}
        hosts = {model.destination for model in found} - {None}
        attempt = state.steps["ask"].attempt
        call = PlacedCall(uid, "ask", attempt, "team", body, tuple(sorted(map(str, hosts))), sealed or None)
        await self.database.model_calls.place(call)
        return call

    def work(self, common: Common | None = None) -> ModelWorker:
        """A model gateway."""
        worker = ModelWorker(
            self.database.journal,
            self.database.model_calls,
            self.database.ledger,
            self.ways,
            self.told.append,
            common,
        )

        async def follow() -> None:
            async for notice in self.database.journal.listen():
                worker.take(notice)

        async def forever() -> None:
            while True:
                await worker.work()

        self.workers.append((worker, [asyncio.create_task(follow()), asyncio.create_task(forever())]))
        return worker

    async def kill(self) -> None:
        """Every gateway is gone at once: nothing that it had begun is put in order."""
        for worker, tasks in self.workers:
            for task in (*tasks, *worker._tasks):
                task.cancel()
            await asyncio.gather(*tasks, *worker._tasks, return_exceptions=True)
        self.workers.clear()

    async def ended(self, uid: str) -> State:
        """The execution, when it has ended."""
        return await self.until(uid, lambda state: state.finished is not None)

    async def until(self, uid: str, holds: Callable[[State], bool]) -> State:
        async with asyncio.timeout(90):
            while True:
                state = await self.database.journal.read(uid)
                if holds(state):
                    return state
                await asyncio.sleep(0.02)

    async def no_calls(self) -> None:
        """Returns when no call is left to be made."""
        async with asyncio.timeout(60):
            while True:
                if await self.sql("SELECT count(*) FROM model_calls") == [(0,)]:
                    return
                await asyncio.sleep(0.02)

    async def rows(self, query: str, expected: list[Any]) -> None:
        """Returns when a query gives this."""
        async with asyncio.timeout(30):
            while True:
                if [tuple(row) for row in await self.sql(query)] == expected:
                    return
                await asyncio.sleep(0.02)

    async def sql(self, query: str) -> list[Any]:
        from sqlalchemy import text

        async with self.database._connections.engine.begin() as connection:
            found = await connection.execute(text(query))
            return list(found.all()) if found.returns_rows else []


@asynccontextmanager
async def a_world(url: str, tls: Certificates, providers: Providers) -> AsyncIterator[World]:
    """A model gateway on a database, with an egress proxy on its way to providers."""
    async with AsyncExitStack() as stack:
        database = open_database(url)
        stack.push_async_callback(database.close)
        key = PrivateKey.generate()
        gateway, proxy = await proxied(stack, tls.server, database, lambda name: world.rules(name))
        by = EgressProxy(*proxy, tls.client)
        stack.push_async_callback(by.aclose)
        world = World(database, providers, Ways(Opener(key), by, tls.client), key)
        world.gateway = gateway
        stack.push_async_callback(world.kill)
        yield world


@pytest.fixture
async def world(postgres_url: str, tmp_path: Path) -> AsyncIterator[World]:
    tls = Certificates.make(tmp_path, HOST)
    async with Providers().serving(tls.server) as providers, a_world(postgres_url, tls, providers) as found:
        yield found
