"""Revisions over the tables `executions` and `definitions`."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select

from citadel.store.revisions import MOST, Revision, chosen
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections


class SqlRevisions:
    """`Revisions` over Postgres or SQLite."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def of(self, namespace: str, workflow: str) -> list[Revision]:
        """The revisions of a Workflow; see `Revisions.of`."""
        executions, last = t.executions.c, func.max(t.executions.c.created_at)
        query = (
            select(executions.definition, func.min(executions.created_at), last, func.count())
            .where(executions.namespace == namespace, executions.workflow == workflow)
            .where(executions.definition.is_not(None))
            .group_by(executions.definition)
            .order_by(last.desc(), executions.definition)
            .limit(MOST)
        )

        async def work(connection: Connection) -> list[Revision]:
            return [Revision(*row) for row in (await connection.execute(query)).all()]

        return await self._connections.read(work)

    async def document(self, namespace: str, workflow: str, revision: str) -> tuple[str, Mapping[str, Any]]:
        """One definition; see `Revisions.document`."""
        digest = chosen(workflow, revision, await self.of(namespace, workflow))
        query = select(t.definitions.c.body).where(t.definitions.c.digest == digest)

        async def work(connection: Connection) -> Mapping[str, Any]:
            found: Mapping[str, Any] = (await connection.execute(query)).scalar_one()
            return found

        return digest, await self._connections.read(work)
