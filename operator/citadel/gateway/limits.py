"""What one sandbox may take of a gateway, so that it cannot starve the others."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

CONNECTIONS = 8
#: A chain of the shortest steps takes 150 a second.
REQUESTS_PER_SECOND, REQUESTS_BURST = 200.0, 400.0
BYTES_PER_SECOND = 16.0 * 2**20
#: Bytes of blobs, which are no burden to the journal; who takes more is slowed down.
BLOB_BYTES_PER_SECOND = 128.0 * 2**20
#: Largest body of any request: an output of 1 MiB, or a batch of log chunks.
BODY_LIMIT = 2 * 2**20


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


class Allowance:
    """Requests, bytes and concurrency of one sandbox."""

    def __init__(self) -> None:
        self.requests = Bucket(REQUESTS_PER_SECOND, REQUESTS_BURST)
        self.bytes = Bucket(BYTES_PER_SECOND, 2 * BYTES_PER_SECOND)
        self.blobs = Bucket(BLOB_BYTES_PER_SECOND, BLOB_BYTES_PER_SECOND)
        self.under_way = 0

    def admits(self, size: int) -> bool:
        """Whether a request with a body of `size` bytes may be served now."""
        return self.under_way < CONNECTIONS and self.requests.take(1) and self.bytes.take(size)

    async def pace(self, size: int) -> None:
        """Returns when `size` bytes of a blob may pass."""
        await asyncio.sleep(self.blobs.debt())
        self.blobs.take(size)


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
