"""One HTTP request to the API server: credentials, timeouts, bounded connections, retries, counting.

Must never know what a resource is: it moves bytes and JSON.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from citadel.kube.config import KubeConfig
from citadel.kube.errors import ApiError, Unauthorized, Unavailable, error_from

CountRequest = Callable[[str, str, str], None]
"""Told of each try: verb, resource (`pods`, `executions/status`), and the HTTP status or "error"."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on every call. Times in seconds.

    `tries` includes the first; `retry_after` caps what the server may ask to wait. `silence` is how long a
    watch may say nothing: bookmarks come about once a minute, so a longer silence is a dead connection.
    """

    connections: int = 32
    timeout: float = 30.0
    connect: float = 10.0
    tries: int = 4
    backoff: float = 0.2
    retry_after: float = 10.0
    silence: float = 90.0
    chunk: int = 500


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it is tried: `repeatable` says that doing it twice is the same as doing it once."""

    method: str
    path: str
    verb: str
    resource: str
    query: Mapping[str, str]
    body: object = None
    content_type: str = "application/json"
    repeatable: bool = True

    @property
    def told(self) -> str:
        """How error messages name the request."""
        return f"{self.method} {self.path}"


class Transport:
    """The connections of one identity to one API server."""

    def __init__(
        self,
        config: KubeConfig,
        limits: Limits,
        *,
        count: CountRequest,
        user_agent: str,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._config = config
        self._limits = limits
        self._count = count
        self._user_agent = user_agent
        self._sleep = sleep
        self._slots = asyncio.Semaphore(limits.connections)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(self, call: Call) -> Any:
        """The answer's JSON (or text), after as many tries as the limits allow; raises ApiError."""
        renewed = False
        attempt = 1
        while True:
            try:
                return await self._once(call)
            except Unauthorized:
                if renewed or not self._config.credentials.expire():
                    raise
                renewed = True
            except Unavailable as error:
                # 429 is sent before anything is done, so even a create may be repeated.
                if attempt >= self._limits.tries or not (call.repeatable or error.status == 429):
                    raise
                await self._sleep(self._pause(attempt, error))
                attempt += 1

    def _pause(self, attempt: int, error: ApiError) -> float:
        jitter: float = 1 + random.random() / 2  # noqa: S311 - spreads retries, keeps no secret
        backoff = self._limits.backoff * float(2 ** (attempt - 1)) * jitter
        return max(backoff, min(error.retry_after or 0.0, self._limits.retry_after))

    async def _once(self, call: Call) -> Any:
        timeout = aiohttp.ClientTimeout(total=self._limits.timeout, connect=self._limits.connect)
        async with self._slots, self.answer(call, timeout) as answer:
            return _parsed(await answer.read())

    @asynccontextmanager
    async def answer(
        self, call: Call, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One try: yields a successful answer, raises ApiError for everything else, also while it is read."""
        token = await self._config.credentials.token()
        # The key set and the health checks are offered in their own media types only.
        headers = {"Accept": "application/json, */*;q=0.5"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data: bytes | None = None
        if call.body is not None:
            data = json.dumps(call.body, separators=(",", ":")).encode()
            headers["Content-Type"] = call.content_type
        counted = False
        try:
            async with self._open_session().request(
                call.method,
                self._config.server + call.path,
                params=call.query,
                data=data,
                headers=headers,
                timeout=timeout,
                server_hostname=self._config.server_name,
                proxy=self._config.proxy,
                allow_redirects=False,
            ) as answer:
                self._count(call.verb, call.resource, str(answer.status))
                counted = True
                if answer.status >= 300:
                    raise error_from(
                        answer.status,
                        _parsed(await answer.read()),
                        request=call.told,
                        retry_after=_seconds(answer.headers.get("Retry-After")),
                    )
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            if not counted:
                self._count(call.verb, call.resource, "error")
            told = str(error) or type(error).__name__
            raise Unavailable(0, "Unreachable", told, request=call.told) from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # the semaphore bounds the calls, and watches stand outside of it
                    ssl=self._config.tls if self._config.tls is not None else True,
                    keepalive_timeout=60,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent},
            )
        return self._session


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; its other form, a date, is not used by API servers and counts as absent."""
    return float(text) if text and text.isdigit() else None
