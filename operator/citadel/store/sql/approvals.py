"""Rows of approvals. An advance opens and ends them; here they are read, and their objects noted."""

from typing import Any

from sqlalchemy import Select, select, update

from citadel.api.approval import ApprovalPhase
from citadel.store.approvals import ApprovalRow
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connection, Connections

_T = t.approvals


class SqlApprovals:
    """`Approvals` over Postgres or SQLite."""

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections, self._notices = connections, notices

    async def pending(self) -> list[ApprovalRow]:
        """Those that wait, oldest first."""
        query = select(_T).where(_T.c.phase == ApprovalPhase.PENDING.value)
        return await self._rows(query.order_by(_T.c.opened_at, _T.c.name))

    async def get(self, namespace: str, name: str) -> ApprovalRow | None:
        """The row of the Approval of this name."""
        rows = await self._rows(select(_T).where(_T.c.namespace == namespace, _T.c.name == name))
        return rows[0] if rows else None

    async def made(self, row: ApprovalRow, uid: str | None) -> None:
        """Records which object asks this; see `Approvals.made`."""
        here = (_T.c.uid == row.uid) & (_T.c.step == row.step)
        await change(self._connections, self._notices, update(_T).where(here).values(object=uid), [])

    async def _rows(self, query: Select[Any]) -> list[ApprovalRow]:
        async def work(connection: Connection) -> list[ApprovalRow]:
            return [ApprovalRow(**row) for row in (await connection.execute(query)).mappings()]

        return await self._connections.read(work)
