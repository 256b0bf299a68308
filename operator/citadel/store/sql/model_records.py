"""What models answered to agents, in Postgres."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, bindparam, select

from citadel.store.model_records import ModelRecord
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections

_T = t.model_records
#: The answer that an attempt was given to a request; its parameters are those of `key_of`.
FIND = select(_T).where(
    *(_T.c[name] == bindparam(f"of_{name}") for name in ("uid", "step", "attempt", "digest"))
)


def key_of(uid: str, step: str, attempt: int, digest: str | None) -> dict[str, Any]:
    """The parameters of `FIND`."""
    return {"of_uid": uid, "of_step": step, "of_attempt": attempt, "of_digest": digest}


class SqlModelRecords:
    """`ModelRecords` over Postgres."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def find(self, uid: str, step: str, attempt: int, digest: str) -> ModelRecord | None:
        """The answer that an attempt was given to this request."""
        found = await self._records(FIND, key_of(uid, step, attempt, digest))
        return found[0] if found else None

    async def of(self, uid: str) -> list[ModelRecord]:
        """All answers that an execution was given."""
        order = (_T.c.step, _T.c.attempt, _T.c.n, _T.c.at)
        return await self._records(select(_T).where(_T.c.uid == uid).order_by(*order))

    async def _records(self, query: Select[Any], given: Mapping[str, Any] | None = None) -> list[ModelRecord]:
        async def work(connection: Connection) -> list[ModelRecord]:
            return [ModelRecord(**row) for row in (await connection.execute(query, given)).mappings()]

        return await self._connections.read(work)
