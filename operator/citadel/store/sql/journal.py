"""The journal in a database.

An advance is one transaction: it locks the execution's row, folds the events it has not seen, lets the pure
engine decide, appends, and writes the rows that follow. The row's lock is what keeps two advances apart,
`(uid, seq)` what proves that it did. Nothing is ever remembered that was not committed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from citadel.core import events as ev
from citadel.core.jsonvalues import Json
from citadel.core.state import State
from citadel.store.journal import (
    TOPICS,
    Advance,
    CorruptJournal,
    ExecutionRef,
    Inherited,
    JournalUnavailable,
    LogChunk,
    Notice,
)
from citadel.store.sql import tables as t
from citadel.store.sql.advancing import Advancing
from citadel.store.sql.announcing import Notices
from citadel.store.sql.engine import CALL_SECONDS, TRIES, Connection, Connections, now
from citadel.store.sql.logs import Logs
from citadel.store.sql.reading import Reader
from citadel.store.sql.statements import Statements
from citadel.store.stepping import check_bodies
from citadel.store.texts import fit

log = logging.getLogger(__name__)

#: Seconds for which an execution that cannot be advanced is left alone.
PUT_OFF_SECONDS = 60.0
#: Executions, and definitions, deleted in one transaction: with long logs each takes its time.
_PRUNED_AT_ONCE = 20


class SqlJournal:
    """`Journal` over Postgres or SQLite."""

    def __init__(self, connections: Connections, notices: Notices, per_namespace: int) -> None:
        self._connections = connections
        self._notices = notices
        self._per_namespace = per_namespace
        self._statements = Statements(connections.postgres)
        self._reader = Reader(self._statements)
        self._logs = Logs(connections, self._statements, notices)
        self.told: Callable[[Advance], None] | None = None
        """Told of each advance that appended something, once it is committed; must not raise."""
        # Advances of one execution queue up here, not in the database, where each would hold a connection.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def advance(
        self,
        uid: str,
        facts: Sequence[ev.Event] = (),
        *,
        claim: str | None = None,
        definition: Mapping[str, Any] | None = None,
        outputs: Mapping[str, bytes] | None = None,
        inherited: Inherited | None = None,
    ) -> Advance:
        """Appends facts and what follows from them, in one transaction; see `Journal.advance`."""
        fitting = tuple(fit(fact) for fact in facts)
        check_bodies(fitting, outputs or {})
        plan = None
        for fact in fitting:
            if isinstance(fact, ev.Created) and definition is not None:
                plan = self._reader.compiled(definition, fact.definition)
        work = Advancing(
            self._reader,
            self._statements,
            uid,
            fitting,
            claim,
            definition,
            outputs or {},
            plan,
            inherited=inherited,
            per_namespace=self._per_namespace,
        )
        advance = await self._take_turn(uid, work)
        assert advance is not None
        return advance

    async def _take_turn(self, uid: str, work: Advancing) -> Advance | None:
        turn = self._turns.setdefault(uid, asyncio.Lock())
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await turn.acquire()
        except TimeoutError as error:
            raise JournalUnavailable(f"execution {uid} was busy for {CALL_SECONDS}s") from error
        try:
            for left in reversed(range(TRIES)):
                try:
                    advance = await self._connections.transact(work.run)
                except IntegrityError as error:
                    # Somebody wrote without the lock, or what is remembered here is wrong: look again.
                    self._reader.drop(uid)
                    if not left:
                        raise CorruptJournal(
                            uid, f"its log refuses what follows from it: {error.orig}"
                        ) from error
                else:
                    if advance is not None:
                        if advance.events:
                            self._reader.keep(uid, advance.state, work.at)
                            if self.told is not None:
                                self.told(advance)
                        self._notices.committed(work.notices)
                    return advance
        finally:
            turn.release()
        raise AssertionError("unreachable: the last try returns or raises")

    async def read(self, uid: str) -> State:
        """The state as last committed; see `Journal.read`."""
        return await self._connections.read(lambda connection: self._reader.state(connection, uid))

    async def values(self, uid: str, digests: Sequence[str]) -> dict[str, Json]:
        """The JSON of these digests of this execution."""
        return await self._connections.read(lambda connection: self._reader.values(connection, uid, digests))

    async def due(self, limit: int) -> list[str]:
        """Advances executions whose time has come; see `Journal.due`."""

        async def find(connection: Connection) -> list[str]:
            return list((await connection.execute(self._statements.due, {"of_limit": limit})).scalars())

        taken = []
        for uid in await self._connections.read(find):
            try:
                limit = self._per_namespace
                work = Advancing(self._reader, self._statements, uid, due=True, per_namespace=limit)
                # Another worker may be at it, or have done it: then there is no row to lock.
                if await self._take_turn(uid, work) is not None:
                    taken.append(uid)
            except JournalUnavailable:
                raise
            except Exception:
                log.exception("execution %s cannot be advanced; trying again in %.0fs", uid, PUT_OFF_SECONDS)
                await self._put_off(uid)
        return taken

    async def _put_off(self, uid: str) -> None:
        parameters = {"of_uid": uid, "of_seconds": PUT_OFF_SECONDS}

        async def work(connection: Connection) -> None:
            await connection.execute(self._statements.put_off, parameters)

        await self._connections.transact(work)

    async def unfinished(self) -> list[ExecutionRef]:
        """Executions that have not ended, oldest first."""

        async def work(connection: Connection) -> list[ExecutionRef]:
            rows = await connection.execute(self._statements.unfinished)
            return [ExecutionRef(*row) for row in rows.all()]

        return await self._connections.read(work)

    async def append_logs(self, uid: str, chunks: Sequence[LogChunk]) -> None:
        """Stores chunks; see `Journal.append_logs`."""
        await self._logs.append(uid, chunks)

    async def logs(self, uid: str, after: Mapping[tuple[str, int], int], limit: int) -> list[LogChunk]:
        """Chunks that follow `after`; see `Journal.logs`."""
        return await self._logs.read(uid, after, limit)

    def listen(self, topics: Collection[str] = TOPICS) -> AsyncIterator[Notice]:
        """Notices of `topics` as they are committed."""
        return self._notices.listen(topics)

    async def forget(self, uids: Sequence[str]) -> None:
        """Deletes all there is of these executions."""

        async def work(connection: Connection) -> None:
            await connection.execute(delete(t.executions).where(t.executions.c.uid.in_(uids)))

        await self._connections.transact(work)
        for uid in uids:
            self._reader.drop(uid)

    async def prune(self, older_than: float) -> int:
        """Deletes executions that finished long ago, and definitions that nothing runs by any more."""
        executions, definitions, sandboxes = t.executions.c, t.definitions.c, t.sandboxes.c
        used = select(executions.uid).where(executions.definition == definitions.digest).exists()
        old = select(executions.uid).where(executions.finished_at < now() - older_than)
        old = old.order_by(executions.finished_at).limit(_PRUNED_AT_ONCE)
        unused = select(definitions.digest).where(~used).limit(_PRUNED_AT_ONCE)
        # Members of pools that nobody claimed end with no execution.
        unclaimed = select(sandboxes.name).where(sandboxes.uid.is_(None), sandboxes.status == "gone")
        unclaimed = unclaimed.limit(_PRUNED_AT_ONCE * 10)

        async def work(connection: Connection) -> list[str]:
            uids = list((await connection.execute(old)).scalars())
            if uids:
                await connection.execute(delete(t.executions).where(executions.uid.in_(uids)))
            digests = list((await connection.execute(unused)).scalars())
            if digests:
                # Looked at once more: one that begins by it may have committed meanwhile.
                await connection.execute(delete(t.definitions).where(definitions.digest.in_(digests), ~used))
            names = list((await connection.execute(unclaimed)).scalars())
            if names:
                await connection.execute(delete(t.sandboxes).where(sandboxes.name.in_(names)))
            return uids

        gone = await self._connections.transact(work)
        for uid in gone:
            self._reader.drop(uid)
        return len(gone)
