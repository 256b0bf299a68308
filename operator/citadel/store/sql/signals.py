"""Signals that wait to be delivered: the api inserts, the controller takes out."""

import json

from sqlalchemy import Select, delete, select
from sqlalchemy.exc import IntegrityError

from citadel.core.jsonvalues import canonical
from citadel.store.journal import ExecutionUnknown, Notice
from citadel.store.signals import SignalRow
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connection, Connections
from citadel.store.sql.statements import Statements

_T = t.signals


class SqlSignals:
    """`Signals` over Postgres or SQLite."""

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections, self._notices = connections, notices
        # Inline: reading the number of a new row back is a right that the api does not have.
        self._insert = Statements(connections.postgres).insert_new(_T).inline()

    async def send(self, signal: SignalRow) -> None:
        """Leaves a signal; see `Signals.send`."""
        body = canonical(signal.payload)
        statement = self._insert.values(uid=signal.uid, name=signal.name, key=signal.key, payload=body)
        try:
            await change(self._connections, self._notices, statement, [Notice("signal", signal.uid)])
        except IntegrityError as error:
            # The one constraint that it can offend is that its execution exists.
            raise ExecutionUnknown(signal.uid) from error

    async def waiting(self) -> list[str]:
        """Uids of the executions that have any."""

        async def work(connection: Connection) -> list[str]:
            return list((await connection.execute(select(_T.c.uid).distinct())).scalars())

        return await self._connections.read(work)

    async def of(self, uid: str) -> list[SignalRow]:
        """Those of an execution, in the order they came."""
        query: Select[tuple[str, str, bytes]] = (
            select(_T.c.name, _T.c.key, _T.c.payload).where(_T.c.uid == uid).order_by(_T.c.id)
        )

        async def work(connection: Connection) -> list[SignalRow]:
            rows = (await connection.execute(query)).all()
            return [SignalRow(uid, row.name, row.key, json.loads(row.payload)) for row in rows]

        return await self._connections.read(work)

    async def delivered(self, signal: SignalRow) -> None:
        """Forgets one; see `Signals.delivered`."""
        row = (_T.c.uid == signal.uid) & (_T.c.name == signal.name) & (_T.c.key == signal.key)
        await change(self._connections, self._notices, delete(_T).where(row), [])
