"""What attempts printed. Chunks are numbered by the runner, so that sending one twice stores it once."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import Integer, Text, column, func, select
from sqlalchemy import values as rows_of
from sqlalchemy.exc import IntegrityError

from citadel.store.journal import ExecutionUnknown, LogChunk, Notice
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import Notices, payloads
from citadel.store.sql.engine import Connection, Connections
from citadel.store.sql.statements import LOG, Statements, columns_of
from citadel.store.texts import mend


class Logs:
    """The table `logs`."""

    def __init__(self, connections: Connections, statements: Statements, notices: Notices) -> None:
        self._connections = connections
        self._statements = statements
        self._notices = notices

    async def append(self, uid: str, chunks: Sequence[LogChunk]) -> None:
        """Stores chunks; those already there change nothing."""
        if not chunks:
            return
        rows = [
            asdict(chunk) | {"uid": uid, "text": mend(chunk.text), "at": mend(chunk.at)} for chunk in chunks
        ]
        notices = [Notice("log", uid)]

        postgres = self._connections.postgres
        columns = columns_of(t.logs, LOG, rows) | {"notices": payloads(notices)} if postgres else rows

        async def work(connection: Connection) -> None:
            await connection.execute(self._statements.new_logs, columns)

        try:
            # In Postgres it is one statement, and without BEGIN and COMMIT one round trip.
            await (self._connections.read if postgres else self._connections.transact)(work)
        except IntegrityError as error:
            # The one constraint that chunks can offend is that their execution exists.
            raise ExecutionUnknown(uid) from error
        self._notices.committed(notices)

    async def read(self, uid: str, after: Mapping[tuple[str, int], int], limit: int) -> list[LogChunk]:
        """Chunks with n greater than `after[(step, attempt)]`, in the order of their arrival."""
        query = select(
            t.logs.c.step, t.logs.c.attempt, t.logs.c.n, t.logs.c.stream, t.logs.c.at, t.logs.c.text
        )
        query = query.where(t.logs.c.uid == uid).order_by(t.logs.c.id).limit(limit)
        if after:
            seen = rows_of(
                column("step", Text), column("attempt", Integer), column("n", Integer), name="seen"
            )
            seen_rows = seen.data([(step, attempt, n) for (step, attempt), n in after.items()]).cte("seen")
            same = (seen_rows.c.step == t.logs.c.step) & (seen_rows.c.attempt == t.logs.c.attempt)
            query = query.select_from(t.logs.outerjoin(seen_rows, same))
            query = query.where(t.logs.c.n > func.coalesce(seen_rows.c.n, -1))

        async def work(connection: Connection) -> list[LogChunk]:
            return [LogChunk(*row) for row in (await connection.execute(query)).all()]

        return await self._connections.read(work)
