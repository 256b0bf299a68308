"""Statements of SQLAlchemy on a connection of psycopg, without what lies between the two.

SQLAlchemy compiles a statement, keeps what it compiled, and makes the connections; sent and read is by
psycopg itself. An `AsyncConnection` would do the same for 0.6 ms more of processor time a statement, which is
more than the database takes for most of them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Compiled, Executable, TextClause
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import LRUCache

from citadel.store.sql.engine import Result

#: What was compiled, which all connections share: as many statements as an engine of SQLAlchemy keeps.
_compiled: LRUCache[Any, Any] = LRUCache(500)


class Found(IteratorResult[Any]):
    """What a statement gave: of a `CursorResult` its rows, and how many there were."""

    rowcount: int


class Direct:
    """A connection: with `transaction` what it executes is one, else each statement for itself."""

    def __init__(
        self, engine: AsyncEngine, connection: psycopg.AsyncConnection[Any], *, transaction: bool
    ) -> None:
        self._engine, self._connection, self._transaction = engine, connection, transaction

    async def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> Result:
        """Executes a statement, once for each of several sets of parameters; raises DBAPIError."""
        given = [parameters] if isinstance(parameters, Mapping) else list(parameters or [{}])
        text, sent = _rendered(statement, self._engine.dialect, given)
        connection = self._connection
        try:
            if self._transaction and not has_begun(connection):
                await connection.execute("BEGIN")
            async with connection.cursor() as cursor:
                if len(sent) == 1:
                    await cursor.execute(text, sent[0])
                else:
                    await cursor.executemany(text, sent)
                result = cursor.pgresult
                # Not by `description`, which looks up the type of each column.
                names = tuple(result.fname(number) for number in range(result.nfields)) if result else ()
                rows = await cursor.fetchall() if names else []
                found = Found(_metadata(names), iter(rows))
                found.rowcount = cursor.rowcount
                return cast("Result", found)
        except psycopg.Error as error:
            raise self._of(error) from error

    async def commit(self) -> None:
        """Commits the transaction, if one has begun; raises DBAPIError."""
        try:
            if has_begun(self._connection):
                await self._connection.commit()
        except psycopg.Error as error:
            raise self._of(error) from error

    async def rollback(self) -> None:
        """Undoes the transaction, if one has begun; raises DBAPIError."""
        try:
            await self._connection.rollback()
        except psycopg.Error as error:
            raise self._of(error) from error

    def _of(self, error: psycopg.Error) -> Exception:
        return wrapped(self._engine, error, lost=self._connection.closed)


def has_begun(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether it is in a transaction."""
    return connection.pgconn.transaction_status != TransactionStatus.IDLE


def _rendered(
    statement: Executable, dialect: Any, given: Sequence[Mapping[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    """A statement as it is sent, and its parameters."""
    many = len(given) > 1
    compiled: Any
    extracted = collected = None
    if isinstance(statement, TextClause):
        compiled = _of_text(statement, dialect)
    else:
        # As `Connection.execute` does it: the one way to what was compiled of a statement of the same shape.
        compiled, extracted, collected, _ = cast("Any", statement)._compile_w_cache(
            dialect, compiled_cache=_compiled, column_keys=sorted(given[0]), for_executemany=many
        )
    text, processors = compiled.string, compiled._bind_processors
    sent = []
    for number, each in enumerate(given):
        values = compiled.construct_params(
            each,
            extracted_parameters=extracted,
            escape_names=False,
            _group_number=number,
            _collected_params=collected,
        )
        if compiled.literal_execute_params or compiled.post_compile_params:
            expanded = compiled._process_parameters_for_postcompile(values)
            text, values = expanded.statement, expanded.parameters
            processors = {**processors, **expanded.processors}
        sent.append(
            {name: processors[name](value) if name in processors else value for name, value in values.items()}
        )
    return text, sent


@lru_cache(500)
def _of_text(statement: TextClause, dialect: Any) -> Compiled:
    """A constant: to find it by its shape would take as long as to send it."""
    return statement.compile(dialect=dialect)


@lru_cache(1000)
def _metadata(names: tuple[bytes | None, ...]) -> SimpleResultMetaData:
    return SimpleResultMetaData([(name or b"").decode() for name in names])


def wrapped(engine: AsyncEngine, error: psycopg.Error, *, lost: bool) -> Exception:
    """An error as SQLAlchemy tells it, which is what the rest of the store knows."""
    return DBAPIError.instance(
        None,
        None,
        error,
        psycopg.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=engine.dialect,
    )
