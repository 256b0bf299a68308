"""The bytes of one blob on their way into the database, or beyond its limit into object storage."""

import hashlib
import uuid
from typing import Any

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.exc import IntegrityError

from citadel.core.values import Content
from citadel.store.blobs import CAP, PIECE, BlobLimits, BlobTooLarge, Objects, Upload
from citadel.store.journal import JournalUnavailable
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections, now


class Body:
    """The bytes of one blob as they come: in rows, and from the limit on in an object."""

    def __init__(
        self, connections: Connections, limits: BlobLimits, objects: Objects | None, left: int
    ) -> None:
        self._connections, self._limits, self._objects, self._left = connections, limits, objects, left
        self._sum = hashlib.sha256()
        self._size = 0
        self._buffer = bytearray()
        self._rows = 0
        self._upload: Upload | None = None
        self.name = uuid.uuid4().hex
        self.remote = False

    async def write(self, data: bytes) -> None:
        """The next bytes; raises BlobTooLarge."""
        self._size += len(data)
        self._check()
        self._sum.update(data)
        if self._size > self._limits.in_database and self._upload is None:
            await self._move()
        if self._upload is not None:
            await self._upload.write(data)
            return
        self._buffer += data
        while len(self._buffer) >= PIECE:
            await self._store(bytes(self._buffer[:PIECE]))
            del self._buffer[:PIECE]

    def _check(self) -> None:
        if self._size > CAP:
            raise BlobTooLarge(f"found more than {CAP} bytes, which is the most that an artifact may have")
        if self._size > self._left:
            raise BlobTooLarge(
                f"its namespace may keep {self._limits.of_namespace} bytes of artifacts,"
                f" and {self._left} are left"
            )
        if self._size > self._limits.in_database and self._objects is None:
            raise BlobTooLarge(
                f"found more than {self._limits.in_database} bytes, which is the most that this installation"
                " keeps in its database; for more, its admin sets artifacts.s3 of the chart"
            )

    async def _store(self, piece: bytes) -> None:
        row = {"body": self.name, "n": self._rows, "bytes": piece}

        async def work(connection: Connection) -> None:
            await connection.execute(t.blob_pieces.insert().values(**row, stored_at=now()))

        try:
            await self._connections.transact(work)
        except IntegrityError as error:
            # It was committed, and the answer lost: whoever sends this blob begins again.
            raise JournalUnavailable("a piece of a blob was stored twice") from error
        self._rows += 1

    async def _move(self) -> None:
        """From the database to object storage."""
        assert self._objects is not None
        self._upload = await self._objects.upload(self.name)
        self.remote = True
        for number in range(self._rows):
            piece = await read_piece(self._connections, self.name, number)
            assert piece is not None
            await self._upload.write(piece)
        await self._upload.write(bytes(self._buffer))
        self._buffer.clear()
        await self._forget()

    async def complete(self) -> Content:
        """The end; from here on the body is whole."""
        if self._upload is not None:
            await self._upload.complete()
            self._upload = None
        elif self._buffer:
            await self._store(bytes(self._buffer))
        return Content(f"sha256:{self._sum.hexdigest()}", self._size)

    async def drop(self) -> None:
        """Removes what there is of it; what remains after a failure is pruned."""
        try:
            if self._upload is not None:
                await self._upload.abort()
            elif self.remote and self._objects is not None:
                await self._objects.delete(self.name)
            await self._forget()
        except (JournalUnavailable, OSError):
            return

    async def _forget(self) -> None:
        async def work(connection: Connection) -> CursorResult[Any]:
            return await connection.execute(delete(t.blob_pieces).where(t.blob_pieces.c.body == self.name))

        if self._rows:
            await self._connections.transact(work)
            self._rows = 0


async def read_piece(connections: Connections, body: str, number: int) -> bytes | None:
    """A row of a body; None when it is not there."""
    p = t.blob_pieces.c
    query = select(p.bytes).where(p.body == body, p.n == number)

    async def work(connection: Connection) -> bytes | None:
        found = (await connection.execute(query)).scalar_one_or_none()
        return None if found is None else bytes(found)

    return await connections.read(work)
