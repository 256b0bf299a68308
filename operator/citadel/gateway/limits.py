"""What one sandbox may take of a gateway, so that it cannot starve the others."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from citadel.limiting import CONNECTIONS, Bucket

#: A chain of the shortest steps takes 150 a second.
REQUESTS_PER_SECOND, REQUESTS_BURST = 200.0, 400.0
BYTES_PER_SECOND = 16.0 * 2**20
#: Bytes of blobs, which are no burden to the journal; who takes more is slowed down.
BLOB_BYTES_PER_SECOND = 128.0 * 2**20
#: Largest body of any request: an output of 1 MiB, or a batch of log chunks.
BODY_LIMIT = 2 * 2**20
#: Requests under way at once, and calls of tools, which may be held for long, beside them.
AT_ONCE = CALLS_AT_ONCE = CONNECTIONS // 2


class Allowance:
    """Requests, bytes and concurrency of one sandbox."""

    def __init__(self) -> None:
        self.requests = Bucket(REQUESTS_PER_SECOND, REQUESTS_BURST)
        self.bytes = Bucket(BYTES_PER_SECOND, 2 * BYTES_PER_SECOND)
        self.blobs = Bucket(BLOB_BYTES_PER_SECOND, BLOB_BYTES_PER_SECOND)
        self.under_way = self.calls = 0

    def admits(self, size: int, *, call: bool = False) -> bool:
        """Whether a request with a body of `size` bytes, perhaps the call of a tool, may be served now."""
        room = self.calls < CALLS_AT_ONCE if call else self.under_way < AT_ONCE
        return room and self.requests.take(1) and self.bytes.take(size)

    @contextmanager
    def counting(self, *, call: bool = False) -> Iterator[None]:
        """While a request is served."""
        self.under_way, self.calls = self.under_way + (not call), self.calls + call
        try:
            yield
        finally:
            self.under_way, self.calls = self.under_way - (not call), self.calls - call

    async def pace(self, size: int) -> None:
        """Returns when `size` bytes of a blob may pass."""
        await asyncio.sleep(self.blobs.debt())
        self.blobs.take(size)
