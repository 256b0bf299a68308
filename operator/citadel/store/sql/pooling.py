"""Connections that are kept open between the work that they do.

A pool of SQLAlchemy takes two changes of greenlet each time, a third of what a small statement costs. That of
psycopg connects in the background, and tells of a database that is away when its patience is over. Here
whoever finds none open connects, and is told at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.store.sql.direct import Direct, has_begun, wrapped

Pooled = psycopg.AsyncConnection[Any]


class Pool:
    """At most `size` connections of an engine; the one that was used last is used first."""

    def __init__(self, engine: AsyncEngine, size: int, patience: float) -> None:
        self._engine, self._patience = engine, patience
        self._room = asyncio.Semaphore(size)
        self._free: list[Pooled] = []

    @asynccontextmanager
    async def connected(self, *, transaction: bool) -> AsyncIterator[Direct]:
        """A connection; what was not committed is undone.

        Raises DBAPIError, and PoolTimeout when all were busy for `patience` seconds.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._room.acquire()
        except TimeoutError:
            raise PoolTimeout("all connections are busy") from None
        try:
            connection = self._free.pop() if self._free else await self._opened()
            try:
                yield Direct(self._engine, connection, transaction=transaction)
                if has_begun(connection):
                    await connection.rollback()
            except Exception:
                # One that died while it lay idle has not died alone.
                await (self.close() if connection.closed else _undo(connection))
                raise
            except BaseException:
                # Whoever waited was cancelled: nobody knows what the database is at.
                await connection.close()
                raise
            finally:
                if not connection.closed:
                    self._free.append(connection)
        finally:
            self._room.release()

    async def close(self) -> None:
        """Closes those that nobody uses."""
        while self._free:
            await self._free.pop().close()

    async def _opened(self) -> Pooled:
        try:
            # With what SQLAlchemy has to say to a new one: its types, and what `connect_args` demand.
            made = await self._engine.raw_connection()
        except psycopg.Error as error:
            raise wrapped(self._engine, error, lost=False) from error
        connection = cast("Pooled", made.driver_connection)
        made.detach()
        return connection


async def _undo(connection: Pooled) -> None:
    try:
        await connection.rollback()
    except psycopg.Error:
        await connection.close()
