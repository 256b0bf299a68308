"""The archive over the table `executions`."""

from collections.abc import Collection
from dataclasses import fields

from sqlalchemy import Select, select, update

from citadel.store.archive import Archived
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections, now

_ROW = t.executions.c
_COLUMNS = [_ROW[field.name] for field in fields(Archived)]


class SqlArchive:
    """`Archive` over Postgres or SQLite."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def mark(self, uids: Collection[str]) -> None:
        """Notes that objects are gone; see `Archive.mark`."""
        gone = update(t.executions).where(_ROW.uid.in_(uids), _ROW.deleted_at.is_(None))

        async def work(connection: Connection) -> None:
            await connection.execute(gone.values(deleted_at=now()))

        if uids:
            await self._connections.transact(work)

    async def present(self, limit: int) -> list[str]:
        """Executions that ended and are not of the archive; see `Archive.present`."""
        ended = _ROW.finished_at.is_not(None) & _ROW.deleted_at.is_(None)
        query = select(_ROW.uid).where(ended).order_by(_ROW.finished_at).limit(limit)

        async def work(connection: Connection) -> list[str]:
            return list((await connection.execute(query)).scalars())

        return await self._connections.read(work)

    async def of(self, namespace: str, since: float, limit: int) -> list[Archived]:
        """The archive of a namespace; see `Archive.of`."""
        return await self._read(_archived(namespace, since).limit(limit))

    async def find(self, namespace: str, name: str, since: float) -> Archived | None:
        """One of the archive; see `Archive.find`."""
        found = await self._read(_archived(namespace, since).where(_ROW.name == name).limit(1))
        return found[0] if found else None

    async def knows(self, namespace: str, name: str) -> bool:
        """Whether there ever was one of this name; see `Archive.knows`."""
        query = select(_ROW.uid).where(_ROW.namespace == namespace, _ROW.name == name).limit(1)

        async def work(connection: Connection) -> bool:
            return (await connection.execute(query)).first() is not None

        return await self._connections.read(work)

    async def _read(self, query: Select[tuple[object, ...]]) -> list[Archived]:
        async def work(connection: Connection) -> list[Archived]:
            return [Archived(**row._mapping) for row in (await connection.execute(query)).all()]

        return await self._connections.read(work)


def _archived(namespace: str, since: float) -> Select[tuple[object, ...]]:
    """What the archive has of a namespace, the newest first."""
    return (
        select(*_COLUMNS)
        .where(_ROW.namespace == namespace, _ROW.deleted_at.is_not(None), _ROW.created_at >= since)
        .order_by(_ROW.created_at.desc(), _ROW.uid)
    )
