"""The protocol's HTTP side: paths, bodies, errors and limits. What is answered stands in `service`."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from citadel.gateway.answers import answered, json_answer, json_object
from citadel.gateway.limits import BODY_LIMIT
from citadel.gateway.metrics import GatewayMetrics
from citadel.gateway.refusals import Refused
from citadel.gateway.service import Gateway
from citadel.gateway.sessions import Session
from citadel.limiting import Strangers, read_body
from citadel.store.blobs import BlobLost
from citadel.store.journal import JournalUnavailable

log = logging.getLogger(__name__)

BODY_SECONDS = 30.0
_REQUESTS = frozenset(("register", "poll", "heartbeat", "isolation", "result", "logs", "tools", "memory"))
#: Ids of step instances: fix[2].write
_STEP = r"[A-Za-z][A-Za-z0-9_.\[\]]{0,639}"
_ATTEMPT = re.compile(
    rf"/v1/attempts/(?P<step>{_STEP})/(?P<attempt>[0-9]{{1,6}})/(?P<what>result|logs|tools|memory)"
)
_ARTIFACT = re.compile(
    rf"/v1/attempts/(?P<step>{_STEP})/(?P<attempt>[0-9]{{1,6}})/artifacts/(?P<name>[A-Za-z_][A-Za-z0-9_]{{0,62}})"
)
_BLOB = re.compile(r"/v1/blobs/(?P<digest>sha256:[0-9a-f]{64})")

Answer = Callable[[web.BaseRequest, Session, bytes], Awaitable[dict[str, Any]]]


class Routes:
    """HTTP handlers around one Gateway; `handle` is the handler of a low-level server."""

    def __init__(self, gateway: Gateway, metrics: GatewayMetrics) -> None:
        self._gateway, self._metrics = gateway, metrics
        self._strangers = Strangers()
        self._paths: dict[str, Answer] = {
            "/v1/poll": self._poll,
            "/v1/heartbeat": self._heartbeat,
            "/v1/isolation": self._isolation,
            "result": self._result,
            "logs": self._logs,
            "tools": self._tools,
            "memory": self._remember,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request, and counts it."""
        began = time.monotonic()
        response = await answered(self._respond(request))
        name = request.path.rpartition("/")[2]
        known = name if name in _REQUESTS else "other"
        if _BLOB.fullmatch(request.path) or _ARTIFACT.fullmatch(request.path):
            known = "blob"
        self._metrics.answered(known, response.status, time.monotonic() - began)
        return response

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        if match := _BLOB.fullmatch(request.path):
            return await self._get_blob(request, match["digest"])
        return json_answer(await self._answer(request))

    async def _answer(self, request: web.BaseRequest) -> dict[str, Any]:
        artifact, match = _ARTIFACT.fullmatch(request.path), _ATTEMPT.fullmatch(request.path)
        path = match["what"] if match else request.path
        if request.method == "HEAD" and match is not None:
            # A runner opens its connection ahead.
            async with self._admitted(request, 0):
                return {}
        expected = "PUT" if artifact or path == "memory" else "POST"
        if request.method != expected:
            raise Refused(405, "Method", f"found {request.method}, expected {expected}")
        if request.path == "/v1/register":
            return await self._register(request)
        if artifact:
            return await self._put_artifact(request, artifact)
        answer = self._paths.get(path)
        if answer is None:
            raise Refused(404, "Path", "this path is not part of the protocol")
        size = request.content_length or BODY_LIMIT // 8
        async with self._admitted(request, size, call=path == "tools") as session:
            return await answer(request, session, await read_body(request, BODY_LIMIT, BODY_SECONDS))

    @asynccontextmanager
    async def _admitted(
        self, request: web.BaseRequest, size: int, *, call: bool = False
    ) -> AsyncIterator[Session]:
        """The session that asks, within its allowance; raises Refused."""
        authorization = request.headers.get("Authorization", "")
        if not self._gateway.registry.remembers(authorization):
            self._strangers.admit(request.remote or "")
        session = await self._gateway.registry.session(authorization)
        allowance = session.allowance
        if not allowance.admits(size, call=call):
            raise Refused(429, "TooManyRequests", "this sandbox asks too much at once")
        with allowance.counting(call=call):
            yield session

    async def _put_artifact(self, request: web.BaseRequest, match: re.Match[str]) -> dict[str, Any]:
        step, attempt, name = match["step"], int(match["attempt"]), match["name"]
        async with self._admitted(request, 0) as session:
            pieces = _pieces(request, session)
            return await self._gateway.keep(session, step, attempt, name, pieces)

    async def _get_blob(self, request: web.BaseRequest, digest: str) -> web.StreamResponse:
        if request.method != "GET":
            raise Refused(405, "Method", f"found {request.method}, expected GET")
        offset = request.query.get("offset", "0")
        if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
            raise Refused(400, "BadRequest", f"offset: found {offset!r:.20}, expected a number")
        async with self._admitted(request, 0) as session:
            content, pieces = await self._gateway.blob(session, digest, int(offset))
            response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
            response.content_length = max(0, content.size - int(offset))
            await response.prepare(request)
            try:
                async for piece in pieces:
                    await session.allowance.pace(len(piece))
                    await response.write(piece)
            except (JournalUnavailable, BlobLost, ConnectionError) as error:
                # Too late for another status: a body that is cut short says it, and the runner asks again.
                log.warning("blob %s breaks off: %s", digest, error)
                if request.transport is not None:
                    request.transport.abort()
            return response

    async def _register(self, request: web.BaseRequest) -> dict[str, Any]:
        self._strangers.admit(request.remote or "")
        return await self._gateway.register(json_object(await read_body(request, BODY_LIMIT, BODY_SECONDS)))

    async def _poll(self, _: web.BaseRequest, session: Session, __: bytes) -> dict[str, Any]:
        return await self._gateway.work.poll(session)

    async def _heartbeat(self, _: web.BaseRequest, session: Session, body: bytes) -> dict[str, Any]:
        return await self._gateway.heartbeats.answer(session, json_object(body))

    async def _isolation(self, _: web.BaseRequest, session: Session, body: bytes) -> dict[str, Any]:
        return await self._gateway.isolation(session, json_object(body))

    async def _result(self, request: web.BaseRequest, session: Session, body: bytes) -> dict[str, Any]:
        step, attempt = _attempt(request)
        outcome = request.query.get("outcome", "")
        claim = request.query.get("next") != "false"
        artifacts = request.query.get("artifacts") == "true"
        return await self._gateway.work.result(
            session, step, attempt, outcome, body, claim=claim, artifacts=artifacts
        )

    async def _tools(self, request: web.BaseRequest, session: Session, body: bytes) -> dict[str, Any]:
        return await self._gateway.tools.answer(session, *_attempt(request), body)

    async def _remember(self, request: web.BaseRequest, session: Session, body: bytes) -> dict[str, Any]:
        return await self._gateway.memory.summarise(session, *_attempt(request), json_object(body))

    async def _logs(self, request: web.BaseRequest, session: Session, body: bytes) -> dict[str, Any]:
        return await self._gateway.logs(session, *_attempt(request), body)


def _attempt(request: web.BaseRequest) -> tuple[str, int]:
    match = _ATTEMPT.fullmatch(request.path)
    assert match is not None
    return match["step"], int(match["attempt"])


async def _pieces(request: web.BaseRequest, session: Session) -> AsyncIterator[bytes]:
    """The bytes of a blob as they come, at the pace of this sandbox; raises Refused when none come."""
    stream = request.content.iter_any().__aiter__()
    try:
        while True:
            async with asyncio.timeout(BODY_SECONDS):
                piece = await anext(stream, None)
            if piece is None:
                return
            await session.allowance.pace(len(piece))
            yield piece
    except TimeoutError:
        raise Refused(408, "TooSlow", f"no byte came for {BODY_SECONDS:.0f} s") from None
    except (ConnectionError, web.RequestPayloadError):
        raise Refused(400, "BadRequest", "the body ended too early") from None
