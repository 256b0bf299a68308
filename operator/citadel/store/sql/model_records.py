"""What models answered to agents, in Postgres."""

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from citadel.store.model_records import ModelRecord
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connections

_T = t.model_records


class SqlModelRecords:
    """`ModelRecords` over Postgres."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def find(self, uid: str, step: str, attempt: int, digest: str) -> ModelRecord | None:
        """The answer that an attempt was given to this request."""
        mine = (_T.c.uid == uid, _T.c.step == step, _T.c.attempt == attempt, _T.c.digest == digest)
        found = await self._records(select(_T).where(*mine))
        return found[0] if found else None

    async def of(self, uid: str) -> list[ModelRecord]:
        """All answers that an execution was given."""
        order = (_T.c.step, _T.c.attempt, _T.c.n, _T.c.at)
        return await self._records(select(_T).where(_T.c.uid == uid).order_by(*order))

    async def _records(self, query: Select[Any]) -> list[ModelRecord]:
        async def work(connection: AsyncConnection) -> list[ModelRecord]:
            return [ModelRecord(**row) for row in (await connection.execute(query)).mappings()]

        return await self._connections.read(work)
