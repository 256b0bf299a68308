"""What the proxy asks the gateway, and tells it: is this allowed, and what came of it.

Only the proxy may ask: the gateway knows it by its certificate. Tokens of sandboxes are never logged, and
kept only as hashes.
"""

import asyncio
import hashlib
import logging
import ssl
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

from citadel.egress.requests import Refused, Request

log = logging.getLogger(__name__)

#: Seconds for which an answer is believed: so long a policy that was taken away may still be followed.
FRESH_SECONDS = 2.0
_REMEMBERED = 10_000
_ASK_SECONDS = 5.0
#: Records that wait for a gateway that is away; what comes on top is lost, and counted.
_PENDING = 20_000
_BATCH = 200
_FLUSH_SECONDS = 0.3


@dataclass(frozen=True)
class Answer:
    """What the gateway says of one destination of one attempt."""

    allowed: bool
    reason: str
    private: tuple[str, ...]
    """Networks that the name may resolve to although they are private."""
    uid: str
    """The execution; empty when the sandbox is none that the gateway knows."""
    sandbox: str


@dataclass
class Record:
    """One connection, allowed or refused: reported when it is open, and again when it has ended."""

    id: str
    uid: str
    step: str
    attempt: int
    sandbox: str
    at: float
    host: str
    port: int
    address: str = ""
    verdict: str = "allowed"
    reason: str = ""
    sent: int = 0
    received: int = 0
    seconds: float | None = None


class GatewayClient:
    """Asks and reports over connections that stay open."""

    def __init__(self, base: str, tls: ssl.SSLContext | None) -> None:
        self._base, self._tls = base, tls
        self._http: aiohttp.ClientSession | None = None
        self._answers: OrderedDict[tuple[Any, ...], tuple[float, Answer]] = OrderedDict()
        self._asking: dict[tuple[Any, ...], asyncio.Task[Answer]] = {}
        self._pending: dict[str, Record] = {}
        self._news = asyncio.Event()
        self.lost = 0

    async def __aenter__(self) -> "GatewayClient":
        connector = aiohttp.TCPConnector(limit=64, ssl=self._tls or True, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def ask(self, request: Request) -> Answer:
        """Whether a connection is allowed, seconds ago at most; raises Refused without an answer."""
        token = hashlib.sha256(request.token.encode()).digest()
        key = (token, request.step, request.attempt, request.host, request.port)
        at, known = self._answers.get(key, (float("-inf"), None))
        if known is not None and time.monotonic() - at < FRESH_SECONDS:
            return known
        task = self._asking.get(key)
        if task is None:
            # Connections that begin together ask once.
            task = self._asking[key] = asyncio.create_task(self._ask(request))
            task.add_done_callback(lambda done: self._answered(key, done))
        return await asyncio.shield(task)

    def _answered(self, key: tuple[Any, ...], task: asyncio.Task[Answer]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled() and task.exception() is None:
            self._answers[key] = (time.monotonic(), task.result())
            self._answers.move_to_end(key)
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)

    async def _ask(self, request: Request) -> Answer:
        body = asdict(request)
        try:
            async with self._post("/v1/egress/verdict", body) as response:
                if response.status != 200:
                    raise Refused(503, f"the gateway answered {response.status}; try again")
                told = await response.json()
                return Answer(
                    allowed=told["allowed"] is True,
                    reason=str(told["reason"]),
                    private=tuple(told["privateAllowed"]),
                    uid=str(told["uid"]),
                    sandbox=str(told["sandbox"]),
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError) as error:
            log.warning("the gateway does not answer: %r", error)
            raise Refused(503, "the gateway does not answer; try again") from None

    def report(self, record: Record) -> None:
        """Takes a connection to be told of; a later state of the same one replaces what still waits."""
        if record.id not in self._pending and len(self._pending) >= _PENDING:
            self.lost += 1
            return
        self._pending[record.id] = Record(**asdict(record))
        self._news.set()

    async def deliver(self) -> None:
        """One round of reporting; what the gateway did not take comes again."""
        await self._news.wait()
        # What opens and ends within this time is one row.
        await asyncio.sleep(_FLUSH_SECONDS)
        await self.flush()

    async def flush(self) -> None:
        """Reports what waits; raises OSError when the gateway does not take it."""
        self._news.clear()
        while self._pending:
            batch = dict(list(self._pending.items())[:_BATCH])
            body = {"connections": [asdict(record) for record in batch.values()]}
            try:
                async with self._post("/v1/egress/connections", body) as response:
                    if response.status != 200:
                        raise ConnectionError(f"the gateway answered {response.status} to a report")
            except (aiohttp.ClientError, OSError):
                self._news.set()
                raise
            for name, record in batch.items():
                if self._pending.get(name) is record:
                    del self._pending[name]

    def _post(
        self, path: str, body: Mapping[str, Any]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        assert self._http is not None
        return self._http.post(f"{self._base}{path}", json=body, allow_redirects=False)
