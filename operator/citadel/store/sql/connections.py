"""The table `connections`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from citadel.store.connections import MOST_OF_ONE, ConnectionRow
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections

_LATER = ("address", "verdict", "reason", "sent", "received", "seconds")


class SqlConnectionLog:
    """`ConnectionLog` over Postgres or SQLite."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        insert = postgres_insert if connections.postgres else sqlite_insert
        new = insert(t.connections)
        self._upsert = new.on_conflict_do_update(
            index_elements=["id"], set_={name: new.excluded[name] for name in _LATER}
        )

    async def record(self, rows: Sequence[ConnectionRow]) -> None:
        """Stores rows; see `ConnectionLog.record`."""
        if rows:
            await self._connections.transact(lambda connection: self._record(connection, rows))

    async def _record(self, connection: Connection, rows: Sequence[ConnectionRow]) -> None:
        uids = sorted({row.uid for row in rows})
        # Locked, so that none is deleted before its rows are there.
        here = select(t.executions.c.uid).where(t.executions.c.uid.in_(uids)).order_by(t.executions.c.uid)
        known = set((await connection.execute(here.with_for_update(read=True, key_share=True))).scalars())
        counting = select(t.connections.c.uid, func.count()).where(t.connections.c.uid.in_(known))
        counted = (await connection.execute(counting.group_by(t.connections.c.uid))).all()
        kept: Counter[str] = Counter()
        for uid, count in counted:
            kept[uid] = count
        old = select(t.connections.c.id).where(t.connections.c.id.in_([row.id for row in rows]))
        stored = set((await connection.execute(old)).scalars())
        wanted = []
        for row in rows:
            if row.id not in stored:
                kept[row.uid] += 1
            if row.uid in known and (row.id in stored or kept[row.uid] <= MOST_OF_ONE):
                wanted.append(asdict(row))
        if wanted:
            await connection.execute(self._upsert, wanted)

    async def of(self, uid: str, limit: int) -> list[ConnectionRow]:
        """The first connections of an execution, oldest first."""
        query = select(t.connections).where(t.connections.c.uid == uid)
        query = query.order_by(t.connections.c.at, t.connections.c.id).limit(limit)

        async def work(connection: Connection) -> list[ConnectionRow]:
            return [ConnectionRow(**row) for row in (await connection.execute(query)).mappings().all()]

        return await self._connections.read(work)
