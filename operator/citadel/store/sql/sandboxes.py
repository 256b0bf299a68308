"""Rows of sandboxes. An advance makes and drains them; here they are observed and registered."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, and_, bindparam, or_, select, update

from citadel.store.journal import Notice
from citadel.store.rows import check_observation
from citadel.store.sandboxes import Delivery, SandboxRow
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connection, Connections, now


class SqlSandboxes:
    """`Sandboxes` over Postgres or SQLite."""

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections = connections
        self._notices = notices
        self._named = select(t.sandboxes).where(t.sandboxes.c.name == bindparam("of_name"))

    async def open(self) -> list[SandboxRow]:
        """Rows that are not gone, oldest first."""
        query = select(t.sandboxes).where(t.sandboxes.c.status != "gone")
        return await self._rows(query.order_by(t.sandboxes.c.wanted_at, t.sandboxes.c.name))

    async def of(self, uid: str) -> list[SandboxRow]:
        """All rows of an execution, those that are gone too."""
        return await self._rows(select(t.sandboxes).where(t.sandboxes.c.uid == uid))

    async def get(self, name: str) -> SandboxRow | None:
        """The row of this name."""
        rows = await self._rows(self._named, {"of_name": name})
        return rows[0] if rows else None

    async def observe(self, name: str, **changes: Any) -> None:
        """Sets fields of a row, see `Sandboxes.observe`; it never goes back from gone or draining."""
        check_observation(changes)
        if not changes:
            return
        row = and_(t.sandboxes.c.name == name, t.sandboxes.c.status != "gone")
        if changes.get("status") in ("wanted", "live"):
            row = and_(row, t.sandboxes.c.status != "draining")
        if "template" not in changes:  # JSON as it was written cannot be compared
            fields = (t.sandboxes.c[field].is_distinct_from(value) for field, value in changes.items())
            row = and_(row, or_(*fields))
        await self._update(update(t.sandboxes).where(row).values(**changes), Notice("sandbox", name))

    async def register(self, name: str, pod_uid: str, session_hash: str, public_key: str) -> bool:
        """Records the one registration of a sandbox; see `Sandboxes.register`."""
        same = and_(t.sandboxes.c.session_hash == session_hash, t.sandboxes.c.public_key == public_key)
        statement = (
            update(t.sandboxes)
            .where(
                t.sandboxes.c.name == name,
                t.sandboxes.c.pod_uid == pod_uid,
                t.sandboxes.c.status.in_(("wanted", "live")),
                or_(t.sandboxes.c.session_hash.is_(None), same),
            )
            .values(
                session_hash=session_hash,
                public_key=public_key,
                status="live",
                heartbeat_at=now(),
            )
        )
        return await self._update(statement, Notice("sandbox", name))

    async def heartbeat(self, names: Sequence[str]) -> None:
        """Records that these runners were heard from now."""
        if names:
            await self._update(
                update(t.sandboxes).where(t.sandboxes.c.name.in_(names)).values(heartbeat_at=now()), None
            )

    async def deliveries(self) -> list[Delivery]:
        """Deliveries that wait to be sealed."""
        return await self._deliveries(select(t.deliveries).where(t.deliveries.c.sealed.is_(None)))

    async def delivery(
        self, sandbox: str, sealed: Mapping[str, Any] | None = None, of: Delivery | None = None
    ) -> Delivery | None:
        """The delivery of a sandbox; see `Sandboxes.delivery`."""
        row = t.deliveries.c.sandbox == sandbox
        if sealed is not None:
            columns = (t.deliveries.c.step, t.deliveries.c.attempt, t.deliveries.c.placing)
            wanted = () if of is None else zip(columns, of.attempt_key, strict=True)
            same = and_(row, *(column == value for column, value in wanted))
            await self._update(
                update(t.deliveries).where(same).values(sealed=dict(sealed)), Notice("sealed", sandbox)
            )
        found = await self._deliveries(select(t.deliveries).where(row))
        return found[0] if found else None

    async def _rows(
        self, query: Select[Any], parameters: Mapping[str, Any] | None = None
    ) -> list[SandboxRow]:
        async def work(connection: Connection) -> list[SandboxRow]:
            return [SandboxRow(**row) for row in (await connection.execute(query, parameters)).mappings()]

        return await self._connections.read(work)

    async def _deliveries(self, query: Select[Any]) -> list[Delivery]:
        async def work(connection: Connection) -> list[Delivery]:
            return [Delivery(**row) for row in (await connection.execute(query)).mappings()]

        return await self._connections.read(work)

    async def _update(self, statement: Any, notice: Notice | None) -> bool:
        """Whether there was a row to update; only then there is news."""
        return await change(self._connections, self._notices, statement, [] if notice is None else [notice])
