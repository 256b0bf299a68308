"""Calls of models and of tools in Postgres: one table for each."""

import functools
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.exc import IntegrityError

from citadel.store.calls import Passage, PlacedCall
from citadel.store.journal import ExecutionUnknown, Notice
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import change
from citadel.store.sql.engine import Connection, now
from citadel.store.sql.leases import RELAXED, SqlLeases
from citadel.store.sql.ledger import charge_all


class _SqlCalls(SqlLeases[PlacedCall]):
    """`Calls` over one table; `topic` announces new ones."""

    topic: str

    def read(self, row: Any) -> PlacedCall:
        """The call of a row."""
        return PlacedCall(
            row.uid, row.step, row.attempt, row.namespace, row.body, tuple(row.hosts), row.sealed
        )

    async def place(self, call: PlacedCall) -> None:
        """Leaves a call to be made; see `Calls.place`."""
        row = {
            "uid": call.uid,
            "step": call.step,
            "attempt": call.attempt,
            "namespace": call.namespace,
            "body": dict(call.body),
            "sealed": None if call.sealed is None else dict(call.sealed),
            "hosts": list(call.hosts),
            "placed_at": now(),
        }
        statement = insert_postgresql(self.table).on_conflict_do_nothing().values(row)
        try:
            await change(self._connections, self._notices, statement, [Notice(self.topic, call.uid)])
        except IntegrityError as error:
            raise ExecutionUnknown(call.uid) from error

    async def passage(self, token_hash: str) -> Passage | None:
        """What a token stands for; see `Passages.passage`."""
        shown = {"of_token": token_hash}

        async def work(connection: Connection) -> Passage | None:
            row = (await connection.execute(self._passage, shown)).first()
            if row is None:
                return None
            return Passage(row.uid, row.step, row.attempt, row.namespace, tuple(row.hosts))

        return await self._connections.read(work)

    @functools.cached_property
    def _passage(self) -> Select[Any]:
        columns = self.table.c
        query = select(columns.uid, columns.step, columns.attempt, columns.namespace, columns.hosts)
        return query.where(columns.token_hash == bindparam("of_token"))


class SqlModelCalls(_SqlCalls):
    """Calls of models: whatever their holders leave reserved in the ledger counts in full."""

    table, topic = t.model_calls, "model"

    async def remove(self, holder: str, call: PlacedCall) -> None:
        """The call is over; see `Calls.remove`."""

        async def work(connection: Connection) -> None:
            gone = await connection.execute(delete(self.table).where(self.held(holder, call)))
            if gone.rowcount:
                await self.taken_over(connection, call)

        await self._connections.transact(work)

    async def taken_over(self, connection: Connection, row: PlacedCall) -> None:
        """What was reserved for it counts."""
        await charge_all(connection, row.uid, row.step, row.attempt)


class SqlToolCalls(_SqlCalls):
    """`ToolCalls` over Postgres."""

    table, topic = t.tool_calls, "tool"

    def read(self, row: Any) -> PlacedCall:
        """The call of a row."""
        return replace(super().read(row), sent=row.sent)

    async def remove(self, holder: str, call: PlacedCall) -> None:
        """The call is over; see `Calls.remove`."""
        gone = delete(self.table).where(self.held(holder, call)).returning(RELAXED)

        async def work(connection: Connection) -> None:
            await connection.execute(gone)

        # One statement: without BEGIN and COMMIT it is one round trip.
        await self._connections.read(work)

    async def sending(self, holder: str, call: PlacedCall) -> bool:
        """Whether it is still the holder's, and sent from now on; see `ToolCalls.sending`."""
        return await self.change(holder, call, sent=True)
