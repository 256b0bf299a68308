"""Calls of models in Postgres."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from citadel.store.journal import ExecutionUnknown, Notice
from citadel.store.model_calls import Passage, PlacedCall
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connections, now
from citadel.store.sql.ledger import charge_all

_T = t.model_calls


class SqlModelCalls:
    """`ModelCalls` over Postgres."""

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections, self._notices = connections, notices

    async def place(self, call: PlacedCall) -> None:
        """Leaves a call to be made; see `ModelCalls.place`."""
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
        statement = insert_postgresql(_T).on_conflict_do_nothing().values(row)
        try:
            await change(self._connections, self._notices, statement, [Notice("model", call.uid)])
        except IntegrityError as error:
            raise ExecutionUnknown(call.uid) from error

    async def take(
        self, holder: str, tokens: Mapping[str, str], seconds: float
    ) -> list[tuple[PlacedCall, str]]:
        """Calls that nobody makes; see `ModelCalls.take`."""

        async def work(connection: AsyncConnection) -> list[tuple[PlacedCall, str]]:
            free = (
                select(_T)
                .where(or_(_T.c.lease_until.is_(None), _T.c.lease_until < now()))
                .order_by(_T.c.placed_at)
                .limit(len(tokens))
                .with_for_update(skip_locked=True)
            )
            found = []
            for row, (token, hashed) in zip(
                (await connection.execute(free)).all(), tokens.items(), strict=False
            ):
                call = _call(row)
                if row.holder is not None:
                    await charge_all(connection, call.uid, call.step, call.attempt)
                mine = update(_T).where(_is(call))
                changed = mine.values(holder=holder, lease_until=now() + seconds, token_hash=hashed)
                await connection.execute(changed)
                found.append((call, token))
            return found

        return await self._connections.transact(work)

    async def renew(self, holder: str, call: PlacedCall, seconds: float) -> bool:
        """Whether the call is still the holder's; see `ModelCalls.renew`."""
        mine = update(_T).where(_is(call), _T.c.holder == holder).values(lease_until=now() + seconds)
        return await change(self._connections, self._notices, mine, [])

    async def remove(self, holder: str, call: PlacedCall) -> None:
        """The call is over; see `ModelCalls.remove`."""

        async def work(connection: AsyncConnection) -> None:
            gone = await connection.execute(delete(_T).where(_is(call), _T.c.holder == holder))
            if gone.rowcount:
                await charge_all(connection, call.uid, call.step, call.attempt)

        await self._connections.transact(work)

    async def passage(self, token_hash: str) -> Passage | None:
        """What a token stands for; see `ModelCalls.passage`."""
        query = select(_T.c.uid, _T.c.step, _T.c.attempt, _T.c.namespace, _T.c.hosts).where(
            _T.c.token_hash == token_hash
        )

        async def work(connection: AsyncConnection) -> Passage | None:
            row = (await connection.execute(query)).first()
            if row is None:
                return None
            return Passage(row.uid, row.step, row.attempt, row.namespace, tuple(row.hosts))

        return await self._connections.read(work)


def _is(call: PlacedCall) -> ColumnElement[bool]:
    return (_T.c.uid == call.uid) & (_T.c.step == call.step) & (_T.c.attempt == call.attempt)


def _call(row: Any) -> PlacedCall:
    return PlacedCall(row.uid, row.step, row.attempt, row.namespace, row.body, tuple(row.hosts), row.sealed)
