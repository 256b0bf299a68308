"""The server: what it was asked, and what it says next."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from aiohttp import web

from . import speaking_anthropic, speaking_bedrock, speaking_openai
from .replies import Reply, reply_of

Brain = Callable[[str, dict[str, Any]], Awaitable[Reply]]
_STREAMS = {"bedrock": "application/vnd.amazon.eventstream"}


@dataclass
class Providers:
    """Servers of all protocols at one address: what they were asked, and what they say next."""

    port: int = 0
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    replies: list[Any] = field(default_factory=list)
    """Texts, replies, (status, headers, body), events that are waited for, or what answers a request itself;
    the last one stays."""
    transports: set[asyncio.Transport | None] = field(default_factory=set)
    """Of those who asked."""
    brain: Brain | None = None
    """Answers instead of the replies, told the protocol and the request."""

    @asynccontextmanager
    async def serving(
        self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> AsyncIterator["Providers"]:
        """Answers at `port`, any that is free if it is 0."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post(speaking_openai.PATH, self.handle)
        app.router.add_post(speaking_anthropic.PATH, self.handle)
        app.router.add_post("/model/{model}/{how}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, self.port, ssl_context=tls)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]
            yield self
        finally:
            await runner.cleanup()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call."""
        body = await request.json()
        self.asked.append((request.path, body, dict(request.headers)))
        self.transports.add(request.transport)
        self.came.set()
        if self.replies and callable(self.replies[0]):
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            return await reply(request)
        protocol, speaking = _spoken(request.path)
        reply = await self._next(protocol, body)
        await asyncio.sleep(reply.pause)
        headers = dict(reply.headers)
        if reply.body is not None:
            headers.setdefault("Content-Type", "application/json")
            raw = reply.body.encode() if isinstance(reply.body, str) else reply.body
            return web.Response(status=reply.status, headers=headers, body=raw)
        if not (body.get("stream") or request.path.endswith("/converse-stream")):
            return web.json_response(speaking.whole(body, reply), headers=headers)
        events = speaking.events(body, reply)
        return await _streamed(request, reply, events, _STREAMS.get(protocol, "text/event-stream"))

    async def _next(self, protocol: str, body: dict[str, Any]) -> Reply:
        if self.brain is not None:
            return await self.brain(protocol, body)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, asyncio.Event):
            await reply.wait()
            reply = "late"
        return reply_of(reply)

    async def were_asked(self, times: int = 1) -> None:
        """Returns when they were asked so often."""
        async with asyncio.timeout(60):
            while len(self.asked) < times:
                self.came.clear()
                await self.came.wait()


def _spoken(path: str) -> tuple[str, ModuleType]:
    if path == speaking_openai.PATH:
        return "openai", speaking_openai
    if path == speaking_anthropic.PATH:
        return "anthropic", speaking_anthropic
    return "bedrock", speaking_bedrock


async def _streamed(
    request: web.Request, reply: Reply, events: Iterator[bytes], kind: str
) -> web.StreamResponse:
    response = web.StreamResponse(headers={**dict(reply.headers), "Content-Type": kind})
    await response.prepare(request)
    whole = list(events)
    last = 2 if reply.cut else 1
    for event in whole[:-last]:
        await response.write(event)
    if reply.gate is not None:
        await reply.gate.wait()
    if reply.cut:
        assert request.transport is not None
        request.transport.abort()
        return response
    await response.write(whole[-1])
    await response.write_eof()
    return response


def error_body(protocol: str, status: int, message: str) -> str:
    """How a protocol says that something failed."""
    if protocol == "anthropic":
        return json.dumps({"type": "error", "error": {"type": "api_error", "message": message}})
    if protocol == "bedrock":
        return json.dumps({"message": message})
    return json.dumps({"error": {"message": message, "type": "server_error", "code": status}})
