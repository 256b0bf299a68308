"""The ExecutionPolicies of each namespace: the controller writes them, the gateway reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections

_T = t.policies


class SqlPolicies:
    """`PolicyTable` over Postgres or SQLite. It has one writer, the controller that leads."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def all(self) -> dict[str, list[dict[str, Any]]]:
        """The policies of every namespace that has any."""

        async def work(connection: Connection) -> dict[str, list[dict[str, Any]]]:
            return {row.namespace: row.body for row in await connection.execute(select(_T))}

        return await self._connections.read(work)

    async def get(self, namespace: str) -> list[dict[str, Any]]:
        """The policies of a namespace, by name."""

        async def work(connection: Connection) -> list[dict[str, Any]]:
            query = select(_T.c.body).where(_T.c.namespace == namespace)
            return (await connection.execute(query)).scalar_one_or_none() or []

        return await self._connections.read(work)

    async def put(self, namespace: str, policies: Sequence[Mapping[str, Any]]) -> None:
        """Sets the policies of a namespace; none: its row goes."""
        row = _T.c.namespace == namespace
        body = [dict(policy) for policy in policies]

        async def work(connection: Connection) -> None:
            if not body:
                await connection.execute(delete(_T).where(row))
            elif not (await connection.execute(update(_T).where(row).values(body=body))).rowcount:
                await connection.execute(insert(_T).values(namespace=namespace, body=body))

        await self._connections.transact(work)
