"""What agents remember, in a database."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from citadel.store.conversations import (
    MOST_MESSAGES,
    Answered,
    Conversation,
    Key,
    Recalled,
    Remembered,
    Said,
    answer_text,
    body_of,
    given,
)
from citadel.store.sql import tables as t
from citadel.store.sql.engine import Connection, Connections, now

_HEADS, _TURNS, _GIVEN = t.conversations, t.conversation_turns, t.recollections


class SqlConversations:
    """`Conversations` over Postgres or SQLite."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def recall(self, uid: str, step: str, attempt: int, key: Key, prompt: str) -> Remembered:
        """What an attempt is given; see `Conversations.recall`."""
        mine = _is_attempt(uid, step, attempt)

        async def work(connection: Connection) -> Remembered:
            found = (await connection.execute(select(_GIVEN).where(mine))).one_or_none()
            if found is None:
                # The messages first: a summary that comes between the two stands for some of them, while the
                # other way round they would be gone and the summary unknown.
                query = select(_TURNS).where(_is(_TURNS, key)).order_by(_TURNS.c.n).limit(MOST_MESSAGES)
                kept = (await connection.execute(query)).all()
                head = (await connection.execute(select(_HEADS).where(_is(_HEADS, key)))).one_or_none()
                turns = [] if head is None else given([turn for turn in kept if turn.n > head.covers])
                row = {
                    "uid": uid,
                    "step": step,
                    "attempt": attempt,
                    "prompt": prompt,
                    **vars(key),
                    "history": [{"role": turn.role, "content": turn.content} for turn in turns],
                    "first": turns[0].n if turns else 0,
                    "summary": None if head is None else head.summary,
                }
                await connection.execute(self._insert(_GIVEN).on_conflict_do_nothing(), row)
                found = (await connection.execute(select(_GIVEN).where(mine))).one()
            return Remembered(found.history, found.summary)

        return await self._connections.transact(work)

    async def recalled(self, uid: str) -> list[Recalled]:
        """What attempts were given; see `Conversations.recalled`."""
        query = select(_GIVEN).where(_GIVEN.c.uid == uid).order_by(_GIVEN.c.step, _GIVEN.c.attempt)

        async def work(connection: Connection) -> list[Recalled]:
            return [
                Recalled(
                    row.step,
                    row.attempt,
                    Key(row.namespace, row.agent, row.conversation),
                    Remembered(row.history, row.summary),
                )
                for row in (await connection.execute(query)).all()
            ]

        return await self._connections.read(work)

    async def summarise(self, uid: str, step: str, attempt: int, summary: str, covers: int) -> bool:
        """Lets a summary stand for messages; see `Conversations.summarise`."""
        mine = _is_attempt(uid, step, attempt)

        async def work(connection: Connection) -> bool:
            found = (await connection.execute(select(_GIVEN).where(mine))).one_or_none()
            if found is None or not 0 < covers <= len(found.history):
                return False
            news = {"new_summary": summary, "new_covers": found.first + covers - 1}
            await connection.execute(update(_GIVEN).where(mine).values(news))
            return True

        return await self._connections.transact(work)

    async def of(self, namespace: str, agent: str) -> list[Conversation]:
        """The conversations of an agent; see `Conversations.of`."""
        mine = (_HEADS.c.namespace == namespace, _HEADS.c.agent == agent)
        order = (_HEADS.c.changed_at.desc(), _HEADS.c.conversation)

        async def work(connection: Connection) -> list[Conversation]:
            rows = (await connection.execute(select(_HEADS).where(*mine).order_by(*order))).all()
            return [
                Conversation(
                    row.agent,
                    row.conversation,
                    row.last,
                    row.summary is not None,
                    row.created_at,
                    row.changed_at,
                )
                for row in rows
            ]

        return await self._connections.read(work)

    async def read(self, key: Key) -> tuple[str | None, list[Said]] | None:
        """A conversation; see `Conversations.read`."""

        async def work(connection: Connection) -> tuple[str | None, list[Said]] | None:
            head = (await connection.execute(select(_HEADS).where(_is(_HEADS, key)))).one_or_none()
            if head is None:
                return None
            query = select(_TURNS).where(_is(_TURNS, key)).order_by(_TURNS.c.n)
            rows = (await connection.execute(query)).all()
            return head.summary, [Said(row.role, row.content, row.at, row.uid) for row in rows]

        return await self._connections.read(work)

    async def forget(
        self,
        namespace: str,
        agent: str | None = None,
        conversation: str | None = None,
        *,
        before: float | None = None,
    ) -> int:
        """Deletes conversations; see `Conversations.forget`."""
        wanted = {"namespace": namespace, "agent": agent, "conversation": conversation}
        meant = _named(_HEADS, wanted)
        given = _named(_GIVEN, wanted)
        if before is not None:
            meant.append(_HEADS.c.created_at < before)
            names = select(_HEADS.c.agent, _HEADS.c.conversation).where(*meant)
            given.append(tuple_(_GIVEN.c.agent, _GIVEN.c.conversation).in_(names))

        async def work(connection: Connection) -> int:
            await connection.execute(delete(_GIVEN).where(*given))
            # Their messages go with them.
            return int((await connection.execute(delete(_HEADS).where(*meant))).rowcount)

        return await self._connections.transact(work)

    async def namespaces(self) -> list[tuple[str, float]]:
        """The namespaces that have any; see `Conversations.namespaces`."""
        query = select(_HEADS.c.namespace, func.min(_HEADS.c.created_at)).group_by(_HEADS.c.namespace)

        async def work(connection: Connection) -> list[tuple[str, float]]:
            return [(str(name), float(since)) for name, since in (await connection.execute(query)).all()]

        return await self._connections.read(work)

    def _insert(self, table: Table) -> Any:
        return insert_postgresql(table) if self._connections.postgres else insert_sqlite(table)


