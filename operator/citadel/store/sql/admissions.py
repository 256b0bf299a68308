"""Concurrency groups in the database.

Whoever asks for a turn, or gives one up, holds the lock of the group until its transaction ends, so of two
that ask at once one sees that the other has it. An advance locks its execution first, then the group, and
waits for no other execution's row while it holds that.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update

from citadel.core.tickets import Holder, Standing, Ticket
from citadel.store.admissions import AdmissionChange, Place
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections, now

_A, _E = t.admissions.c, t.executions.c
_JOINED = t.admissions.join(t.executions, _A.uid == _E.uid)
_ORDER = (_A.since, _A.queued_at, _A.uid)
_WAITS = _A.admitted_at.is_(None) & _E.suspended.is_(False)


class SqlAdmissions:
    """`Admissions` over Postgres or SQLite."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def standing(self, ticket: Ticket) -> Standing:
        """How an execution stands now."""
        return await self._connections.read(
            lambda connection: read_standing(connection, ticket, exactly=True)
        )

    async def older(self, ticket: Ticket) -> Sequence[Holder]:
        """Those of its group that came before it, the newest first."""
        query = select(_E.uid, _E.name).select_from(_JOINED).where(_others(ticket), _before(ticket))
        query = query.order_by(*(column.desc() for column in _ORDER))

        async def work(connection: Connection) -> list[Holder]:
            return [Holder(*row) for row in (await connection.execute(query)).all()]

        return await self._connections.read(work)

    async def waiting(self, namespace: str) -> list[Place]:
        """All that wait for their turn in a namespace."""
        position = func.row_number().over(partition_by=_A.group, order_by=_ORDER)
        total = func.count().over(partition_by=_A.group)
        query = select(_E.name, position, total).select_from(_JOINED).where(_A.among == namespace, _WAITS)

        async def work(connection: Connection) -> list[Place]:
            return [Place(*row) for row in (await connection.execute(query)).all()]

        return await self._connections.read(work)

    async def ready(self) -> list[str]:
        """The uids of those whose turn it is, and whom nobody has told; see `Admissions.ready`."""
        admitted = t.admissions.alias("admitted").c
        taken = select(func.count()).where(
            admitted.among == _A.among, admitted.group == _A.group, admitted.admitted_at.is_not(None)
        )
        place = func.row_number().over(partition_by=(_A.among, _A.group), order_by=_ORDER)
        room = taken.correlate(t.admissions).scalar_subquery() < _A.most
        first = select(_A.uid, place.label("place"), room.label("room")).select_from(_JOINED)
        waiting = first.where(_WAITS).subquery()
        query = select(waiting.c.uid).where(waiting.c.place == 1, waiting.c.room)

        async def work(connection: Connection) -> list[str]:
            return list((await connection.execute(query)).scalars())

        return await self._connections.read(work)


async def lock(connection: Connection, ticket: Ticket, postgres: bool) -> None:
    """Keeps everybody else from this group until the transaction ends; SQLite has one writer anyway."""
    if postgres:
        key = func.hashtextextended(f"{ticket.among} {ticket.group}", 0)
        await connection.execute(select(func.pg_advisory_xact_lock(key)))


async def read_standing(connection: Connection, ticket: Ticket, *, exactly: bool) -> Standing:
    """How an execution stands among the others; unless `exactly`, only whether any wait before it."""
    held = select(_E.uid, _E.name).select_from(_JOINED)
    held = held.where(_others(ticket), _A.admitted_at.is_not(None)).order_by(_A.admitted_at, _A.uid)
    holders = [Holder(*row) for row in (await connection.execute(held)).all()]
    waiting = select(_A.uid).select_from(_JOINED).where(_others(ticket), _WAITS)
    before = waiting.where(_before(ticket)).limit(None if exactly else 1).subquery()
    ahead = (await connection.execute(select(func.count()).select_from(before))).scalar_one()
    total = ahead
    if exactly:
        total = (await connection.execute(select(func.count()).select_from(waiting.subquery()))).scalar_one()
    return Standing(tuple(holders), ahead, total - ahead)


async def write(connection: Connection, statement: Any, change: AdmissionChange) -> None:
    """Writes what an advance changes of its group, whose lock it has; the next one is woken."""
    ticket = change.ticket
    if change.ended:
        await connection.execute(delete(t.admissions).where(_A.uid == ticket.uid))
    else:
        row = {**asdict(ticket), "most": ticket.limit, "admitted_at": change.admitted_at}
        del row["limit"]
        await connection.execute(statement, {**row, "new_admitted_at": change.admitted_at})
    if change.passes_on:
        await _wake_next(connection, ticket)


async def _wake_next(connection: Connection, ticket: Ticket) -> None:
    """It looks for itself whether it is its turn."""
    query = select(_A.uid).select_from(_JOINED).where(_others(ticket), _WAITS).order_by(*_ORDER).limit(1)
    uid = (await connection.execute(query)).scalar_one_or_none()
    if uid is None:
        return
    # One that is being advanced asks once it has the lock of the group, or steps aside and wakes the next.
    free = select(_E.uid).where(_E.uid == uid).with_for_update(key_share=True, skip_locked=True)
    woken = update(t.executions).where(_E.uid == free.scalar_subquery()).values(wake_at=now())
    await connection.execute(woken)


def _others(ticket: Ticket) -> ColumnElement[bool]:
    return (_A.among == ticket.among) & (_A.group == ticket.group) & (_A.uid != ticket.uid)


def _before(ticket: Ticket) -> ColumnElement[bool]:
    return tuple_(*_ORDER) < tuple_(*ticket.order)
