"""Rows of work in Postgres, each with one holder at a time, in tables that have what `_work()` lists."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Table, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connections, now


class Keyed(Protocol):
    """What has a key, in the order of its table's primary key."""

    @property
    def key(self) -> tuple[Any, ...]: ...


Row = TypeVar("Row", bound=Keyed)


class SqlLeases(Generic[Row]):
    """`Leases` over one table."""

    table: Table

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections, self._notices = connections, notices

    def read(self, row: Any) -> Row:
        """The row as others see it."""
        raise NotImplementedError

    def waits(self) -> Sequence[ColumnElement[bool]]:
        """What holds of rows that are still work."""
        return ()

    async def taken_over(self, connection: AsyncConnection, row: Row) -> None:
        """A row whose last holder said no more is another's now."""

    def same(self, row: Row) -> ColumnElement[bool]:
        """What holds of this row alone."""
        columns = self.table.primary_key.columns
        return and_(*(column == value for column, value in zip(columns, row.key, strict=True)))

    def held(self, holder: str, row: Row) -> ColumnElement[bool]:
        """What holds of this row while it is the holder's."""
        return self.same(row) & (self.table.c.holder == holder)

    async def take(self, holder: str, tokens: Mapping[str, str], seconds: float) -> list[tuple[Row, str]]:
        """Rows that nobody holds; see `Leases.take`."""
        columns = self.table.c

        async def work(connection: AsyncConnection) -> list[tuple[Row, str]]:
            free = (
                select(self.table)
                .where(or_(columns.lease_until.is_(None), columns.lease_until < now()), *self.waits())
                .order_by(columns.placed_at)
                .limit(len(tokens))
                .with_for_update(skip_locked=True)
            )
            rows = (await connection.execute(free)).all()
            found = []
            for raw, (token, hashed) in zip(rows, tokens.items(), strict=False):
                row = self.read(raw)
                if raw.holder is not None:
                    await self.taken_over(connection, row)
                mine = {"holder": holder, "lease_until": now() + seconds, "token_hash": hashed}
                await connection.execute(update(self.table).where(self.same(row)).values(mine))
                found.append((row, token))
            return found

        return await self._connections.transact(work)

    async def renew(self, holder: str, row: Row, seconds: float) -> bool:
        """Whether the row is still the holder's; see `Leases.renew`."""
        return await self.change(holder, row, lease_until=now() + seconds)

    async def change(self, holder: str, row: Row, **values: Any) -> bool:
        """Changes a row, if it is still the holder's; whether it is."""
        mine = update(self.table).where(self.held(holder, row)).values(values)
        return await change(self._connections, self._notices, mine, [])
