"""Everything that a process has of the database, from one URL."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from citadel.store.sql import tables as t
from citadel.store.sql.announcing import LocalNotices, Notices
from citadel.store.sql.engine import Connections, make_engine, parse_url
from citadel.store.sql.journal import SqlJournal
from citadel.store.sql.sandboxes import SqlSandboxes
from citadel.store.sql.statements import Statements

_JWKS = "jwks"


class ClusterKeys:
    """The keys that check tokens of ServiceAccounts: published by the controller, read by the gateway."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self) -> Mapping[str, Any] | None:
        """The JSON Web Key Set as last published."""

        async def work(connection: AsyncConnection) -> Mapping[str, Any] | None:
            query = select(t.cluster_keys.c.body).where(t.cluster_keys.c.name == _JWKS)
            return (await connection.execute(query)).scalar_one_or_none()

        return await self._connections.read(work)

    async def set(self, jwks: Mapping[str, Any]) -> None:
        """Publishes a JSON Web Key Set."""
        statement = Statements(self._connections.postgres).published_key

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(statement, {"name": _JWKS, "body": dict(jwks)})

        await self._connections.transact(work)


class Database:
    """A journal, its sandboxes and the cluster's keys on one pool of connections."""

    def __init__(self, connections: Connections, notices: Notices) -> None:
        self._connections = connections
        self.journal = SqlJournal(connections, notices)
        self.sandboxes = SqlSandboxes(connections, notices)
        self.keys = ClusterKeys(connections)

    async def ping(self) -> None:
        """Returns when the database answers and has a schema; raises JournalUnavailable."""

        async def work(connection: AsyncConnection) -> None:
            await connection.execute(text("SELECT 1 FROM executions LIMIT 1"))

        await self._connections.read(work)

    async def create_schema(self) -> None:
        """Creates the tables that are not there: for SQLite, whose files nobody migrates."""

        async def work(connection: AsyncConnection) -> None:
            await connection.run_sync(t.metadata.create_all)

        await self._connections.transact(work)

    async def close(self) -> None:
        """Closes the connections."""
        await self._connections.engine.dispose()


def open_database(url: str, pool_size: int = 8) -> Database:
    """The database of a URL (`postgresql://…` or `sqlite:///file`); it connects when it is used."""
    parsed = parse_url(url)
    connections = Connections(make_engine(parsed, pool_size))
    if not connections.postgres:
        return Database(connections, LocalNotices())
    # psycopg is not installed where SQLite is enough.
    from citadel.store.sql.listening import PostgresNotices

    return Database(connections, PostgresNotices(parsed))
