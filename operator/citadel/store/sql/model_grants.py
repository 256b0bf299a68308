"""Grants of agents' attempts in Postgres."""

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.exc import IntegrityError

from citadel.store.calls import Passage
from citadel.store.journal import ExecutionUnknown, Notice
from citadel.store.model_grants import Grant
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connection, Connections, now
from citadel.store.sql.ledger import charge_all

_T = t.model_grants


class SqlModelGrants:
    """`ModelGrants` over Postgres."""

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections, self._notices = connections, notices

    async def place(self, grant: Grant) -> None:
        """Leaves a grant; see `ModelGrants.place`."""
        row = {
            "uid": grant.uid,
            "step": grant.step,
            "attempt": grant.attempt,
            "namespace": grant.namespace,
            "body": dict(grant.body),
            "hosts": list(grant.hosts),
            "sealed": None if grant.sealed is None else dict(grant.sealed),
            "token_hash": grant.token_hash,
            "placed_at": now(),
            "turns": 0,
            "answered": 0,
        }
        statement = insert_postgresql(_T).on_conflict_do_nothing().values(row)
        try:
            await change(self._connections, self._notices, statement, [Notice("grant", grant.uid)])
        except IntegrityError as error:
            raise ExecutionUnknown(grant.uid) from error

    async def get(self, uid: str, step: str, attempt: int) -> Grant | None:
        """The grant of an attempt."""
        columns = (_T.c.namespace, _T.c.body, _T.c.hosts, _T.c.sealed, _T.c.token_hash)

        async def work(connection: Connection) -> Grant | None:
            row = (await connection.execute(select(*columns).where(_is(uid, step, attempt)))).first()
            if row is None:
                return None
            return Grant(
                uid, step, attempt, row.namespace, row.body, tuple(row.hosts), row.sealed, row.token_hash
            )

        return await self._connections.read(work)

    async def remove(self, uid: str, step: str, attempt: int) -> None:
        """The attempt is over; see `ModelGrants.remove`."""

        async def work(connection: Connection) -> None:
            # First the grant, without which nothing more is reserved; then what is.
            await connection.execute(delete(_T).where(_is(uid, step, attempt)))
            await charge_all(connection, uid, step, attempt)

        await self._connections.transact(work)

    async def keys(self) -> list[tuple[str, str, int]]:
        """What there is."""

        async def work(connection: Connection) -> list[tuple[str, str, int]]:
            rows = await connection.execute(select(_T.c.uid, _T.c.step, _T.c.attempt).order_by(_T.c.uid))
            return [(row.uid, row.step, row.attempt) for row in rows]

        return await self._connections.read(work)

    async def passage(self, token_hash: str) -> Passage | None:
        """What an egress token stands for; see `ModelGrants.passage`."""
        columns = (_T.c.uid, _T.c.step, _T.c.attempt, _T.c.namespace, _T.c.hosts)
        query = select(*columns).where(_T.c.token_hash == token_hash)

        async def work(connection: Connection) -> Passage | None:
            row = (await connection.execute(query)).first()
            return (
                None
                if row is None
                else Passage(row.uid, row.step, row.attempt, row.namespace, tuple(row.hosts))
            )

        return await self._connections.read(work)


def _is(uid: str, step: str, attempt: int) -> ColumnElement[bool]:
    return (_T.c.uid == uid) & (_T.c.step == step) & (_T.c.attempt == attempt)
