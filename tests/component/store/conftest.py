"""The same tests for every journal: in memory, in SQLite, in Postgres."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from citadel.store.conversations import Conversations
from citadel.store.journal import Journal
from citadel.store.memory import MemoryJournal
from citadel.store.sandboxes import Pools, Sandboxes
from citadel.store.sql.database import Database, open_database


@dataclass
class Process:
    """What one process has of the store."""

    journal: Journal
    sandboxes: Sandboxes
    pools: Pools
    conversations: Conversations


@dataclass
class Store:
    """A store that tests open as often as there would be processes."""

    url: str | None
    _memory: MemoryJournal = field(default_factory=MemoryJournal)
    _opened: list[Database] = field(default_factory=list)

    def open(self) -> Process:
        """A process that remembers nothing yet. In memory there is only one process."""
        if self.url is None:
            memory = self._memory
            return Process(memory, memory.sandboxes, memory.pools, memory.conversations)
        database = open_database(self.url, pool_size=4)
        self._opened.append(database)
        return Process(database.journal, database.sandboxes, database.pools, database.conversations)

    def database(self) -> Database:
        """The database behind it."""
        assert self.url is not None
        database = open_database(self.url, pool_size=2)
        self._opened.append(database)
        return database

    async def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """Runs a statement past the journal, as an administrator or a mishap might."""
        async with self.database()._connections.engine.begin() as connection:
            result = await connection.execute(text(statement), parameters)
            return list(result.all()) if result.returns_rows else []

    async def close(self) -> None:
        for database in self._opened:
            await database.close()


async def _open(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if kind == "memory":
        return Store(None)
    if kind == "postgres":
        return Store(request.getfixturevalue("postgres_url"))
    store = Store(f"sqlite:///{tmp_path}/journal.db")
    await store.database().create_schema()
    return store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Any journal."""
    found = await _open(request.param, request, tmp_path)
    yield found
    await found.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def sql_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Any journal in a database."""
    found = await _open(request.param, request, tmp_path)
    yield found
    await found.close()


@pytest.fixture
async def postgres_store(postgres_url: str) -> AsyncIterator[Store]:
    """The journal in Postgres, which several processes share."""
    found = Store(postgres_url)
    yield found
    await found.close()
