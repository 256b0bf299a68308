"""The process `tools` with all that is around it: a real Postgres, a real egress proxy."""

import base64
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey, SealedBox

import build
from citadel.calls.dialling import Ticket
from citadel.calls.proxy import EgressProxy
from citadel.calls.sealing import Opener
from citadel.core.egress import EgressRules
from citadel.core.hashing import hashed
from citadel.core.jsonvalues import Json
from citadel.core.toolcalls import CREDENTIAL, call_body, check_body, read_body
from citadel.store.calls import PlacedCall
from citadel.store.sql.database import Database, open_database
from citadel.store.tool_checks import CHECK, Check
from citadel.tools.asking import Asker
from component.proxying import Certificates, Gateway, proxied

HOST, KEY = "tools.example.com", "sk-very-secret/0123456789+"


class World:
    """What tests have of it."""

    def __init__(self, database: Database, tls: Certificates) -> None:
        self.database, self.tls, self._key = database, tls, PrivateKey.generate()
        self.allow: tuple[str, ...] | None = None
        self.gateway: Gateway
        self.asker: Asker
        self.sent: list[str] = []

    @classmethod
    async def make(cls, stack: AsyncExitStack, url: str, folder: Path) -> "World":
        database = open_database(url)
        stack.push_async_callback(database.close)
        world = cls(database, Certificates.make(folder, HOST))
        world.gateway, proxy = await proxied(stack, world.tls.server, database, world.rules)
        by = EgressProxy(*proxy, world.tls.client)
        stack.push_async_callback(by.aclose)
        world.asker = Asker(Opener(world._key), by, world.tls.client)
        return world

    async def rules(self, namespace: str) -> list[EgressRules]:
        return [EgressRules("p", self.allow)]

    def sealed(self, host: str, key: str = KEY) -> dict[str, str]:
        """A credential that may be sent there."""
        content = json.dumps({"key": key, "host": host}).encode()
        return {CREDENTIAL: base64.b64encode(SealedBox(self._key.public_key).encrypt(content)).decode()}

    async def call(
        self,
        spec: dict[str, Any],
        arguments: dict[str, Json] | None = None,
        function: str | None = None,
        pinned: Any = None,
        *,
        host: str | None = None,
        hosts: tuple[str, ...] | None = None,
        sending: Any = None,
    ) -> Json:
        """What a tool gives, called as for a step that a row stands for."""
        body = call_body("crm", spec, arguments or {}, function, pinned)
        task = read_body(body)
        uid = f"u{len(self.sent)}"
        self.sent.append(uid)
        flow = build.definition(build.python_step("a"))
        await self.database.journal.advance(uid, [build.created(uid, flow, {}, name=uid)], definition=flow)
        sealed = self.sealed(host or task.destination) if task.credential is not None else None
        placed = PlacedCall(uid, "a", 1, "team", body, hosts or (task.destination,), sealed)
        await self.database.tool_calls.place(placed)
        token = f"tool.{uid}"
        await self.database.tool_calls.take("me", {token: hashed(token)}, 60)

        async def nothing() -> None:
            pass

        seal = (sealed or {}).get(CREDENTIAL)
        way = self.asker.way(Ticket(token, "a", 1))
        return await self.asker.call(task, seal, way, "idem-1", sending or nothing)

    async def check(self, spec: dict[str, Any]) -> dict[str, Any]:
        """What a check finds."""
        task = read_body(check_body("crm", spec))
        sealed = self.sealed(task.destination) if task.credential is not None else None
        name = f"t{len(self.sent)}"
        self.sent.append(name)
        check = Check("team", name, "sha256:0", check_body("crm", spec), (task.destination,), sealed)
        await self.database.tool_checks.place(check)
        token = f"tool.{name}"
        await self.database.tool_checks.take("me", {token: hashed(token)}, 60)
        return await self.asker.check(task, (sealed or {}).get(CREDENTIAL), Ticket(token, *CHECK))


_KEYED = {"credential": {"secretKeyRef": {"name": "s", "key": "k"}}}


def http(port: int, *, with_key: bool = False, **request: Any) -> dict[str, Any]:
    """A Tool of a request by HTTP."""
    made = {"method": "GET", "url": f"https://{HOST}:{port}/v1", **(_KEYED if with_key else {}), **request}
    return {"description": "x", "parameters": {"type": "object"}, "http": made}


def mcp(port: int, *, with_key: bool = False, **spec: Any) -> dict[str, Any]:
    """A Tool of an MCP server."""
    return {"mcp": {"url": f"https://{HOST}:{port}/mcp", **(_KEYED if with_key else {})}, **spec}
