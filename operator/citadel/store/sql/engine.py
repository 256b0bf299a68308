"""Connections to the database, and what becomes of its failures.

Every call ends within `CALL_SECONDS`, whatever the database does; what is its fault is `JournalUnavailable`,
and then nothing was changed, or what was changed is found again by repeating the call. `synchronous_commit`
is touched for rows of work alone, see `leases.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, CursorResult, Double, Executable, NullPool, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from citadel.store.journal import JournalUnavailable

CONNECT_SECONDS = 3
POOL_SECONDS = 5
STATEMENT_SECONDS = 10
CALL_SECONDS = 20
#: How often a transaction is tried when another one was in its way, or its connection turned out to be dead.
TRIES = 3

#: `now()` as Postgres knows it. Not of the transaction, which may have begun long before.
NOW = "CAST(extract(epoch FROM statement_timestamp()) AS double precision)"

T = TypeVar("T")
#: What a statement gave: rows, and their number.
Result = CursorResult[*tuple[Any, ...]]
#: SQLSTATEs of a database that is there, but not as it should be: read only, no schema or an older one, a
#: transaction that took too long.
_UNFIT = frozenset(("25006", "25P03", "42P01", "42703", "3D000", "28P01", "28000"))
#: SQLSTATEs after which the same transaction may well succeed: serialization failure, deadlock.
_AGAIN = frozenset(("40001", "40P01"))


class now(FunctionElement[float]):  # noqa: N801
    """Seconds since the epoch on the database's clock, when it got the statement.

    It is one moment for all rows: with `clock_timestamp()`, which is another for each, no index is of use.
    """

    type = Double()
    inherit_cache = True
    name = "now"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: Any, **options: Any) -> str:
    return NOW


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def parse_url(url: str) -> URL:
    """The URL with the driver that Citadel uses; raises ValueError for another database."""
    parsed = make_url(url)
    kinds = {
        "postgresql": "postgresql+psycopg",
        "postgres": "postgresql+psycopg",
        "sqlite": "sqlite+aiosqlite",
    }
    kind = parsed.drivername.partition("+")[0]
    if kind not in kinds:
        raise ValueError(f"database URL: found {parsed.drivername!r}, expected postgresql or sqlite")
    return parsed.set(drivername=kinds[kind])


def make_engine(url: URL) -> AsyncEngine:
    """An engine of either database; nothing is connected yet. Of Postgres it keeps no connections."""
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(
            url, pool_size=1, max_overflow=0, pool_timeout=POOL_SECONDS, hide_parameters=True
        )
        event.listen(engine.sync_engine, "connect", _open_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    return create_async_engine(
        url,
        poolclass=NullPool,
        # Transactions begin and end where the store says so, see `direct.py`.
        isolation_level="AUTOCOMMIT",
        # An error that is logged must not carry inputs, outputs and what users' code printed.
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "citadel",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": STATEMENT_SECONDS * 1000,
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS}s"
            f" -c idle_in_transaction_session_timeout={CALL_SECONDS}s",
        },
    )


def _open_sqlite(connection: Any, record: Any) -> None:
    # Transactions begin where the journal says so, see `_begin_sqlite`.
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in ("foreign_keys=on", "journal_mode=wal", "synchronous=normal", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # Immediate: a transaction that reads first and writes later must not find the database changed in
    # between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class Connection(Protocol):
    """What work has of its connection: an `AsyncConnection` of SQLAlchemy, or `Direct`."""

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> Result:
        """Executes a statement; raises DBAPIError."""
        ...

    async def commit(self) -> None:
        """Commits what was done."""
        ...

    async def rollback(self) -> None:
        """Undoes what was done."""
        ...


class Connections:
    """Runs work in transactions, and tells the database's failures from everybody else's."""

    def __init__(self, engine: AsyncEngine, pool_size: int) -> None:
        self.engine = engine
        self.postgres = engine.dialect.name == "postgresql"
        if self.postgres:
            # psycopg is not installed where SQLite is enough.
            from citadel.store.sql.pooling import Pool

            self._pool = Pool(engine, pool_size, POOL_SECONDS)

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Does `work` and commits; `work` may roll back itself when it has nothing to commit.

        It is done again when another transaction was in the way. Raises JournalUnavailable; IntegrityError
        and what `work` raises pass, after a rollback.
        """
        return await self._run(work, transaction=True)

    async def read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Does `work`, whose statements need not see the same moment: in Postgres each is a transaction."""
        return await self._run(work, transaction=False)

    def _connected(self, *, transaction: bool) -> AbstractAsyncContextManager[Connection]:
        return self._pool.connected(transaction=transaction) if self.postgres else self.engine.connect()

    async def close(self) -> None:
        """Closes the connections."""
        if self.postgres:
            await self._pool.close()
        await self.engine.dispose()

    async def _run(self, work: Callable[[Connection], Awaitable[T]], *, transaction: bool) -> T:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                for left in reversed(range(TRIES)):
                    committing = False
                    try:
                        async with self._connected(transaction=transaction) as connection:
                            result = await work(connection)
                            # Once this is under way nobody but the database knows what came of it.
                            committing = True
                            await connection.commit()
                            return result
                    except DBAPIError as error:
                        if committing or not (left and _may_repeat(error)):
                            raise
        except IntegrityError:
            raise
        except DBAPIError as error:
            if is_outage(error):
                raise JournalUnavailable(f"the database is not available: {_first_line(error)}") from error
            raise
        except PoolTimeout as error:
            raise JournalUnavailable(
                f"all connections to the database are busy for {POOL_SECONDS}s"
            ) from error
        except TimeoutError as error:
            raise JournalUnavailable(f"the database did not answer within {CALL_SECONDS}s") from error
        except OSError as error:
            raise JournalUnavailable(f"the database is not available: {error}") from error
        raise AssertionError("unreachable: the last try returns or raises")


def _may_repeat(error: DBAPIError) -> bool:
    # A pooled connection that died while it lay idle says so at its first use; the whole pool is dropped
    # then.
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _AGAIN


def is_outage(error: DBAPIError) -> bool:
    """Whether this is the database's fault and may pass, rather than a mistake in a statement."""
    names = {cls.__name__ for cls in type(error.orig).__mro__}
    state = getattr(error.orig, "sqlstate", None)
    return bool(
        error.connection_invalidated or names & {"OperationalError", "InterfaceError"} or state in _UNFIT
    )


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
