"""What tools call: a server that answers as it is told, and a real MCP server of either era."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from aiohttp import web
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

Reply = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    """As it came, with its query."""
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Answers `reply`, or waits for ever."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody hung up before there was an answer."""
    reply: Reply | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.raw_path, dict(request.headers), body))
        self.came.set()
        try:
            if self.reply is None:
                await asyncio.Event().wait()
            assert self.reply is not None
            return await self.reply(request, body)
        except asyncio.CancelledError:
            self.gone.set()
            raise

    def says(self, value: Any = None, status: int = 200, **headers: str) -> None:
        """Answers JSON from now on, or bytes as they are."""

        async def reply(request: web.Request, body: bytes) -> web.Response:
            kind = {"Content-Type": "application/json"}
            told = value if isinstance(value, bytes) else json.dumps(value).encode()
            named = {name.replace("_", "-"): text for name, text in headers.items()}
            return web.Response(status=status, body=told, headers={**kind, **named})

        self.reply = reply

    async def was_asked(self, times: int = 1) -> None:
        """Returns when it was asked so often."""
        async with asyncio.timeout(60):
            while len(self.asked) < times:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def serving(tls: ssl.SSLContext) -> AsyncIterator[Server]:
    """A server while the context lasts."""
    server = Server()
    app = web.Application(client_max_size=2**23)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


class Crm:
    """A real MCP server, whose functions a test may change."""

    def __init__(self) -> None:
        self.port = 0
        self.headers: list[dict[str, str]] = []
        self.messages: list[dict[str, Any]] = []
        self.called: list[tuple[str, Any]] = []
        self.began, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.mcp = MCPServer("crm", log_level="CRITICAL")
        self.mcp.add_tool(self.find, description="Finds a lead.")
        self.mcp.add_tool(self.text, description="Says something.")
        self.mcp.add_tool(self.slow, description="Takes long.")
        self.mcp.add_tool(self.fail, description="Fails.")

    def find(self, name: str, limit: int = 3, tags: list[str] | None = None) -> dict[str, Any]:
        self.called.append(("find", name))
        return {"found": [name] * limit, "tags": tags}

    async def text(self, what: str, context: Context) -> str:
        await context.report_progress(1, 2)
        self.called.append(("text", what))
        return what

    async def slow(self) -> str:
        self.began.set()
        try:
            await self.go.wait()
        except BaseException:
            self.cancelled.set()
            raise
        return "late"

    def fail(self) -> str:
        raise ToolError("no such lead")

    def app(self, *, older: bool) -> ASGIApp:
        """The server; one of the older era knows nothing of the newer."""
        # Which Host it is asked by is what certificates say here.
        open_to_all = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        inner = self.mcp.streamable_http_app(transport_security=open_to_all)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await inner(scope, receive, send)
                return
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.headers.append({":method": scope["method"], **headers})
            if older and headers.get("mcp-protocol-version", "") > "2026":
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send(
                    {"type": "http.response.body", "body": b"Bad Request: unsupported protocol version"}
                )
                return

            async def heard() -> Any:
                message = await receive()
                if message["type"] == "http.request" and message.get("body"):
                    self.messages.append(json.loads(message["body"]))
                return message

            await inner(scope, heard, send)

        return app


async def until(holds: Callable[[], bool]) -> None:
    """Returns when something holds."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@asynccontextmanager
async def crm(folder: Any, *, older: bool) -> AsyncIterator[Crm]:
    """A real MCP server while the context lasts."""
    found = Crm()
    config = uvicorn.Config(
        found.app(older=older),
        port=0,
        log_config=None,
        ssl_certfile=str(folder / "tls.crt"),
        ssl_keyfile=str(folder / "tls.key"),
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    found.port = server.servers[0].sockets[0].getsockname()[1]
    yield found
    found.go.set()
    server.should_exit = True
    await running
