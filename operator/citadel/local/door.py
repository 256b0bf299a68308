"""What an agent on this machine has around it: a model and its tools, on loopback, for one attempt alone.

The agent's loop is hostile input here as well: it says what it asks and what it calls, and nothing about who
it is. Where a sandbox has a network of its own the socket is made in there; else the address holds a secret,
as any user of this machine may come.
"""

import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from citadel.core.jsonvalues import InvalidValue, Json, normalise
from citadel.llm import chat, replies
from citadel.llm.asking import PassOn
from citadel.llm.provider import Delta

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Bytes of a request: a conversation of many turns, each with what a tool gave.
MAX_REQUEST = 32 * 2**20
HOST, PORT = "127.0.0.1", 8790


class Refused(Exception):
    """The request is refused for good; the agent is told why, and fails by `code`."""

    def __init__(self, code: str, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Given:
    """A whole answer of a model, as it is recorded, and what it took."""

    recorded: Mapping[str, Any]
    model: str
    used: tuple[int, int]


class Attendant(Protocol):
    """Who answers one attempt of an agent."""

    async def ask(self, asked: chat.Asked, body: Json, pass_on: PassOn) -> Given:
        """What a model answers; what is not passed on in pieces comes at once. Raises Refused."""
        ...

    async def call(self, name: str, arguments: Json, id_: str) -> dict[str, Json]:
        """The end of a call of a tool; raises Refused."""
        ...

    async def remember(self, summary: str, covers: int) -> None:
        """A summary stands for so many of the messages that the attempt was given; raises Refused."""
        ...


class Door:
    """Listens for one attempt after another. Open it before the agent asks, close it after its end."""

    def __init__(self) -> None:
        self._path = secrets.token_urlsafe(18)
        self._attendant: Attendant | None = None
        self._socket: socket.socket | None = None
        self._server: web.AppRunner | None = None
        self._port = PORT
        self.defect: Exception | None = None
        """What went wrong here, and must not pass for what the agent did."""

    @property
    def url(self) -> str:
        """Where the agent asks."""
        return f"http://{HOST}:{self._port}/{self._path}/v1"

    def listen_here(self) -> None:
        """Listens on this machine's loopback; raises OSError."""
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.bind((HOST, 0))
        made.listen()
        self._port = made.getsockname()[1]
        self._socket = made

    async def open(self, attendant: Attendant, listening: socket.socket | None = None) -> None:
        """Answers from now on, where it listens, or on a socket that was made elsewhere."""
        self._attendant, listening = attendant, listening or self._socket
        assert listening is not None
        app = web.Application(client_max_size=MAX_REQUEST, middlewares=[self._guarded])
        app.router.add_post(f"/{self._path}/v1/chat/completions", self._completions)
        app.router.add_post(f"/{self._path}/v1/tools", self._tools)
        app.router.add_put(f"/{self._path}/v1/memory", self._memory)
        # What is under way at the end nobody waits for.
        self._server = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._server.setup()
        # A server closes what it is given, and another attempt may come.
        await web.SockSite(self._server, listening.dup()).start()

    async def close(self) -> None:
        """Answers nothing any more."""
        if self._server is not None:
            await self._server.cleanup()

    def end(self) -> None:
        """Listens on this machine's loopback no more."""
        if self._socket is not None:
            self._socket.close()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:
            self.defect = self.defect or error
            return _error(Refused("Error", f"a defect of Citadel: {error}", 400))

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        assert self._attendant is not None
        try:
            body = await _body(request)
            asked = chat.read(body)
        except (InvalidValue, chat.InvalidRequest) as error:
            return _error(Refused("InvalidRequest", str(error), 400))
        if asked.stream:
            return await _Stream(request, asked).send(self._attendant, body)
        try:
            given = await self._attendant.ask(asked, body, _nowhere)
        except Refused as refused:
            return _error(refused)
        return web.json_response(replies.completion(given.recorded, asked.digest, given.model, given.used))

    async def _tools(self, request: web.Request) -> web.Response:
        assert self._attendant is not None
        try:
            body = await _body(request)
        except InvalidValue as error:
            return _error(Refused("InvalidRequest", str(error), 400))
        found: Any = body if isinstance(body, dict) else {}
        name, id_ = found.get("name"), found.get("id")
        if not isinstance(name, str) or not isinstance(id_, str):
            return _error(Refused("InvalidRequest", "expected name and id, both texts, and arguments", 400))
        try:
            return web.json_response(await self._attendant.call(name, found.get("arguments"), id_))
        except Refused as refused:
            return _error(refused)

    async def _memory(self, request: web.Request) -> web.Response:
        assert self._attendant is not None
        try:
            found: Any = await _body(request)
            summary, covers = found["summary"], found.get("covers", 0)
            if not isinstance(summary, str) or isinstance(covers, bool) or not isinstance(covers, int):
                raise TypeError
        except (InvalidValue, KeyError, TypeError, AttributeError):
            return _error(Refused("InvalidRequest", "expected summary, a text, and covers, a number", 400))
        try:
            await self._attendant.remember(summary, covers)
        except Refused as refused:
            return _error(refused)
        return web.json_response({})


async def _body(request: web.Request) -> Json:
    return normalise(await request.read(), MAX_REQUEST)


def _error(refused: Refused) -> web.Response:
    return web.json_response(replies.error(refused.code, refused.message), status=refused.status)


async def _nowhere(delta: Delta) -> None:
    """The answer goes out as a whole."""


class _Stream:
    """An answer as it comes. What fails before its first piece has a status of its own."""

    def __init__(self, request: web.Request, asked: chat.Asked) -> None:
        self._request, self._asked = request, asked
        self._response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._begun = False

    async def send(self, attendant: Attendant, body: Json) -> web.StreamResponse:
        """Sends all of it."""
        asked = self._asked
        try:
            given = await attendant.ask(asked, body, self._piece)
        except Refused as refused:
            if not self._begun:
                return _error(refused)
            await self._write(replies.error(refused.code, refused.message))
            return self._response
        for delta in [] if self._begun else replies.pieces(replies.answer_of(given.recorded)):
            await self._piece(delta)
        used = given.used if asked.with_usage else None
        for chunk in replies.last_chunks(given.recorded["finish_reason"], asked.digest, given.model, used):
            await self._write(chunk)
        await self._response.write(b"data: [DONE]\n\n")
        return self._response

    async def _piece(self, delta: Delta) -> None:
        await self._write(replies.chunk(delta, self._asked.digest, ""))

    async def _write(self, chunk: Mapping[str, Any]) -> None:
        if not self._begun:
            self._begun = True
            await self._response.prepare(self._request)
        await self._response.write(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode())
