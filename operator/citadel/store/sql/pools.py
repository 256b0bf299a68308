"""Members of warm pools. An advance claims them; here they are wanted and retired, and demand is counted."""

from dataclasses import asdict

from sqlalchemy import Integer, cast, func, insert, select, update

from citadel.store.journal import Notice
from citadel.store.sandboxes import Demand, SandboxRow
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connection, Connections, now


class SqlPools:
    """`Pools` over Postgres or SQLite."""

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections, self._notices = connections, notices

    async def add(self, member: SandboxRow) -> None:
        """Wants a member; it is dated by the database."""
        statement = insert(t.sandboxes).values({**asdict(member), "wanted_at": now()})
        await change(self._connections, self._notices, statement, [Notice("sandbox", member.name)])

    async def retire(self, name: str) -> bool:
        """Drains a member, unless it was claimed, or ends already: then False."""
        row = t.sandboxes.c
        open_member = (row.name == name, row.uid.is_(None), row.status.in_(("wanted", "live")))
        statement = update(t.sandboxes).where(*open_member).values(status="draining")
        return await change(self._connections, self._notices, statement, [Notice("sandbox", name)])

    async def demand(self, since: float, window: float) -> list[Demand]:
        """What was asked of pools in the last `since` seconds, by windows of `window` seconds."""
        row = t.sandboxes.c
        number = cast(func.floor(row.wanted_at / window), Integer)
        query = (
            select(row.pool, row.namespace, func.count(row.claimed_at), func.count(), number)
            .where(row.uid.is_not(None), row.pool.is_not(None), row.wanted_at > now() - since)
            .group_by(row.pool, row.namespace, number)
        )

        async def work(connection: Connection) -> list[Demand]:
            found = (await connection.execute(query)).all()
            return [Demand(pool, space, hits, wanted - hits, n) for pool, space, hits, wanted, n in found]

        return await self._connections.read(work)
