"""Content by digest: what steps leave to others, and programs. Nothing of one namespace is known in another.

Nobody ever holds more of a blob than a piece. A digest is that of the bytes that came, never one that
somebody claimed.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from citadel.core.values import Content

#: Bytes of a row.
PIECE = 256 * 1024
#: Bytes that any blob may have.
CAP = 2**30
#: Seconds for which a blob is kept that no execution and no build names.
UNNAMED_SECONDS = 24 * 3600.0
#: Seconds after its last use at which a build is forgotten.
UNUSED_SECONDS = 30 * 24 * 3600.0


class BlobTooLarge(ValueError):
    """More than may be kept; the message says of what."""


class BlobLost(LookupError):
    """What the database says is there, is not."""


@dataclass(frozen=True)
class BlobLimits:
    """Bytes that may be kept."""

    in_database: int = 16 * 2**20
    """Of one blob in the database; a larger one goes to object storage."""
    of_namespace: int = 20 * 2**30
    """Of all blobs of a namespace together."""
    count: int = 100_000
    """Blobs of a namespace."""


class Upload(Protocol):
    """One object on its way; it is there once it is complete."""

    async def write(self, data: bytes) -> None:
        """The next bytes."""
        ...

    async def complete(self) -> None:
        """That was all."""
        ...

    async def abort(self) -> None:
        """It is not wanted after all."""
        ...


class Objects(Protocol):
    """Storage for what is too large for the database."""

    async def upload(self, name: str) -> Upload:
        """Begins an object."""
        ...

    def read(self, name: str, offset: int) -> AsyncIterator[bytes]:
        """The bytes of an object from `offset` on; raises BlobLost."""
        ...

    async def delete(self, name: str) -> None:
        """Removes an object; one that is not there is no error."""
        ...


class Blobs(Protocol):
    """The blobs of all namespaces, and which attempt left which."""

    async def put(self, namespace: str, pieces: AsyncIterator[bytes]) -> Content:
        """Stores what `pieces` bring. Raises BlobTooLarge, JournalUnavailable, and what `pieces` raises."""
        ...

    async def read(self, namespace: str, content: Content, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from `offset` on; raises BlobLost, also amid them."""
        ...

    async def record(self, uid: str, step: str, attempt: int, name: str, namespace: str, it: Content) -> None:
        """Notes what an attempt left under a name; what it left there before is replaced."""
        ...

    async def left(self, uid: str, step: str, attempt: int) -> dict[str, Content]:
        """What an attempt left."""
        ...

    async def hold(self, namespace: str, digest: str) -> bool:
        """Keeps a blob that nothing in the journal names for another day; False if there is no such blob."""
        ...

    async def prune(self) -> int:
        """Deletes blobs that nothing names any more, some hundreds a call; says how many."""
        ...
