"""The model gateway's door, with agents before it: sandboxes that have registered, and have an attempt."""

import asyncio
import base64
import io
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from nacl.public import SealedBox
from prometheus_client import CollectorRegistry

import agents
import build
from citadel.api.model import ModelSpec
from citadel.core import events as ev
from citadel.core.hashing import hashed
from citadel.core.spending import Account
from citadel.limiting import CONNECTIONS, LimitedServer
from citadel.llm.asking import Common
from citadel.models.answering import Answering
from citadel.models.door import Door
from citadel.models.grants import OpenGrants
from citadel.models.metrics import DoorMetrics
from citadel.models.sessions import Sessions
from citadel.serving import server_tls
from citadel.store.model_grants import TOKEN, Grant
from citadel.store.policies import RecentPolicies
from component.models.gatewayworld import AWS, KEY, World

STEP = "write"


@dataclass(frozen=True)
class Reply:
    """What the door said."""

    status: int
    body: Any
    headers: Any

    @property
    def text(self) -> str:
        return str(self.body["choices"][0]["message"]["content"])

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body["error"]["code"]


class Agent:
    """A sandbox, as far as its model is concerned."""

    def __init__(self, doors: "Doors", uid: str, sandbox: str, secret: str) -> None:
        self._doors, self.uid, self.sandbox, self.secret = doors, uid, sandbox, secret
        self.attempt, self.door = 1, 0

    def request(self, body: Any, **changed: Any) -> Any:
        """A request that is about to be sent."""
        step, attempt = changed.get("step", STEP), changed.get("attempt", self.attempt)
        path = changed.get("path", f"/v1/attempts/{step}/{attempt}/chat/completions")
        raw = json.dumps(body).encode() if isinstance(body, dict) else body
        raw = io.BytesIO(raw) if isinstance(raw, bytes) else raw
        headers = {"Authorization": f"Bearer {changed.get('secret', self.secret)}"}
        url = f"https://localhost:{self._doors.ports[self.door]}{path}"
        return self._doors.client.request(changed.get("method", "POST"), url, data=raw, headers=headers)

    async def ask(self, text: Any = "hi", *, raw: Any = None, **fields: Any) -> Reply:
        """Asks, and waits for the whole answer."""
        changed = {name: fields.pop(name) for name in list(fields) if name in CHANGED}
        body = raw if raw is not None else {**question(text), **fields}
        async with self.request(body, **changed) as response:
            return Reply(response.status, await response.json(), response.headers)

    async def stream(self, text: Any = "hi", **fields: Any) -> AsyncIterator[Any]:
        """The pieces of an answer, as they come."""
        async with self.request({**question(text), "stream": True, **fields}) as response:
            assert response.status == 200, await response.text()
            async for line in response.content:
                if line.startswith(b"data: "):
                    data = line.removeprefix(b"data: ").strip()
                    yield "done" if data == b"[DONE]" else json.loads(data)


CHANGED = frozenset(("step", "attempt", "secret", "path", "method"))


