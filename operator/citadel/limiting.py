"""What any server of sandboxes bounds: connections of one address, requests of one second, bodies that never
come."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

#: Connections of one address: of one sandbox, half of them of its runner and half of its agent.
CONNECTIONS = 16
#: Requests that need a look at the database to know who asks; a pod needs a registration, and one more at
#: each process that it comes to later. While its pod is not recorded yet a runner asks every 50 ms.
_STRANGERS_PER_SECOND, _STRANGERS_BURST = 25.0, 50.0
_KNOWN_ADDRESSES = 10_000


class Refused(Exception):
    """A request that is not served, as a status and a reason."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class Bucket:
    """A token bucket; `rate` tokens a second, at most `burst`."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._level, self._at = burst, clock()

    def take(self, amount: float) -> bool:
        """Whether there was still something in the bucket; what is taken may leave a debt."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level <= 0:
            return False
        self._level -= amount
        return True

    def debt(self) -> float:
        """Seconds until there is something in the bucket again."""
        return max(0.0, -self._level / self._rate - (self._clock() - self._at))


class Strangers:
    """Bounds what an address may ask without a session that is known here."""

    def __init__(self) -> None:
        self._known: dict[str, Bucket] = {}

    def admit(self, address: str) -> None:
        """One more request; raises Refused."""
        if address not in self._known and len(self._known) >= _KNOWN_ADDRESSES:
            self._known.clear()
        bucket = self._known.setdefault(address, Bucket(_STRANGERS_PER_SECOND, _STRANGERS_BURST))
        if not bucket.take(1):
            raise Refused(429, "TooManyRequests", "too many requests without a session from this address")


async def read_body(request: web.BaseRequest, limit: int, seconds: float) -> bytes:
    """The body; raises Refused when it is too large, or takes too long to come."""
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise Refused(413, "TooLarge", f"expected at most {limit} bytes")
    except TimeoutError:
        raise Refused(408, "TooSlow", f"the body did not come within {seconds:.0f} s") from None
    except (ConnectionError, web.RequestPayloadError):
        # Nobody hears this answer; but it is no fault of ours that would have to be logged.
        raise Refused(400, "BadRequest", "the body ended too early") from None
    return bytes(body)


class _Connection(RequestHandler):
    """A connection that counts against its peer's address."""

    __slots__ = ("_peer",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if peer else ""
        open_connections = cast("LimitedServer", self._manager).connections_of
        open_connections[self._peer] += 1
        if open_connections[self._peer] > CONNECTIONS:
            cast("asyncio.Transport", transport).abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        server = cast("LimitedServer | None", self._manager)
        if server is not None:
            server.connections_of[self._peer] -= 1
            if server.connections_of[self._peer] <= 0:
                del server.connections_of[self._peer]
        super().connection_lost(exc)


class LimitedServer(web.Server):
    """An HTTP server that holds at most CONNECTIONS connections of one address: of one sandbox."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections_of: Counter[str] = Counter()

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)
