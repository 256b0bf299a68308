"""Rows of work in Postgres, each with one holder at a time, in tables that have what `_work()` lists."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Table,
    Text,
    Update,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from citadel.store.sql.announcing import Notices, change
from citadel.store.sql.engine import Connection, Connections, now

#: Its transaction is committed without waiting for the disk: a database that crashes may forget that a row of
#: work was taken or is over, and another holder does what any does whose predecessor said no more.
RELAXED = func.set_config("synchronous_commit", "off", True).label("relaxed")


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

    async def taken_over(self, connection: Connection, row: Row) -> None:
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
        statement, given = self._taking, {"of_holder": holder, "of_seconds": seconds, "of_most": len(tokens)}
        given["of_hashes"] = list(tokens.values())

        async def work(connection: Connection) -> list[Any]:
            rows = (await connection.execute(statement, given)).all()
            return sorted(rows, key=lambda raw: raw.place)

        # One statement: without BEGIN and COMMIT it is one round trip.
        rows, free = await self._connections.read(work), list(tokens)
        found = [(self.read(raw), free[raw.place - 1]) for raw in rows]
        lost = [row for raw, (row, _) in zip(rows, found, strict=True) if raw.held_before is not None]
        if lost:
            # Should this process end before: the row has a holder still, and the next one does it.
            await self._connections.transact(lambda connection: self._take_over(connection, lost))
        return found

    async def _take_over(self, connection: Connection, rows: Sequence[Row]) -> None:
        for row in rows:
            await self.taken_over(connection, row)

    @functools.cached_property
    def _taking(self) -> Update:
        """Takes the rows that have waited longest, and gives each a token of its own."""
        columns, keys = self.table.c, list(self.table.primary_key.columns)
        free = (
            select(*keys, columns.holder.label("held_before"), columns.placed_at)
            .where(or_(columns.lease_until.is_(None), columns.lease_until < now()), *self.waits())
            .order_by(columns.placed_at)
            .limit(bindparam("of_most", type_=Integer))
            .with_for_update(skip_locked=True)
            .cte("free")
        )
        place = func.row_number().over(order_by=free.c.placed_at).label("place")
        rows = select(free, place).cte("rows")
        hashes = bindparam("of_hashes", type_=ARRAY(Text))
        tokens = func.unnest(hashes).table_valued("hash", with_ordinality="place", name="tokens")
        tokens = tokens.render_derived()
        same = (columns[key.name] == rows.c[key.name] for key in keys)
        mine = {
            "holder": bindparam("of_holder", type_=Text),
            "lease_until": now() + bindparam("of_seconds", type_=Double),
            "token_hash": tokens.c.hash,
        }
        return (
            update(self.table)
            .where(*same, tokens.c.place == rows.c.place)
            .values(mine)
            .returning(self.table, rows.c.held_before, rows.c.place, RELAXED)
        )

    async def renew(self, holder: str, row: Row, seconds: float) -> bool:
        """Whether the row is still the holder's; see `Leases.renew`."""
        return await self.change(holder, row, lease_until=now() + seconds)

    async def change(self, holder: str, row: Row, **values: Any) -> bool:
        """Changes a row, if it is still the holder's; whether it is."""
        mine = update(self.table).where(self.held(holder, row)).values(values)
        return await change(self._connections, self._notices, mine, [])