async def append(
    connection: Connection, answered: Answered, values: Mapping[str, bytes], *, postgres: bool
) -> None:
    """Puts what an attempt was asked and has answered at the end of its conversation, and the summary that it
    made before what is left of it. Within the transaction that records its success.
    """
    mine = _is_attempt(answered.uid, answered.step, answered.attempt)
    found = (await connection.execute(select(_GIVEN).where(mine))).one_or_none()
    if found is None:
        return
    key = Key(found.namespace, found.agent, found.conversation)
    insert = insert_postgresql(_HEADS) if postgres else insert_sqlite(_HEADS)
    first = {**vars(key), "last": 0, "covers": 0, "created_at": now(), "changed_at": now()}
    await connection.execute(insert.values(first).on_conflict_do_nothing())
    head = (await connection.execute(select(_HEADS).where(_is(_HEADS, key)).with_for_update())).one()
    about = {"uid": answered.uid, "step": answered.step, "attempt": answered.attempt, "at": now()}
    told = (("user", found.prompt), ("assistant", answer_text(body_of(answered, values))))
    for n, (role, content) in enumerate(told, head.last + 1):
        row = {**vars(key), **about, "n": n, "role": role, "content": content}
        await connection.execute(_TURNS.insert().values(row))
    news: dict[str, Any] = {"last": head.last + len(told), "changed_at": now()}
    covers = max(head.covers, found.new_covers or 0)
    if covers > head.covers:
        news |= {"summary": found.new_summary, "covers": covers}
    await connection.execute(update(_HEADS).where(_is(_HEADS, key)).values(news))
    outdated = _TURNS.c.n <= max(covers, head.last + len(told) - MOST_MESSAGES)
    await connection.execute(delete(_TURNS).where(_is(_TURNS, key), outdated))


def _is(table: Table, key: Key) -> ColumnElement[bool]:
    return and_(*_named(table, vars(key)))


def _named(table: Table, wanted: Mapping[str, str | None]) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _is_attempt(uid: str, step: str, attempt: int) -> ColumnElement[bool]:
    return and_(_GIVEN.c.uid == uid, _GIVEN.c.step == step, _GIVEN.c.attempt == attempt)