def question(text: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": text}]}


class Pieces:
    """A provider's answer in pieces: deltas of OpenAI's protocol, and events that are waited for between."""

    def __init__(self, *pieces: Any, reason: str = "stop") -> None:
        self._pieces, self._reason = pieces, reason
        self.cut = asyncio.Event()
        """Set once whoever asks is gone."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in self._pieces:
            if isinstance(piece, asyncio.Event):
                await self._wait(request, piece)
            else:
                delta = {"content": piece} if isinstance(piece, str) else piece
                await self._send(response, choices=[{"index": 0, "delta": delta, "finish_reason": None}])
        await self._send(response, choices=[{"index": 0, "delta": {}, "finish_reason": self._reason}])
        usage = {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}
        await self._send(response, choices=[], usage=usage)
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _wait(self, request: web.Request, event: asyncio.Event) -> None:
        while not event.is_set():
            if request.transport is None or request.transport.is_closing():
                self.cut.set()
                raise ConnectionResetError
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await event.wait()

    async def _send(self, response: web.StreamResponse, **fields: Any) -> None:
        about = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
        await response.write(b"data: " + json.dumps({**about, **fields}).encode() + b"\n\n")


class Doors:
    """Model gateways with doors."""

    def __init__(
        self, world: World, stack: AsyncExitStack, folder: Path, common: Common | None = None
    ) -> None:
        self.world, self._stack, self._folder, self._common = world, stack, folder, common
        self.ports: list[int] = []
        self.sessions: list[Sessions] = []
        self.client: aiohttp.ClientSession

    async def open(self) -> None:
        """One more of them."""
        database = self.world.database
        sessions = Sessions(database.journal, database.sandboxes)
        grants = OpenGrants(database.model_grants, self.world.ways.of_grant)
        self._stack.push_async_callback(grants.close)
        policies = RecentPolicies(database.policies)
        answering = Answering(
            database.journal,
            grants,
            database.model_records,
            database.ledger,
            policies,
            self.world.told.append,
            self._common,
        )
        door = Door(sessions, answering, DoorMetrics(CollectorRegistry()))
        server = LimitedServer(door.handle, access_log=None, handler_cancellation=True)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(server, "127.0.0.1", 0, ssl=server_tls(str(self._folder)))
        self._stack.push_async_callback(server.shutdown, 0.1)
        self._stack.callback(listening.close)

        async def follow() -> None:
            async for notice in database.journal.listen():
                sessions.take(notice)
                grants.take(notice)

        following = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._stack.callback(following.create_task(follow()).cancel)
        self.ports.append(listening.sockets[0].getsockname()[1])
        self.sessions.append(sessions)

    async def told(self, uid: str) -> None:
        """Returns when the doors have heard of what happened to an execution."""
        async with asyncio.timeout(30):
            while any(sessions._states.get(uid) for sessions in self.sessions):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def failure(self, uid: str) -> tuple[str, bool]:
        """Why the agent's step failed, once it did, and whether it is not tried again."""
        state = await self.world.until(uid, lambda state: state.steps[STEP].failure is not None)
        failure = state.steps[STEP].failure
        assert failure is not None
        return failure.reason, failure.final

    async def agent(self, uid: str = "u1", *, granted: bool = True, spec: Any = None, **grant: Any) -> Agent:
        """An execution whose step has its attempt in a sandbox."""
        flow = agents.definition(agents.run_agent(**(spec or {})), agents={"writer": agents.agent()})
        database = self.world.database
        advance = await database.journal.advance(
            uid, [build.created(uid, flow, {}, name=uid)], definition=flow
        )
        (sandbox,) = advance.state.sandboxes
        secret = f"{sandbox}.{secrets.token_urlsafe(8)}"
        await database.sandboxes.observe(sandbox, pod_uid=f"pod-{uid}", key_hash="k")
        assert await database.sandboxes.register(sandbox, f"pod-{uid}", hashed(secret), "key")
        taken = await database.journal.advance(uid, [ev.SandboxRegistered(sandbox)], claim=sandbox)
        assert taken.step == STEP
        agent = Agent(self, uid, sandbox, secret)
        if granted:
            await self.grant(agent, **grant)
        return agent

    async def grant(
        self,
        agent: Agent,
        *specs: Any,
        models: Sequence[Any] = (),
        accounts: Sequence[Account] = (),
        limits: Any = None,
        **of_agent: Any,
    ) -> None:
        """What the controller would place for the agent's attempt."""
        found = [ModelSpec.model_validate(each) for each in models or (self.world.spec(),)]
        token = f"model.{secrets.token_urlsafe(8)}"
        box = SealedBox(self.world.key.public_key)
        sealed = {TOKEN: base64.b64encode(box.encrypt(token.encode())).decode()}
        told = []
        for number, model in enumerate(found):
            name = f"m{number or ''}"
            told.append(
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
                content = json.dumps({"key": key, "host": model.destination}).encode()
                sealed[f"team/{name}"] = base64.b64encode(box.encrypt(content)).decode()
        paying = accounts or (Account(f"execution:{agent.uid}", "the budget", agent.uid),)
        body = {
            "models": told,
            "accounts": [asdict(account) for account in paying],
            "agent": {"name": "writer", "limits": limits or {"turns": 25}, **of_agent},
        }
        hosts = tuple(sorted({str(model.destination) for model in found if model.destination}))
        await self.world.database.model_grants.place(
            Grant(agent.uid, STEP, agent.attempt, "team", body, hosts, sealed, hashed(token))
        )


@pytest.fixture
async def doors(world: World, tmp_path: Path) -> AsyncIterator[Doors]:
    tls = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    async with AsyncExitStack() as stack:
        found = Doors(world, stack, tmp_path)
        found.client = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=CONNECTIONS))
        )
        await found.open()
        yield found
