"""Checks of tools in Postgres: one row of a Tool, its last answer beside the check that is wanted."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql

from citadel.store.calls import Passage
from citadel.store.journal import Notice
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import change
from citadel.store.sql.engine import Connection, now
from citadel.store.sql.leases import SqlLeases
from citadel.store.tool_checks import CHECK, Check, Checked

_T = t.tool_checks


class SqlToolChecks(SqlLeases[Check]):
    """`ToolChecks` over Postgres."""

    table = _T

    def read(self, row: Any) -> Check:
        """The check of a row."""
        return Check(row.namespace, row.name, row.digest, row.body, tuple(row.hosts), row.sealed)

    def waits(self) -> Sequence[ColumnElement[bool]]:
        """It has no answer yet."""
        return (_T.c.waiting,)

    def same(self, row: Check) -> ColumnElement[bool]:
        """A check is the row of its Tool, while no other has taken its place."""
        return (_T.c.namespace == row.namespace) & (_T.c.name == row.name) & (_T.c.digest == row.digest)

    async def place(self, check: Check, again: float | None = None) -> None:
        """Wants a check; see `ToolChecks.place`."""
        wanted = {
            "digest": check.digest,
            "body": dict(check.body),
            "hosts": list(check.hosts),
            "sealed": None if check.sealed is None else dict(check.sealed),
            "placed_at": now(),
            "waiting": True,
            "holder": None,
            "lease_until": None,
            "token_hash": None,
        }
        other = _T.c.digest != check.digest
        stale = other if again is None else or_(other, ~_T.c.waiting & (_T.c.answered_at < again))
        row = {"namespace": check.namespace, "name": check.name, **wanted}
        statement = insert_postgresql(_T).values(row)
        statement = statement.on_conflict_do_update(
            index_elements=["namespace", "name"], set_=wanted, where=stale
        )
        await change(self._connections, self._notices, statement, [Notice("tool-check", "")])

    async def checked(self, namespace: str, name: str) -> Checked | None:
        """The last answer of a Tool; see `ToolChecks.checked`."""
        query = select(_T.c.answered, _T.c.answered_at, _T.c.result)
        query = query.where(_T.c.namespace == namespace, _T.c.name == name, _T.c.answered.is_not(None))

        async def work(connection: Connection) -> Checked | None:
            row = (await connection.execute(query)).first()
            return None if row is None else Checked(row.answered, row.answered_at, row.result)

        return await self._connections.read(work)

    async def answer(self, holder: str, check: Check, result: Mapping[str, Any]) -> None:
        """What came of a check; see `ToolChecks.answer`."""
        said = {
            "waiting": False,
            "answered": check.digest,
            "answered_at": now(),
            "result": dict(result),
            "holder": None,
            "lease_until": None,
            "token_hash": None,
            "sealed": None,
        }
        statement = update(_T).where(self.held(holder, check)).values(said)
        news = Notice("tool-checked", f"{check.namespace}/{check.name}")
        await change(self._connections, self._notices, statement, [news])

    async def forget(self, namespace: str, name: str) -> None:
        """The Tool is gone; see `ToolChecks.forget`."""
        gone = delete(_T).where(_T.c.namespace == namespace, _T.c.name == name)
        await change(self._connections, self._notices, gone, [])

    async def passage(self, token_hash: str) -> Passage | None:
        """What a token stands for; see `Passages.passage`."""
        query = select(_T.c.namespace, _T.c.hosts).where(_T.c.token_hash == token_hash)

        async def work(connection: Connection) -> Passage | None:
            row = (await connection.execute(query)).first()
            return None if row is None else Passage("", *CHECK, row.namespace, tuple(row.hosts))

        return await self._connections.read(work)
