"""The door: where agents ask their models from within sandboxes, by OpenAI's protocol of chat completions.

Who asks is said by the session of the sandbox alone. Of what comes nothing is believed to be well-formed, and
nothing of it is logged.
"""

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from citadel.api.reasons import Reason
from citadel.core.jsonvalues import InvalidValue, Json, normalise
from citadel.limiting import Refused, read_body
from citadel.llm import chat, replies
from citadel.llm.asked import Failed
from citadel.llm.provider import Delta
from citadel.models.answering import Answering, Question
from citadel.models.metrics import DoorMetrics
from citadel.models.sessions import MOST_UNDER_WAY, Attempt, Session, Sessions
from citadel.store.journal import JournalUnavailable

log = logging.getLogger(__name__)

BODY_LIMIT = 4 * 2**20
BODY_SECONDS, WRITE_SECONDS = 30.0, 30.0
#: Calls that one process answers at a time.
MOST = 500
_PATH = re.compile(
    r"/v1/attempts/(?P<step>[A-Za-z][A-Za-z0-9_.\[\]]{0,639})/(?P<attempt>[0-9]{1,6})/chat/completions"
)
_STATUS = {
    Reason.BUDGET_EXCEEDED: 402,
    Reason.TURN_LIMIT_EXCEEDED: 403,
    Reason.HOST_NOT_ALLOWED: 403,
    Reason.RATE_LIMITED: 429,
    Reason.MODEL_UNAVAILABLE: 503,
}
#: What clients are told of errors after which trying again is in vain, or was tried here.
_NOT_AGAIN = {"x-should-retry": "false"}


class Gone(Exception):
    """Who asked does not take the answer."""


class Door:
    """`handle` is the handler of a low-level server, which cancels it when its client is gone."""

    def __init__(self, sessions: Sessions, answering: Answering, metrics: DoorMetrics) -> None:
        self._sessions, self._answering, self._metrics = sessions, answering, metrics
        self._under_way = 0

    @property
    def under_way(self) -> int:
        """How many calls are being answered."""
        return self._under_way

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request, and counts it."""
        began, reply = time.monotonic(), _Reply(request)
        outcome = "Gone"
        try:
            outcome = await self._respond(request, reply)
        except Refused as error:
            outcome = error.reason
            await reply.fail(error.status, error.reason, error.message, again=error.status in (429, 503))
        except Failed as error:
            outcome = error.reason
            await reply.fail(
                _STATUS.get(error.reason, 502), error.reason, error.message, after=error.retry_after
            )
        except JournalUnavailable as error:
            outcome = "JournalUnavailable"
            log.warning("the journal is unavailable: %s", error)
            await reply.fail(503, outcome, "the journal is away; try again", again=True)
        except (Gone, ConnectionError):
            reply.cut()
        finally:
            self._metrics.answered(outcome, time.monotonic() - began)
        return reply.response

    async def _respond(self, request: web.BaseRequest, reply: "_Reply") -> str:
        """What became of a request."""
        match = _PATH.fullmatch(request.path)
        if match is None:
            raise Refused(404, "Path", "this path is not part of the protocol")
        if request.method not in ("POST", "HEAD"):
            raise Refused(405, "Method", f"found {request.method}, expected POST")
        authorization = request.headers.get("Authorization", "")
        session = await self._sessions.session(authorization, request.remote or "")
        async with self._admitted(session):
            attempt = await self._sessions.attempt(session, match["step"], int(match["attempt"]))
            if request.method == "HEAD":
                # The agent starts: its first question is to find all of this open.
                await self._answering.make_ready(attempt)
                return "ready"
            question = await _question(request, attempt)
            asked = question.asked
            reply.begin(attempt, asked)
            found = await self._answering.answer(question, reply.pass_on if asked.stream else None)
            used = (found.input_tokens, found.output_tokens)
            await reply.end(found.answer, found.model.rpartition("/")[2], used)
            return "recorded" if found.n else "answered"

    @asynccontextmanager
    async def _admitted(self, session: Session) -> AsyncIterator[None]:
        """A call within what a sandbox, and all of them together, may have; raises Refused."""
        if session.under_way >= MOST_UNDER_WAY or not session.requests.take(1):
            raise Refused(429, "TooManyRequests", "this sandbox asks too much at once")
        if self._under_way >= MOST:
            raise Refused(503, "Busy", "too many calls are under way; try again")
        session.under_way += 1
        self._under_way += 1
        try:
            yield
        finally:
            session.under_way -= 1
            self._under_way -= 1


async def _question(request: web.BaseRequest, attempt: Attempt) -> Question:
    """What is asked; raises Refused."""
    raw = await read_body(request, BODY_LIMIT, BODY_SECONDS)
    try:
        body: Json = normalise(raw, BODY_LIMIT)
        return Question(attempt, chat.read(body), body)
    except (InvalidValue, chat.InvalidRequest) as error:
        raise Refused(400, "BadRequest", f"the request: {error}") from None


class _Reply:
    """What goes back: one JSON object, or pieces as they come. Its head is sent with the first piece."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.response: web.StreamResponse = web.Response()
        self._name, self._stream, self._with_usage = "", False, False

    def begin(self, attempt: Attempt, asked: chat.Asked) -> None:
        """What is answered, and how."""
        self._name = f"chatcmpl-{asked.digest.removeprefix('sha256:')[:24]}"
        self._stream, self._with_usage = asked.stream, asked.with_usage

    async def pass_on(self, delta: Delta) -> None:
        """A piece of the answer."""
        await self._send(replies.chunk(delta, self._name, ""))

    async def end(self, recorded: dict[str, Any], model: str, used: tuple[int, int]) -> None:
        """The answer, or what is left of it."""
        if not self._stream:
            self.response = _json(replies.completion(recorded, self._name, model, used))
            return
        told = used if self._with_usage else None
        for chunk in replies.last_chunks(recorded["finish_reason"], self._name, model, told):
            await self._send(chunk)
        await self._write(b"data: [DONE]\n\n")
        await self.response.write_eof()

    async def fail(
        self, status: int, reason: str, message: str, *, again: bool = False, after: float | None = None
    ) -> None:
        """Why there is no answer; also in its midst."""
        told = replies.error(reason, message)
        if self.response.prepared:
            try:
                await self._write(_event(told))
                await self.response.write_eof()
            except (Gone, ConnectionError):
                self.cut()
            return
        headers = {} if again else dict(_NOT_AGAIN)
        if after is not None:
            headers["Retry-After"] = str(math.ceil(after))
        self.response = _json(told, status, headers)

    def cut(self) -> None:
        """Nobody reads it: the connection is of no use any more."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _send(self, chunk: dict[str, Any]) -> None:
        if not self.response.prepared:
            self.response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
            )
            await self.response.prepare(self._request)
        await self._write(_event(chunk))

    async def _write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self.response.write(data)
        except TimeoutError:
            raise Gone from None


def _event(data: Any) -> bytes:
    return b"data: " + _bytes(data) + b"\n\n"


def _json(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=_bytes(data), status=status, headers=headers, content_type="application/json", charset="utf-8"
    )


def _bytes(data: Any) -> bytes:
    # What people are told of a request may hold halves of characters, which no encoding has.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
