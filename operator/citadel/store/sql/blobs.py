"""Blobs in rows of the database, the large ones in object storage."""

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import IntegrityError

from citadel.core.values import Content
from citadel.store.blobs import (
    PIECE,
    UNNAMED_SECONDS,
    UNUSED_SECONDS,
    BlobLimits,
    BlobLost,
    BlobTooLarge,
    Objects,
)
from citadel.store.journal import ExecutionUnknown
from citadel.store.sql import tables as t
from citadel.store.sql.bodies import Body, read_piece
from citadel.store.sql.engine import Connection, Connections, now

_PRUNED_AT_ONCE = 200
_EXPIRED_SECONDS = 3600.0


class SqlBlobs:
    """`Blobs` over Postgres or SQLite."""

    def __init__(self, connections: Connections, limits: BlobLimits, objects: Objects | None = None) -> None:
        self._connections, self._limits, self._objects = connections, limits, objects
        self._insert: Any = insert_postgresql if connections.postgres else insert_sqlite

    async def put(self, namespace: str, pieces: AsyncIterator[bytes]) -> Content:
        """Stores what comes; see `Blobs.put`."""
        left = await self._left(namespace)
        body = Body(self._connections, self._limits, self._objects, left)
        try:
            async for piece in pieces:
                await body.write(piece)
            content = await body.complete()
        except BaseException:
            await body.drop()
            raise
        known = await self._name(namespace, content, body)
        if known != body.name:
            # The same bytes are there already, and stay where they are.
            await body.drop()
        return content

    async def _left(self, namespace: str) -> int:
        """Bytes that the namespace may still store; raises BlobTooLarge."""
        query = select(func.count(), func.coalesce(func.sum(t.blobs.c.size), 0))
        query = query.where(t.blobs.c.namespace == namespace)

        async def work(connection: Connection) -> Any:
            return (await connection.execute(query)).one()

        count, size = await self._connections.read(work)
        if count >= self._limits.count or size >= self._limits.of_namespace:
            raise BlobTooLarge(
                f"namespace {namespace} keeps {count} artifacts of {size} bytes, at most {self._limits.count}"
                f" of {self._limits.of_namespace} bytes are allowed; those of executions that are deleted go"
                " after a day"
            )
        return int(self._limits.of_namespace - size)

    async def _name(self, namespace: str, content: Content, body: Body) -> str:
        """Makes the body that of its digest; returns the body that the digest has."""
        row = {"namespace": namespace, "digest": content.digest, "size": content.size}
        new = self._insert(t.blobs).values(**row, body=body.name, remote=body.remote, stored_at=now())
        new = new.on_conflict_do_update(
            index_elements=["namespace", "digest"], set_={"stored_at": now()}
        ).returning(t.blobs.c.body)

        async def work(connection: Connection) -> str:
            return str((await connection.execute(new)).scalar_one())

        return await self._connections.transact(work)

    async def read(self, namespace: str, content: Content, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from `offset` on; see `Blobs.read`."""
        where = (t.blobs.c.namespace == namespace) & (t.blobs.c.digest == content.digest)

        async def find(connection: Connection) -> Any:
            query = select(t.blobs.c.body, t.blobs.c.remote).where(where)
            return (await connection.execute(query)).one_or_none()

        found = await self._connections.read(find)
        if found is None:
            raise BlobLost(f"blob {content.digest} of namespace {namespace} is not kept any more")
        if not found.remote:
            return self._rows(found.body, content, offset)
        if self._objects is None:
            raise BlobLost(f"blob {content.digest} is in object storage, which is not configured any more")
        return self._objects.read(found.body, offset)

    async def _rows(self, body: str, content: Content, offset: int) -> AsyncIterator[bytes]:
        for number in range(offset // PIECE, -(-content.size // PIECE)):
            piece = await read_piece(self._connections, body, number)
            if piece is None:
                raise BlobLost(f"piece {number} of blob {content.digest} is not there")
            yield piece[max(0, offset - number * PIECE) :]

    async def record(self, uid: str, step: str, attempt: int, name: str, namespace: str, it: Content) -> None:
        """Notes what an attempt left; see `Blobs.record`."""
        key = {"uid": uid, "step": step, "attempt": attempt, "name": name}
        what = {"namespace": namespace, "digest": it.digest, "size": it.size}
        new = self._insert(t.artifacts).values(**key, **what)
        new = new.on_conflict_do_update(index_elements=list(key), set_=what)

        async def work(connection: Connection) -> None:
            await connection.execute(new)

        try:
            await self._connections.transact(work)
        except IntegrityError as error:
            raise ExecutionUnknown(uid) from error

    async def left(self, uid: str, step: str, attempt: int) -> dict[str, Content]:
        """What an attempt left."""
        a = t.artifacts.c
        query = select(a.name, a.digest, a.size).where(a.uid == uid, a.step == step, a.attempt == attempt)

        async def work(connection: Connection) -> dict[str, Content]:
            rows = (await connection.execute(query)).all()
            return {row.name: Content(row.digest, row.size) for row in rows}

        return await self._connections.read(work)

    async def hold(self, namespace: str, digest: str) -> bool:
        """Keeps a blob for another day; see `Blobs.hold`."""
        b = t.blobs.c
        held = update(t.blobs).where(b.namespace == namespace, b.digest == digest).values(stored_at=now())

        async def work(connection: Connection) -> bool:
            return bool((await connection.execute(held.returning(b.digest))).all())

        return await self._connections.transact(work)

    async def prune(self) -> int:
        """Deletes what nothing names any more; see `Blobs.prune`."""
        b, a, u, p = t.blobs.c, t.artifacts.c, t.builds.c, t.blob_pieces.c
        left = select(a.name).where(a.namespace == b.namespace, a.digest == b.digest).exists()
        built = select(u.key).where(u.namespace == b.namespace, u.program == b.digest).exists()
        m = t.cached_artifacts.c
        cached = select(m.name).where(m.namespace == b.namespace, m.digest == b.digest).exists()
        unnamed = ~left & ~built & ~cached & (b.stored_at < now() - UNNAMED_SECONDS)
        some = select(b.namespace, b.digest).where(unnamed).limit(_PRUNED_AT_ONCE)
        orphan = (p.stored_at < now() - UNNAMED_SECONDS) & ~select(b.body).where(b.body == p.body).exists()
        orphans = select(p.body).where(orphan).distinct().limit(_PRUNED_AT_ONCE)

        async def work(connection: Connection) -> list[Any]:
            await connection.execute(delete(t.builds).where(u.used_at < now() - UNUSED_SECONDS))
            # Somebody may have looked it up just before its end, and name its files any moment.
            await connection.execute(delete(t.cached).where(t.cached.c.expires_at < now() - _EXPIRED_SECONDS))
            gone: list[Any] = []
            for namespace, digest in (await connection.execute(some)).all():
                # Looked at once more: somebody may have stored the same meanwhile.
                one = delete(t.blobs).where(b.namespace == namespace, b.digest == digest, unnamed)
                gone += (await connection.execute(one.returning(b.body, b.remote))).all()
            bodies = [row.body for row in gone if not row.remote]
            await connection.execute(delete(t.blob_pieces).where(p.body.in_(bodies)))
            lost = list((await connection.execute(orphans)).scalars())
            await connection.execute(delete(t.blob_pieces).where(p.body.in_(lost), orphan))
            return gone

        gone = await self._connections.transact(work)
        for row in gone:
            # After the commit: an object without a row is waste, a row without its object is a loss.
            if row.remote and self._objects is not None:
                await self._objects.delete(row.body)
        return len(gone)
