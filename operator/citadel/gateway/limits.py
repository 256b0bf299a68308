"""What one sandbox may take of a gateway, so that it cannot starve the others."""

import asyncio

from citadel.limiting import CONNECTIONS, Bucket

#: A chain of the shortest steps takes 150 a second.
REQUESTS_PER_SECOND, REQUESTS_BURST = 200.0, 400.0
BYTES_PER_SECOND = 16.0 * 2**20
#: Bytes of blobs, which are no burden to the journal; who takes more is slowed down.
BLOB_BYTES_PER_SECOND = 128.0 * 2**20
#: Largest body of any request: an output of 1 MiB, or a batch of log chunks.
BODY_LIMIT = 2 * 2**20


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
