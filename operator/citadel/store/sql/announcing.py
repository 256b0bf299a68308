"""Announcing what was committed: NOTIFY in Postgres, a hub inside the process for SQLite, which has one
process.

A notice says where to look, never what is there. Each topic has a channel: who waits for one of them is not
woken by the others.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol

from sqlalchemy import Executable, Select, Text, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY

from citadel.store.journal import Notice
from citadel.store.notices import Hub
from citadel.store.sql.engine import Connection, Connections

#: Begins the name of a channel; its topic follows.
CHANNEL = "citadel-"


def announcing() -> Select[tuple[int]]:
    """A query that sends every text of its parameter `notices` as a notice, and says how many there were."""
    payload = func.unnest(bindparam("notices", type_=ARRAY(Text))).column_valued("payload")
    channel = literal_column(f"'{CHANNEL}'", Text) + func.split_part(payload, " ", 1)
    return select(func.count(func.pg_notify(channel, payload)))


def payloads(notices: Sequence[Notice]) -> list[str]:
    """Notices as they go over the wire: `<topic> <id> <seq>`."""
    return [f"{notice.topic} {notice.id} {notice.seq}" for notice in notices]


def read_payload(payload: str) -> Notice:
    """A notice from the wire. What is none, as anybody may send, is one that nobody awaits."""
    topic, _, rest = payload.partition(" ")
    name, _, seq = rest.partition(" ")
    return Notice(topic, name, int(seq) if seq.isdecimal() else 0)


class Notices(Protocol):
    """How the processes on one database tell each other."""

    async def announce(self, connection: Connection, notices: Sequence[Notice]) -> None:
        """Announces when the transaction of `connection` commits, where the database can."""
        ...

    def committed(self, notices: Sequence[Notice]) -> None:
        """Announces what was committed just now, where the database cannot."""
        ...

    def listen(self, topics: Collection[str]) -> AsyncIterator[Notice]:
        """Notices of `topics` as they come, until cancelled."""
        ...


class LocalNotices:
    """Notices in one process."""

    def __init__(self) -> None:
        self._hub = Hub()

    async def announce(self, connection: Connection, notices: Sequence[Notice]) -> None:
        """Nothing: `committed` does it."""

    def committed(self, notices: Sequence[Notice]) -> None:
        """Hands the notices to all that listen."""
        self._hub.publish(notices)

    def listen(self, topics: Collection[str]) -> AsyncIterator[Notice]:
        """Notices of `topics` as they come."""
        return self._hub.listen(topics)


async def change(
    connections: Connections, notices: Notices, statement: Executable, news: Sequence[Notice]
) -> bool:
    """Runs a statement that writes; whether it changed a row. Only then its news are announced."""

    async def work(connection: Connection) -> bool:
        changed = bool((await connection.execute(statement)).rowcount)
        if not changed:
            await connection.rollback()
        elif news:
            await notices.announce(connection, news)
        return changed

    changed = await connections.transact(work)
    if changed:
        notices.committed(news)
    return changed
